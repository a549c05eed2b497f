"""Adversarial training: a small network scores patches.

The discriminator learns to tell images from reconstructions while the autoencoder
learns to mislead it, in one `fit` with one optimizer: between the two the gradient
changes its sign. It serves in training alone and is not part of a model.
"""

import keras
from keras import layers, ops

from dipy_synth.networks.architectures import make_autoencoder
from dipy_synth.networks.blocks import convolution, haar_down
from dipy_synth.networks.network import Network, default_precision


def hinge_loss(real, fake, weight=1.0):
    """Compute the discriminator's loss: 0 when it tells all patches apart, 2 by chance.

    Parameters
    ----------
    real, fake : tensor (batch, *spatial, 1)
        Scores of images and of reconstructions.
    weight : tensor (batch, *spatial, 1), optional
        Weight of each patch.

    Returns
    -------
    tensor ()

    References
    ----------
    Lim & Ye (2017). Geometric GAN. arXiv:1705.02894.
    """
    return weighted_mean(ops.relu(1 - real) + ops.relu(1 + fake), weight)


def weighted_mean(values, weight):
    """Compute the mean of values by weight: tensor (); 0 where no weight is."""
    weight = ops.broadcast_to(ops.cast(weight, values.dtype), ops.shape(values))
    return ops.sum(weight * values) / ops.maximum(ops.sum(weight), 1.0)


def foreground(images):
    """Return which patches of 2 voxels hold foreground: tensor, of 0 and 1.

    Parameters
    ----------
    images : tensor (batch, *spatial, 1)
        Originals, the background exactly -1.
    """
    return ops.max_pool(ops.cast(images[..., :1] > -1, "float32"), 2)


@keras.saving.register_keras_serializable("dipy_synth")
class PatchDiscriminator(layers.Layer):
    """Score each patch of an image: high where it looks like an original.

    It reads the image's Haar transform, an eighth of the voxels in 3D, which is what
    makes it cheap. A patch is what five positions of that along a side see, 10 voxels.

    Parameters
    ----------
    channels : sequence of int, optional
        Widths of its convolutions.

    References
    ----------
    Isola et al. (2017). Image-to-image translation with conditional adversarial
    networks. CVPR (scores of patches).
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
    """An autoencoder together with the discriminator it is trained against.

    Parameters
    ----------
    autoencoder : Autoencoder
        What is trained; it alone is kept afterwards.
    channels : sequence of int, optional
        Widths of the discriminator.

    Attributes
    ----------
    strength : keras.Variable
        How much the autoencoder minds the discriminator; 0 until it is set. The
        discriminator learns meanwhile.

    Notes
    -----
    Validation gives the autoencoder's own loss, so that it compares with a run
    without a discriminator.

    References
    ----------
    Esser, Rombach & Ommer (2021). Taming transformers for high-resolution image
    synthesis. CVPR (an adversarial term for a VQ-VAE).
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
        """Reconstruct, and in training let the discriminator score both sides.

        Parameters
        ----------
        images : tensor (batch, *shape, 1)
            Images in [-1, 1].
        training : bool, optional
            Whether scores are wanted.

        Returns
        -------
        dict
            What the autoencoder gives, and the scores ``real``, ``fake``, and
            ``heard``: the same as ``fake``, with a gradient for the autoencoder.
        """
        outputs = self.autoencoder(images, training=training)
        if not training:
            return outputs
        decoded = outputs["images"][..., :1]  # without labels
        return {
            **outputs,
            "real": self.discriminator(images[..., :1]),
            "fake": self.discriminator(ops.stop_gradient(decoded)),
            "heard": self.discriminator(decoded),
        }

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Give the autoencoder's loss and, in training, the discriminator's.

        The autoencoder is to raise the score that is heard. The score is 0 beside
        ``fake``, and so is the discriminator's gradient: it must not raise it too.
        """
        loss = self.autoencoder.reconstruction_loss(x, y_pred["images"])
        loss += sum(self.losses)
        if not training:
            return loss
        inside = foreground(x)
        raised = weighted_mean(y_pred["heard"] - y_pred["fake"], inside)
        loss += hinge_loss(y_pred["real"], y_pred["fake"], inside)
        return loss - self.strength * raised

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Count the codes met; in training follow the discriminator's loss too."""
        self.code_usage.update_state(y_pred["indices"])
        results = self.get_metrics_result()
        if "real" not in y_pred:
            return {
                k: v for k, v in results.items() if k != self.discriminator_loss.name
            }
        self.discriminator_loss.update_state(
            hinge_loss(y_pred["real"], y_pred["fake"], foreground(x))
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
