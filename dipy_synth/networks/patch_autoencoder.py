"""The default autoencoder: PCA of patches with a convolutional correction.

A linear path is initialised by PCA of 4-voxel patches; a zero-initialised convolutional
correction on either side learns the rest. So training starts from the accuracy of PCA.
"""

import keras
from keras import layers, ops
import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.networks.autoencoder import Autoencoder
from dipy_synth.networks.blocks import (
    ResidualBlock,
    Upsample,
    as_patches,
    convolution,
    depth_to_space,
    haar_down,
    haar_up,
    space_to_depth,
)
from dipy_synth.networks.label_path import (
    LabelPath,
    default_levels,
    label_loss,
    label_patches,
)
from dipy_synth.networks.normalization import group_norm
from dipy_synth.utils.random import random_stream

PATCH = 4
_LEAST = 1e-3  # half the range of a component, of intensities in [-1, 1]


@keras.saving.register_keras_serializable("dipy_synth")
class PatchAutoencoder(Autoencoder):
    """Autoencoder with a linear patch path and a convolutional correction.

    Parameters
    ----------
    shape : sequence of int
        Spatial shape of the images, two or three multiples of 4.
    channels : sequence of int, optional
        Width of the correction at half and at quarter resolution.
    blocks : int, optional
        Residual blocks per resolution.
    quantizer : dict, optional
        As `Autoencoder` takes it. By default FSQ of 16 channels, with more levels for
        those of larger variance.
    labels : int, optional
        Number of labels beside the image, each a channel after it. They have numbers of
        their own after those of the image, which do not depend on them.
    label_levels : sequence of int, optional
        Levels of the labels' numbers, odd, so that 0 is one. By default 8 numbers of
        one label, and 4 of each other, up to 32.
    **options
        The loss, as `Autoencoder` takes it.

    Notes
    -----
    Latents are ``(batch, *shape / 4, channels)``, mostly within [-1, 1].
    """

    architecture = "patch"
    factor = PATCH

    def __init__(
        self,
        shape,
        *,
        channels=(32, 64),
        blocks=2,
        quantizer=None,
        labels=0,
        label_levels=None,
        **options,
    ):
        levels = (63, *[31] * 3, *[15] * 12)
        quantizer = quantizer or {"name": "fsq", "levels": levels}
        self.labels = int(labels)
        self.label_levels = _label_levels(self.labels, label_levels, quantizer)
        super().__init__(
            shape, quantizer=_with_labels(quantizer, self.label_levels), **options
        )
        self._options["quantizer"] = dict(quantizer)  # that of the image alone
        self.channels, self.blocks = self.two_widths(channels), blocks
        self.image_numbers = self.quantizer.channels - len(self.label_levels)
        if self.image_numbers > PATCH**self.rank:
            raise InputError(
                f"{self.image_numbers} latent channels: expected at most "
                f"{PATCH**self.rank}, the voxels of a patch"
            )
        self._make_layers(self.rank, self.image_numbers)
        self.label_path = None
        if self.labels:
            numbers = len(self.label_levels)
            self.label_path = LabelPath(self.labels, numbers, self.rank, PATCH)
        self.build((None, *self.shape, 1 + self.labels))

    def _make_layers(self, rank, n_latents):
        fine, coarse = self.channels
        residual = [ResidualBlock(fine) for _ in range(self.blocks)]
        # float32: bfloat16 would round the intensities of the linear path to 1 %
        self.to_latents = layers.Dense(
            n_latents, name="linear_encoder", dtype="float32"
        )
        self.from_latents = layers.Dense(
            PATCH**rank, name="linear_decoder", dtype="float32"
        )
        self.encoder = keras.Sequential(
            [
                convolution(rank, fine),
                *residual,
                convolution(rank, coarse, strides=2),
                *[ResidualBlock(coarse) for _ in range(self.blocks)],
                group_norm(coarse, silu=True),
                convolution(rank, n_latents, zero=True),
            ],
            name="encoder_correction",
        )
        self.decoder = keras.Sequential(
            [
                convolution(rank, coarse),
                *[ResidualBlock(coarse) for _ in range(self.blocks)],
                Upsample(fine),
                *[ResidualBlock(fine) for _ in range(self.blocks)],
                group_norm(fine, silu=True),
                convolution(rank, 2**rank, zero=True),
            ],
            name="decoder_correction",
        )

    def build(self, input_shape):
        anywhere = (None,) * (1 + self.rank)  # crops of images are encoded, too
        latents = (*anywhere, self.image_numbers)
        self.to_latents.build((*anywhere, PATCH**self.rank))
        self.from_latents.build(latents)
        self.quantizer.build((*anywhere, self.quantizer.channels))
        self.encoder.build((*anywhere, 2**self.rank))
        self.decoder.build(latents)
        if self.labels:
            self.label_path.build((*anywhere, self.quantizer.channels))
        self.built = True

    @property
    def encoder_parts(self):
        own = (self.label_path.to_latents,) if self.labels else ()
        return (self.to_latents, self.encoder, *own)

    def encode(self, images):
        image = images[..., :1]
        linear = self.to_latents(space_to_depth(image, PATCH))
        latents = linear + ops.cast(self.encoder(haar_down(image)), "float32")
        if not self.labels:
            return latents
        return ops.concatenate([latents, self.label_path.encode(images[..., 1:])], -1)

    def reconstruct(self, quantised):
        image = quantised[..., : self.image_numbers]
        linear = depth_to_space(self.from_latents(image), PATCH)
        decoded = linear + ops.cast(haar_up(self.decoder(image)), "float32")
        if not self.labels:
            return decoded
        return ops.concatenate([decoded, self.label_path(quantised)], axis=-1)

    def reconstruction_loss(self, images, decoded):
        loss = super().reconstruction_loss(images, decoded)
        if not self.labels:
            return loss
        labels = ops.cast(images[..., 1:], "float32")
        return loss + label_loss(labels, decoded[..., 1:])

    def patch_basis(self):
        paths = [(self.from_latents, 0, 1)]
        if self.labels:
            paths.append((self.label_path.from_latents, 1, self.labels))
        n, channels = self.quantizer.channels, 1 + self.labels
        coordinates = np.zeros((n, n))
        unfolding = np.zeros((n, PATCH**self.rank, channels))
        start = 0
        for layer, channel, width in paths:
            kernel = np.asarray(layer.get_weights()[0], "float64")
            q, r = np.linalg.qr(kernel.T)
            own = slice(start, start + len(kernel))
            coordinates[own, own] = r.T
            block = q.T.reshape(len(kernel), -1, width)
            unfolding[own, :, channel : channel + width] = block
            start += len(kernel)
        return coordinates, unfolding.reshape(n, -1)

    def initialize(self, images, *, seed=0):
        """Initialise the linear paths by PCA of the images' and labels' patches."""
        images = np.asarray(images)
        self.initialize_linear(sample_patches(images[..., 0], seed=seed))
        if self.labels:
            self.label_path.initialize(label_patches(images[..., 1:], PATCH, seed=seed))

    def initialize_linear(self, patches):
        """Initialise the linear path by PCA of patches.

        Each component is scaled so that 99.9 % of the patches fall within [-1, 1],
        the range of the quantiser.

        Parameters
        ----------
        patches : ndarray of shape (n, 4 ** rank)
            Patches in [-1, 1] with some foreground, in the order of `space_to_depth`.
        """
        mean = patches.mean(axis=0)
        covariance = np.cov((patches - mean).T)
        vectors = np.linalg.eigh(covariance)[1][:, ::-1]
        components = vectors[:, : self.image_numbers]
        scores = (patches - mean) @ components
        low, high = np.percentile(scores, (0.05, 99.95), axis=0)
        # patches that do not vary along a component would divide by 0
        middle, half = (low + high) / 2, np.maximum((high - low) / 2, _LEAST)
        self.to_latents.set_weights(
            [components / half, -(mean @ components + middle) / half]
        )
        self.from_latents.set_weights(
            [(components * half).T, mean + components @ middle]
        )

    def arguments(self):
        own = {"channels": self.channels, "blocks": self.blocks}
        if self.labels:
            own |= {"labels": self.labels, "label_levels": self.label_levels}
        return {**super().arguments(), **own}


def _label_levels(labels, levels, quantizer):
    """Return the levels of the labels' numbers, checked: tuple of int."""
    if not labels:
        return ()
    if quantizer.get("name") != "fsq":
        raise InputError(
            f"labels with quantizer {quantizer.get('name')!r}: expected fsq"
        )
    levels = default_levels(labels) if levels is None else tuple(levels)
    if any(n % 2 == 0 for n in levels):
        raise InputError(f"label_levels {levels}: expected odd numbers")
    return levels


def _with_labels(quantizer, levels):
    """Return the quantiser of image and labels: dict."""
    if not levels:
        return quantizer
    return {**quantizer, "levels": (*quantizer["levels"], *levels)}


def sample_patches(volumes, *, n=50_000, seed=0):
    """Draw up to `n` foreground patches of images: (n, 4 ** rank), float32.

    Raises
    ------
    InputError
        If there is no foreground.
    """
    rng = random_stream("patches", seed=seed)
    share = max(1, n // len(volumes))
    drawn = []
    for volume in volumes:
        blocks = as_patches(np.asarray(volume)[..., None], PATCH)
        blocks = blocks[(blocks > -1).any(axis=1)]
        if len(blocks):
            drawn.append(rng.permutation(blocks)[:share])
    if not drawn:
        raise InputError("the images to train on are all background (0)")
    return np.concatenate(drawn)
