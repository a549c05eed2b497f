"""Building blocks of the denoiser, without statistics over space.

So a crop is denoised in the same way as within the whole image. The rank of
the image (2 or 3) is taken from the input, (batch, *spatial, channels).
"""

import keras
from keras import layers, ops

from dipy_synth.networks.blocks import convolution, depth_to_space

_GAIN = 1 / 3  # small at the start, since the finest level has no normalisation


@keras.saving.register_keras_serializable("dipy_synth")
class DenoisingBlock(layers.Layer):
    """Residual block of two convolutions with FiLM between them.

    Normalisation precedes each convolution :footcite:p:`he2016identity`, and the last
    one is zero-initialised. Normalisation is over the channels of each position
    :footcite:p:`ba2016layer`, without statistics over space, so that crops and whole
    images agree.

    Parameters
    ----------
    channels : int
        Output channels.
    normalize : bool, optional
        Normalise before either convolution. Without, FiLM :footcite:p:`perez2018film`
        shifts and does not scale.

    Notes
    -----
    Called with ``(image, embedding)``, (batch, *spatial, channels) and (batch, n).

    References
    ----------
    .. footbibliography::
    """

    def __init__(self, channels, *, normalize=True, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.normalize = channels, normalize

    def build(self, image_shape, embedding_shape):
        rank, incoming = len(image_shape) - 2, image_shape[-1]
        own = {"dtype": self.dtype_policy}
        self.conv1 = convolution(rank, self.channels, gain=_GAIN, **own)
        self.conv2 = convolution(rank, self.channels, zero=True, **own)
        self.film = layers.Dense(
            (2 if self.normalize else 1) * self.channels,
            kernel_initializer="zeros",
            **own,
        )
        middle = (*image_shape[:-1], self.channels)
        self.conv1.build(image_shape)
        self.conv2.build(middle)
        self.film.build(embedding_shape)
        self.shortcut = None
        if incoming != self.channels:
            self.shortcut = convolution(
                rank, self.channels, kernel_size=1, gain=_GAIN, **own
            )
            self.shortcut.build(image_shape)
        if self.normalize:
            self.norm1, self.norm2 = (LayerNorm(**own) for _ in range(2))
            self.norm1.build(image_shape)
            self.norm2.build(middle)

    def call(self, image, embedding):
        film = self.film(embedding)
        film = ops.reshape(film, (-1, *[1] * (len(image.shape) - 2), film.shape[-1]))
        if self.normalize:
            y = self.norm2(self.conv1(self.norm1(image)), film)
        else:
            y = silu(self.conv1(silu(image)) + film)
        shortcut = image if self.shortcut is None else self.shortcut(image)
        return self.conv2(y) + shortcut

    def compute_output_shape(self, image_shape, embedding_shape):
        return (*image_shape[:-1], self.channels)

    def get_config(self):
        own = {"channels": self.channels, "normalize": self.normalize}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("dipy_synth")
class LayerNorm(layers.Layer):
    """Normalise over channels, apply FiLM if it is given, then SiLU; in float32.

    Called with ``(image, film)``, (batch, *spatial, channels) and (batch, 1, ..., 2 *
    channels). The first half of `film`, plus 1, scales the result; the second is added.
    """

    def build(self, image_shape, film_shape=None):
        n = image_shape[-1]
        self.gamma = self.add_weight(shape=(n,), initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=(n,), initializer="zeros", name="beta")

    def call(self, image, film=None):
        scale, shift = (ops.cast(w, "float32") for w in (self.gamma, self.beta))
        if film is not None:
            more, offset = ops.split(ops.cast(film, "float32"), 2, axis=-1)
            scale, shift = scale * (1 + more), shift * (1 + more) + offset
        x = ops.cast(image, "float32")
        x = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(x), axis=-1, keepdims=True)
        y = x * ops.rsqrt(variance + 1e-5) * scale + shift
        return ops.cast(ops.silu(y), image.dtype)

    def compute_output_shape(self, image_shape, film_shape=None):
        return image_shape


def silu(x):
    """Apply SiLU in float32, which is faster than in bfloat16 on a CPU."""
    return ops.cast(ops.silu(ops.cast(x, "float32")), x.dtype)


@keras.saving.register_keras_serializable("dipy_synth")
class PixelShuffle(layers.Layer):
    """Double the size by a pointwise convolution and `depth_to_space`.

    It is the sub-pixel convolution of :footcite:t:`shi2016subpixel`.

    Parameters
    ----------
    channels : int
        Output channels.

    References
    ----------
    .. footbibliography::
    """

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels

    def build(self, input_shape):
        rank = len(input_shape) - 2
        self.conv = convolution(
            rank,
            2**rank * self.channels,
            kernel_size=1,
            gain=_GAIN,
            dtype=self.dtype_policy,
        )
        self.conv.build(input_shape)

    def call(self, x):
        return depth_to_space(self.conv(x), 2)

    def compute_output_shape(self, input_shape):
        spatial = (n if n is None else 2 * n for n in input_shape[1:-1])
        return (input_shape[0], *spatial, self.channels)

    def get_config(self):
        return {**super().get_config(), "channels": self.channels}
