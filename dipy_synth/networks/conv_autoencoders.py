"""Two standard autoencoders of strided and transposed convolutions."""

import keras
from keras import layers, ops

from dipy_synth.networks.autoencoder import Autoencoder
from dipy_synth.networks.blocks import convolution, transposed_convolution

CODEBOOK = {"name": "vq", "codes": 256, "width": 32}


class ConvolutionalAutoencoder(Autoencoder):
    """An encoder and a decoder, each a stack of layers of a subclass."""

    def __init__(self, shape, *, quantizer=None, **options):
        super().__init__(shape, quantizer=quantizer or CODEBOOK, **options)

    def _stack(self, encoder, decoder):
        """Build the two stacks from their layers."""
        self.encoder = keras.Sequential(encoder, name="encoder")
        self.decoder = keras.Sequential(decoder, name="decoder")
        self.build((None, *self.shape, 1))

    def build(self, input_shape):
        anywhere = (None,) * (1 + self.rank)  # crops of images are encoded, too
        latents = (*anywhere, self.quantizer.channels)
        self.encoder.build((*anywhere, 1))
        self.quantizer.build(latents)
        self.decoder.build(latents)
        self.built = True

    @property
    def encoder_parts(self):
        return (self.encoder,)

    def encode(self, images):
        return ops.cast(self.encoder(images), "float32")

    def reconstruct(self, quantised):
        return ops.cast(self.decoder(quantised), "float32")


@keras.saving.register_keras_serializable("dipy_synth")
class PlainAutoencoder(ConvolutionalAutoencoder):
    """Three strided convolutions and three transposed ones, with ReLU between.

    The simplest VQ-VAE :footcite:p:`oord2017vqvae`.

    Parameters
    ----------
    shape : sequence of int
        Spatial shape of the images, two or three multiples of 8.
    channels : sequence of int, optional
        Widths of the two convolutions before the latents.
    quantizer : dict, optional
        As `Autoencoder` takes it; by default 256 codes of 32 numbers.
    **options
        The loss, as `Autoencoder` takes it.

    References
    ----------
    .. footbibliography::
    """

    architecture = "plain"
    factor = 8

    def __init__(self, shape, *, channels=(32, 64), quantizer=None, **options):
        super().__init__(shape, quantizer=quantizer, **options)
        self.channels = self.two_widths(channels)
        widths = (*self.channels, self.quantizer.channels)
        down = [_down(self.rank, width) for width in widths]
        up = [_up(self.rank, width) for width in (*self.channels[::-1], 1)]
        self._stack(_with_relu(down), _with_relu(up))

    def arguments(self):
        return {**super().arguments(), "channels": self.channels}


@keras.saving.register_keras_serializable("dipy_synth")
class ResidualAutoencoder(ConvolutionalAutoencoder):
    """Strided convolutions, each followed by residual units; transposed back.

    The VQ-VAE of :footcite:t:`oord2017vqvae`, in 3D as for the brains of Tudosiu et al.
    :footcite:p:`tudosiu2022morphology`.

    Parameters
    ----------
    shape : sequence of int
        Spatial shape of the images, two or three multiples of 4.
    channels : sequence of int, optional
        Widths at half and at quarter resolution.
    blocks : int, optional
        Residual units per resolution.
    quantizer : dict, optional
        As `Autoencoder` takes it; by default 256 codes of 32 numbers.
    **options
        The loss, as `Autoencoder` takes it.

    References
    ----------
    .. footbibliography::
    """

    architecture = "residual"

    def __init__(
        self, shape, *, channels=(32, 64), blocks=1, quantizer=None, **options
    ):
        super().__init__(shape, quantizer=quantizer, **options)
        self.channels, self.blocks = self.two_widths(channels), blocks
        fine, coarse = self.channels
        rank, n_latents = self.rank, self.quantizer.channels
        encoder = [
            *(_down(rank, fine), layers.ReLU(), *self._units(fine)),
            *(_down(rank, coarse), layers.ReLU(), *self._units(coarse)),
            convolution(rank, n_latents),
        ]
        decoder = [
            *(convolution(rank, coarse), layers.ReLU(), *self._units(coarse)),
            *(_up(rank, fine), layers.ReLU(), *self._units(fine)),
            _up(rank, 1),
        ]
        self._stack(encoder, decoder)

    def _units(self, width):
        return [ResidualUnit(width) for _ in range(self.blocks)]

    def arguments(self):
        own = {"channels": self.channels, "blocks": self.blocks}
        return {**super().arguments(), **own}


@keras.saving.register_keras_serializable("dipy_synth")
class ResidualUnit(layers.Layer):
    """Residual block of two convolutions with ReLU, without normalisation.

    After :footcite:t:`he2016residual`.

    Parameters
    ----------
    channels : int
        Channels of input and output.

    References
    ----------
    .. footbibliography::
    """

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels

    def build(self, input_shape):
        rank, own = len(input_shape) - 2, {"dtype": self.dtype_policy}
        self.conv1 = convolution(rank, self.channels, **own)
        self.conv2 = convolution(rank, self.channels, zero=True, **own)
        self.conv1.build(input_shape)
        self.conv2.build(input_shape)

    def call(self, image):
        return ops.relu(image + self.conv2(ops.relu(self.conv1(image))))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "channels": self.channels}


def _down(rank, width):
    return convolution(rank, width, kernel_size=4, strides=2)


def _up(rank, width):
    return transposed_convolution(rank, width, kernel_size=4, strides=2)


def _with_relu(stack):
    """Insert a ReLU between layers."""
    return [part for layer in stack for part in (layer, layers.ReLU())][:-1]
