"""Adversarial training of an autoencoder with a patch discriminator.

Both learn in one `fit` with one optimizer: between the two the gradient changes its
sign. The discriminator is used in training alone and is not part of a model.
"""

import keras
from keras import layers, ops

from dipy_synth.networks.architectures import make_autoencoder
from dipy_synth.networks.blocks import convolution, haar_down
from dipy_synth.networks.network import Network, default_precision


def hinge_loss(real, fake, weight=1.0):
    """Compute the discriminator's hinge loss: 0 if all patches are right, 2 by chance.

    It is that of :footcite:t:`lim2017geometric`.

    References
    ----------
    .. footbibliography::
    """
    return weighted_mean(ops.relu(1 - real) + ops.relu(1 + fake), weight)


def weighted_mean(values, weight):
    """Compute the weighted mean: tensor of shape (); 0 without any weight."""
    weight = ops.broadcast_to(ops.cast(weight, values.dtype), ops.shape(values))
    return ops.sum(weight * values) / ops.maximum(ops.sum(weight), 1.0)


def foreground_patches(images):
    """Mark the patches of 2 voxels where originals are above -1: tensor of 0 and 1."""
    return ops.max_pool(ops.cast(images[..., :1] > -1, "float32"), 2)


@keras.saving.register_keras_serializable("dipy_synth")
class PatchDiscriminator(layers.Layer):
    """Score each patch of an image: high for originals, low for reconstructions.

    Its input is the Haar transform of the image, on an eighth of the positions in 3D.
    The receptive field of a score :footcite:p:`isola2017translation` is five of those
    along a side, 10 voxels.

    Parameters
    ----------
    channels : sequence of int, optional
        Widths of its convolutions.

    References
    ----------
    .. footbibliography::
    """

    def __init__(self, channels=(32, 64), **kwargs):
        super().__init__(**{**kwargs, "autocast": False})
        self.channels = tuple(channels)

    def build(self, input_shape):
        rank, own = len(input_shape) - 2, {"dtype": self.dtype_policy}
        stack = []
        for index, width in enumerate(self.channels):
            stack.append(convolution(rank, width, **own))
            if index:
                stack.append(layers.LayerNormalization(**own))
            stack.append(layers.LeakyReLU(0.2, **own))
        stack.append(convolution(rank, 1, **own))
        self.stack = keras.Sequential(stack)
        self.stack.build(((None,) * (1 + rank)) + (2**rank,))

    def call(self, images):
        return ops.cast(self.stack(haar_down(images)), "float32")

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *(n // 2 for n in input_shape[1:-1]), 1)

    def get_config(self):
        return {**super().get_config(), "channels": self.channels}


@keras.saving.register_keras_serializable("dipy_synth")
class AdversarialTraining(Network):
    """Train an autoencoder against a discriminator.

    The adversarial term of a VQ-VAE is after :footcite:t:`esser2021taming`.

    Parameters
    ----------
    autoencoder : Autoencoder
        The autoencoder, which alone is kept afterwards.
    channels : sequence of int, optional
        Widths of the discriminator.

    Attributes
    ----------
    strength : keras.Variable
        Weight of the adversarial loss; while it is 0, the discriminator learns alone.

    Notes
    -----
    The validation loss is the autoencoder's own, so that it is comparable with that of
    a run without a discriminator.

    References
    ----------
    .. footbibliography::
    """

    def __init__(self, autoencoder, *, channels=(32, 64), **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.autoencoder = autoencoder
        self.discriminator = PatchDiscriminator(channels)
        self.discriminator.build((None, *autoencoder.shape, 1))
        self.strength = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="strength"
        )
        # a model reports its own metrics, not those of a model in it
        self.code_usage = autoencoder.code_usage
        self.discriminator_loss = keras.metrics.Mean("discriminator")
        self.built = True

    def call(self, images, training=False):
        """Reconstruct, and in training compute the scores of both sides.

        Returns the autoencoder's outputs, and the scores ``real``, ``fake`` (for the
        discriminator) and ``generated`` (equal, with a gradient for the autoencoder).
        """
        outputs = self.autoencoder(images, training=training)
        if not training:
            return outputs
        decoded = outputs["images"][..., :1]  # without labels
        return {
            **outputs,
            "real": self.discriminator(images[..., :1]),
            "fake": self.discriminator(ops.stop_gradient(decoded)),
            "generated": self.discriminator(decoded),
        }

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Compute the autoencoder's loss and, in training, the discriminator's.

        The autoencoder raises ``generated``. Its difference to ``fake`` is 0, and so is
        the discriminator's gradient, which must not raise the score too.
        """
        loss = self.autoencoder.reconstruction_loss(x, y_pred["images"])
        loss += sum(self.losses)
        if not training:
            return loss
        inside = foreground_patches(x)
        raised = weighted_mean(y_pred["generated"] - y_pred["fake"], inside)
        loss += hinge_loss(y_pred["real"], y_pred["fake"], inside)
        return loss - self.strength * raised

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Compute the usage of the codes and, in training, the discriminator's loss."""
        self.code_usage.update_state(y_pred["indices"])
        results = self.get_metrics_result()
        if "real" not in y_pred:
            return {
                k: v for k, v in results.items() if k != self.discriminator_loss.name
            }
        self.discriminator_loss.update_state(
            hinge_loss(y_pred["real"], y_pred["fake"], foreground_patches(x))
        )
        return {
            **results,
            self.discriminator_loss.name: self.discriminator_loss.result(),
        }

    def arguments(self):
        return {
            "autoencoder": self.autoencoder.arguments(),
            "channels": self.discriminator.channels,
        }

    @classmethod
    def from_config(cls, config):
        with default_precision(config.get("dtype")):
            autoencoder = make_autoencoder(config["autoencoder"])
        return super().from_config({**config, "autoencoder": autoencoder})
