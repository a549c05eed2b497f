"""The autoencoder: an image to a small grid of discrete latents, and back.

A linear path does what PCA of 4-voxel patches does, and is initialised by it; a
convolutional correction on either side starts at zero and learns what PCA cannot.
So the first step of training is already as good as PCA, and nothing can be lost.
"""

import keras
from keras import layers, ops
import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.networks.blocks import (
    ResidualBlock,
    Upsample,
    convolution,
    depth_to_space,
    group_norm,
    haar_down,
    haar_up,
    space_to_depth,
)
from dipy_synth.networks.quantizer import FSQ

PATCH = 4


@keras.saving.register_keras_serializable("dipy_synth")
class Autoencoder(keras.Model):
    """Quantised autoencoder with a linear patch path and a convolutional correction.

    Parameters
    ----------
    shape : sequence of int
        Spatial shape of the images, two or three multiples of 4.
    channels : sequence of int, optional
        Width of the correction at half and at quarter resolution.
    blocks : int, optional
        Residual blocks per resolution.
    levels : sequence of int, optional
        Levels of each latent channel; their number is the number of latent channels.
    background_weight : float, optional
        Weight of background voxels in the reconstruction loss (foreground has 1).
    gradient_weight : float, optional
        Weight of the L1 distance between finite differences: a sharpness term.

    Notes
    -----
    Images are ``(batch, *shape, 1)`` in [-1, 1] with the background exactly -1;
    latents are ``(batch, *shape / 4, len(levels))``, mostly within [-1, 1].

    References
    ----------
    van den Oord et al. (2017). Neural discrete representation learning. NeurIPS.
    """

    def __init__(
        self,
        shape,
        *,
        channels=(32, 64),
        blocks=2,
        levels=(63, *[31] * 3, *[15] * 12),
        background_weight=0.1,
        gradient_weight=0.5,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.shape = tuple(int(n) for n in shape)
        if len(self.shape) not in (2, 3) or any(n % PATCH for n in self.shape):
            raise InputError(
                f"image shape {self.shape}: expected 2 or 3 multiples of {PATCH}"
            )
        self.channels, self.blocks = tuple(channels), blocks
        self.background_weight = background_weight
        self.gradient_weight = gradient_weight
        self._make_layers(len(self.shape), tuple(levels))
        self.build((None, *self.shape, 1))

    def _make_layers(self, rank, levels):
        fine, coarse = self.channels
        residual = [ResidualBlock(fine) for _ in range(self.blocks)]
        self.quantizer = FSQ(levels, name="quantizer")
        # float32: the linear path carries the brightness, which bfloat16 rounds to 1 %
        self.to_latents = layers.Dense(
            len(levels), name="linear_encoder", dtype="float32"
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
                group_norm(coarse),
                layers.Activation("silu"),
                convolution(rank, len(levels), zero=True),
            ],
            name="encoder_correction",
        )
        self.decoder = keras.Sequential(
            [
                convolution(rank, coarse),
                *[ResidualBlock(coarse) for _ in range(self.blocks)],
                Upsample(fine),
                *[ResidualBlock(fine) for _ in range(self.blocks)],
                group_norm(fine),
                layers.Activation("silu"),
                convolution(rank, 2**rank, zero=True),
            ],
            name="decoder_correction",
        )

    def build(self, input_shape):
        rank, n_latents = len(self.shape), len(self.quantizer.levels)
        latents = (None, *self.latent_shape)
        patches = (*latents[:-1], PATCH**rank)
        self.to_latents.build(patches)
        self.from_latents.build(latents)
        self.quantizer.build(latents)
        self.encoder.build((None, *(n // 2 for n in self.shape), 2**rank))
        self.decoder.build((None, *self.latent_shape[:-1], n_latents))
        self.built = True

    @property
    def latent_shape(self):
        """Shape of one image's latents, ``(*spatial, channels)``."""
        spatial = (n // PATCH for n in self.shape)
        return (*spatial, len(self.quantizer.levels))

    def encode(self, images):
        """Encode images to continuous, not yet quantised latents.

        Parameters
        ----------
        images : tensor (batch, *shape, 1)
            Images in [-1, 1].

        Returns
        -------
        tensor (batch, *latent_shape), float32
        """
        linear = self.to_latents(space_to_depth(images, PATCH))
        return linear + ops.cast(self.encoder(haar_down(images)), "float32")

    def decode(self, latents):
        """Quantise latents and decode them.

        Parameters
        ----------
        latents : tensor (batch, *latent_shape)
            Continuous or quantised latents.

        Returns
        -------
        tensor (batch, *shape, 1), float32
            Images, mostly in [-1, 1]; not clipped.
        """
        quantised = self.quantizer(latents)
        linear = depth_to_space(self.from_latents(quantised), PATCH)
        return linear + ops.cast(haar_up(self.decoder(quantised)), "float32")

    def call(self, images):
        return self.decode(self.encode(images))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **kwargs):
        """Weighted L1 of voxels and of finite differences, plus the quantiser's term.

        Every term is a mean, so that losses compare between batch sizes.
        """
        x, y_pred = ops.cast(x, "float32"), ops.cast(y_pred, "float32")
        background = ops.cast(x <= -1, "float32")
        weight = 1 - (1 - self.background_weight) * background
        loss = ops.mean(weight * ops.abs(x - y_pred))
        if self.gradient_weight:
            loss += self.gradient_weight * _gradient_distance(x, y_pred)
        return loss + sum(self.losses)

    def initialize_linear(self, patches):
        """Set the linear path to the PCA of patches.

        Each component is scaled so that 99.9 % of the patches fall within [-1, 1],
        the range of the quantiser.

        Parameters
        ----------
        patches : ndarray (n, 4 ** rank)
            Patches in [-1, 1] with some foreground, in the order of `space_to_depth`.
        """
        mean = patches.mean(axis=0)
        covariance = np.cov((patches - mean).T)
        vectors = np.linalg.eigh(covariance)[1][:, ::-1]
        components = vectors[:, : len(self.quantizer.levels)]
        scores = (patches - mean) @ components
        low, high = np.percentile(scores, (0.05, 99.95), axis=0)
        middle, half = (low + high) / 2, (high - low) / 2
        self.to_latents.set_weights(
            [components / half, -(mean @ components + middle) / half]
        )
        self.from_latents.set_weights(
            [(components * half).T, mean + components @ middle]
        )

    def get_config(self):
        return {
            "shape": self.shape,
            "channels": self.channels,
            "blocks": self.blocks,
            "levels": self.quantizer.levels,
            "background_weight": self.background_weight,
            "gradient_weight": self.gradient_weight,
        }


def _gradient_distance(x, y):
    """Mean L1 distance of the finite differences of two batches, over all axes."""
    distances = []
    for axis in range(1, len(x.shape) - 1):
        dx, dy = (ops.diff(image, axis=axis) for image in (x, y))
        distances.append(ops.mean(ops.abs(dx - dy)))
    return sum(distances) / len(distances)


def sample_patches(volumes, *, n=50_000, seed=0):
    """Draw foreground patches at random for `Autoencoder.initialize_linear`.

    Parameters
    ----------
    volumes : array (n_volumes, *shape)
        Images in [-1, 1].
    n : int, optional
        Patches wanted in all.
    seed : int, optional
        Seed of the draw.

    Returns
    -------
    ndarray (up to n, 4 ** rank), float32
    """
    rng = np.random.default_rng(seed)
    share = max(1, n // len(volumes))
    drawn = []
    for volume in volumes:
        blocks = np.asarray(
            ops.convert_to_numpy(
                space_to_depth(np.asarray(volume, "float32")[None, ..., None], PATCH)
            )
        )
        blocks = blocks.reshape(-1, blocks.shape[-1])
        blocks = blocks[(blocks > -1).any(axis=1)]
        if len(blocks):
            drawn.append(rng.permutation(blocks)[:share])
    return np.concatenate(drawn)
