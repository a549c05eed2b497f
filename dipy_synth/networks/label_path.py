"""The labels' own path in an autoencoder: PCA of their patches, corrected in decoding.

Its numbers stand beside those of the image, which do not depend on labels. Channels of
labels are 1 where a label is, -1 where it is not, and 0 where a map is unknown.
"""

import keras
from keras import layers, ops
import numpy as np

from dipy_synth.networks.blocks import (
    ResidualBlock,
    as_patches,
    convolution,
    depth_to_space,
    space_to_depth,
)
from dipy_synth.networks.normalization import group_norm
from dipy_synth.utils.random import random_stream

SHARPNESS = 4.0  # of the logits: a channel of 1 against the background's 0


@keras.saving.register_keras_serializable("dipy_synth")
class LabelPath(layers.Layer):
    """Encode the channels of labels to a few numbers a patch, and decode them.

    The numbers are linear in the patch, and 0 where it has no label, so that the
    background is exact. In decoding, a convolution that starts from zero corrects the
    linear answer; it sees the numbers of the image, too.

    Parameters
    ----------
    labels : int
        Number of labels, without the background.
    numbers : int
        Latent channels.
    rank : {2, 3}
        Number of spatial axes.
    patch : int
        Side of a patch, in voxels.
    width : int, optional
        Channels of the correction.
    """

    def __init__(self, labels, numbers, rank, patch, *, width=32, **kwargs):
        super().__init__(**{**kwargs, "autocast": False})
        self.labels, self.numbers = labels, numbers
        self.rank, self.patch, self.width = rank, patch, width

    def build(self, latents_shape):
        if self.built:
            return
        anywhere = (None,) * (1 + self.rank)
        voxels = self.labels * self.patch**self.rank
        exact = {"use_bias": False, "dtype": "float32"}
        self.to_latents = layers.Dense(self.numbers, name="label_encoder", **exact)
        self.from_latents = layers.Dense(voxels, name="label_decoder", **exact)
        self.to_latents.build((*anywhere, voxels))
        self.from_latents.build((*anywhere, self.numbers))
        own = {"dtype": self.dtype_policy}
        self.correction = keras.Sequential(
            [
                convolution(self.rank, self.width, **own),
                ResidualBlock(self.width, **own),
                group_norm(self.width, silu=True, **own),
                convolution(self.rank, voxels, kernel_size=1, zero=True, **own),
            ],
            name="label_correction",
        )
        self.correction.build((*anywhere, latents_shape[-1]))

    def encode(self, channels):
        """Encode channels (batch, *shape, labels) to numbers; 0 where unknown."""
        patches = space_to_depth(ops.cast(channels, "float32"), self.patch)
        known = ops.any(patches != 0, axis=-1, keepdims=True)
        return ops.where(known, self.to_latents(patches + 1), 0.0)

    def call(self, latents):
        """Decode the latents of image and labels to channels (batch, *shape, labels).

        The image's numbers are inputs alone: labels do not train them.
        """
        own = latents[..., -self.numbers :]
        image = ops.stop_gradient(latents[..., : -self.numbers])
        seen = ops.concatenate([image, own], axis=-1)
        patches = self.from_latents(own) - 1
        patches = patches + ops.cast(self.correction(seen), "float32")
        return depth_to_space(patches, self.patch)

    def compute_output_shape(self, latents_shape):
        spatial = (n if n is None else n * self.patch for n in latents_shape[1:-1])
        return (latents_shape[0], *spatial, self.labels)

    def initialize(self, patches):
        """Initialise the linear path by the principal components of patches.

        They are those of the differences from a patch without labels, which thus has
        the numbers 0. Each is scaled so that 99.9 % of the patches are in [-1, 1].

        Parameters
        ----------
        patches : ndarray of shape (n, patch ** rank * labels)
            Patches with some label, in the order of `space_to_depth`.
        """
        there = np.asarray(patches, "float64") + 1
        vectors = np.linalg.eigh(there.T @ there / max(1, len(there)))[1][:, ::-1]
        components = vectors[:, : self.numbers]
        scores = np.abs(there @ components)
        scale = np.maximum(np.percentile(scores, 99.9, axis=0), 1e-3)
        self.to_latents.set_weights([components / scale])
        self.from_latents.set_weights([(components * scale).T])

    def get_config(self):
        own = ("labels", "numbers", "rank", "patch", "width")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def label_loss(channels, decoded):
    """Compute the mean cross-entropy of decoded labels, where they are known.

    Both are (batch, *spatial, labels). The background is a class of its own, whose
    logit is 0.
    """
    logits = SHARPNESS * decoded
    logits = ops.concatenate([ops.zeros_like(logits[..., :1]), logits], axis=-1)
    right = ops.sum(ops.where(channels > 0, SHARPNESS * decoded, 0.0), axis=-1)
    known = ops.cast(ops.any(channels != 0, axis=-1), "float32")
    error = ops.logsumexp(logits, axis=-1) - right
    return ops.sum(known * error) / ops.maximum(ops.sum(known), 1.0)


def default_levels(labels):
    """Return the default levels of the numbers of labels: tuple of int, all odd.

    There are 8 numbers of one label, and 4 more of each other, at most 32.
    """
    return (31, *[15] * (min(8 + 4 * (labels - 1), 32) - 1))


def label_patches(channels, patch, *, most=50_000, seed=0):
    """Draw up to `most` patches with some label: (n, patch ** rank * labels), float32.

    `channels` of labels are (n, *shape, labels); a patch has `patch` voxels a side.
    """
    found = [
        blocks[(blocks > 0).any(axis=1)]
        for blocks in (as_patches(volume, patch) for volume in channels)
    ]
    found = np.concatenate(found)
    rng = random_stream("label patches", seed=seed)
    return found[rng.permutation(len(found))[:most]]
