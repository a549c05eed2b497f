"""The U-Net that denoises latents."""

import math

import keras
from keras import layers, ops
import numpy as np

from dipy_synth.diffusion.pairs import MAX_SHIFT
from dipy_synth.errors import InputError
from dipy_synth.networks.attention import (
    Attention,
    ConditionTokens,
    SpatialConditioning,
)
from dipy_synth.networks.blocks import convolution
from dipy_synth.networks.denoising_blocks import DenoisingBlock, LayerNorm, PixelShuffle
from dipy_synth.networks.network import Network
from dipy_synth.networks.unfolding import Unfolding


@keras.saving.register_keras_serializable("dipy_synth")
class UNet(Network):
    """U-Net for noisy latents, which may be unfolded to a finer grid first.

    Latents of 4-voxel patches are not translation-equivariant within a patch: a fold of
    the cortex has 64 positions in it, each with another vector of channels. With
    `unfold` = 2 the latents are mapped by an orthonormal matrix to blocks half as wide,
    on a grid twice as fine, where the finest level of the U-Net works; its output is
    folded back.

    Parameters
    ----------
    shape : sequence of int
        Shape of one latent image, ``(*spatial, channels)``, two or three spatial axes.
    widths : sequence of int
        Channels per level; each level halves the resolution (rounding up).
    blocks : int or sequence of int, optional
        Residual blocks per level, on the way down and on the way up.
    attention : {"none", "coarsest", "all"} or sequence of bool, optional
        Levels with self-attention and cross-attention to conditions, or one bool per
        level, the finest first.
    categories : sequence of int, optional
        One entry per condition, see `ConditionTokens`. Empty for an unconditional
        network.
    unfold : int, optional
        Refinement of the latent grid for the finest level, a power of 2; 1 for none.
    patch : int, optional
        Side in voxels of one latent position, a multiple of `unfold`; not used with
        `unfold` = 1.
    image_channels : int, optional
        Channels of a voxel that the latents stand for: 1 of the image, and one of each
        label.

    Notes
    -----
    Called on a dict of ``latents`` (batch, *spatial, channels), ``noise_level``
    (batch,), the logarithm of the noise-to-signal ratio, and ``conditions`` (batch,
    n_conditions); for crops also ``corner`` (batch, rank), the position of the
    crop's first cell, a multiple of 2; for shifted images ``shift`` (batch, rank), in
    voxels; both are 0 by default. Returns (batch, *spatial, channels), float32.

    It is a U-Net :footcite:p:`ronneberger2015unet` as in DDPM :footcite:p:`ho2020ddpm`.
    Noise level and shift, an augmentation, are its inputs as in
    :footcite:t:`karras2022edm`, by way of FiLM :footcite:p:`perez2018film`.

    Without attention there are no statistics over space: crops and whole images agree.
    The finest level has no normalisation, the others one over the channels of each
    position.

    References
    ----------
    .. footbibliography::
    """

    def __init__(
        self,
        shape,
        *,
        widths,
        blocks=2,
        attention="coarsest",
        categories=(),
        unfold=1,
        patch=4,
        image_channels=1,
        **kwargs,
    ):
        # float32 noise levels and conditions in any precision of the network
        super().__init__(**{**kwargs, "autocast": False})
        self.shape, self.widths = tuple(int(n) for n in shape), tuple(widths)
        self.blocks = _per_level(blocks, self.widths)
        self.categories = tuple(categories)
        self.unfold, self.patch = int(unfold), int(patch)
        self.image_channels = int(image_channels)
        self.attention = _levels_with_attention(attention, self.widths)
        self._latent_level = _latent_level(self.unfold, self.widths)
        self._make_layers()
        self._build_layers()

    @property
    def rank(self):
        """Number of spatial axes, 2 or 3."""
        return len(self.shape) - 1

    def _make_layers(self):
        # stored weights depend on this order
        width = 4 * self.widths[min(1, len(self.widths) - 1)]
        self.unfolding = Unfolding(
            self.shape, self.unfold, self.patch, image_channels=self.image_channels
        )
        self._make_embeddings(width)
        self.spatial = SpatialConditioning(
            self.shape[:-1], self.widths[self._latent_level], width
        )
        self._make_levels()

    def _make_embeddings(self, width):
        self.embed_noise = keras.Sequential(
            [layers.Dense(width, activation="silu"), layers.Dense(width)], name="noise"
        )
        self.embed_shift = layers.Dense(width, kernel_initializer="zeros", name="shift")
        self.tokens = self.embed_tokens = None
        if self.categories:
            self.tokens = ConditionTokens(self.categories, width // 2)
            # cross-attention is at levels with attention only; this is in each block
            self.embed_tokens = layers.Dense(
                width, kernel_initializer="zeros", name="tokens"
            )

    def _make_levels(self):
        rank, levels = self.rank, range(len(self.widths))
        self.first = convolution(rank, self.widths[0], gain=1.0, name="first")
        self.down = [self._level(level, self.blocks[level]) for level in levels]
        self.downsample = [
            convolution(rank, width, kernel_size=2, strides=2, gain=1.0)
            for width in self.widths[1:]
        ]
        self.middle = self._level(levels[-1], 1)
        self.up = [self._level(level, self.blocks[level]) for level in levels[::-1]]
        self.upsample = [PixelShuffle(width) for width in self.widths[-2::-1]]
        # without it the last convolution may saturate and stop learning
        self.last_norm = LayerNorm()
        self.last = convolution(rank, self.unfolding.block, zero=True, name="last")

    def _level(self, level, n):
        """Make the (residual block, attention or None) pairs of a level."""
        width, normalize = self.widths[level], level > 0
        return [
            (
                DenoisingBlock(width, normalize=normalize),
                Attention(width) if self.attention[level] else None,
            )
            for _ in range(n)
        ]

    def _build_layers(self):
        """Build all layers by one symbolic call; Keras would trace a model twice."""
        inputs = {
            "latents": keras.Input(self.shape),
            "noise_level": keras.Input(()),
            "conditions": keras.Input((len(self.categories),)),
            "shift": keras.Input((self.rank,)),
        }
        self.compute_output_spec(inputs)
        self.built = True

    def call(self, inputs):
        latents = ops.cast(inputs["latents"], "float32")
        cells = _cells(self.shape[:-1], latents, inputs.get("corner"))
        embedding, tokens = self._embed(inputs)
        x = ops.cast(self.unfolding(latents, cells), self.compute_dtype)
        x, skips = self._descend(self.first(x), cells, embedding, tokens)
        for pair in self.middle:
            x = _apply(pair, x, embedding, tokens)
        x = self._ascend(x, skips, embedding, tokens)
        return self.unfolding.fold(self.last(self.last_norm(x)))

    def _embed(self, inputs):
        """Return the embedding (batch, n), and the condition tokens or None."""
        noise = ops.cast(inputs["noise_level"], "float32")
        shift = inputs.get("shift", np.zeros((1, self.rank), "float32"))
        embedding = self.embed_noise(_noise_features(noise))
        embedding = embedding + self.embed_shift(_shift_features(shift))
        tokens = None
        if self.tokens is not None:
            tokens = ops.cast(self.tokens(inputs["conditions"]), self.compute_dtype)
            flat = ops.reshape(tokens, (-1, tokens.shape[1] * tokens.shape[2]))
            embedding = embedding + self.embed_tokens(flat)
        return ops.silu(embedding), tokens

    def _descend(self, x, cells, embedding, tokens):
        """Return the coarsest features, and the skip connections of each level."""
        skips = []
        for level, pairs in enumerate(self.down):
            x = self.downsample[level - 1](_padded(x)) if level else x
            if level == self._latent_level:
                x = x + self.spatial(embedding, cells)
            for pair in pairs:
                x = _apply(pair, x, embedding, tokens)
            skips.append(x)
        return x, skips

    def _ascend(self, x, skips, embedding, tokens):
        """Return the finest features, joined with the skip connections."""
        for depth, (pairs, skip) in enumerate(zip(self.up, skips[::-1])):
            x = _cropped(self.upsample[depth - 1](x), skip) if depth else x
            x = ops.concatenate([x, skip], axis=-1)
            for pair in pairs:
                x = _apply(pair, x, embedding, tokens)
        return x

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **kwargs):
        """Compute the mean squared error, weighted per element."""
        error = ops.square(ops.cast(y_pred, "float32") - ops.cast(y, "float32"))
        return ops.mean(error if sample_weight is None else sample_weight * error)

    def arguments(self):
        labelled = self.image_channels > 1
        return {
            "shape": self.shape,
            "widths": self.widths,
            "blocks": self.blocks,
            "attention": self.attention,
            "categories": self.categories,
            "unfold": self.unfold,
            "patch": self.patch,
            **({"image_channels": self.image_channels} if labelled else {}),
        }


def _per_level(blocks, widths):
    """Return the blocks of each level: tuple of int."""
    each = (blocks,) * len(widths) if isinstance(blocks, int) else tuple(blocks)
    if len(each) != len(widths) or min(each) < 1:
        raise InputError(
            f"blocks {blocks}: expected a number from 1, or one per level, as in "
            f"widths {widths}"
        )
    return each


def _latent_level(unfold, widths):
    """Return the level whose grid is that of the latents."""
    level = unfold.bit_length() - 1
    if level >= len(widths):
        raise InputError(f"unfold {unfold}: expected more levels than widths {widths}")
    return level


def _levels_with_attention(attention, widths):
    """Return for each level whether it has attention: tuple of bool."""
    n = len(widths)
    if isinstance(attention, str):
        named = {"none": 0, "coarsest": 1, "all": n}
        if attention not in named:
            raise InputError(
                f"attention {attention!r}: expected one of {', '.join(named)}"
            )
        return tuple(level >= n - named[attention] for level in range(n))
    if len(attention) != n:
        raise InputError(
            f"attention {tuple(attention)}: expected one entry per level, "
            f"as in widths {widths}"
        )
    return tuple(attention)


def _apply(pair, x, embedding, tokens):
    block, attention = pair
    x = block(x, embedding)
    if attention is None:
        return x
    return attention(x) if tokens is None else attention(x, tokens)


def _padded(x):
    """Pad odd sizes by one, so that downsampling rounds up."""
    odd = [0 if n is None else n % 2 for n in x.shape[1:-1]]
    return ops.pad(x, [(0, 0), *((0, n) for n in odd), (0, 0)]) if any(odd) else x


def _cropped(x, like):
    """Crop the result of upsampling where downsampling rounded up."""
    return x[(slice(None), *(slice(n) for n in like.shape[1:-1]))]


def _cells(spatial, latents, corner):
    """Compute the flat indices of the cells of images or crops, (batch, *part)."""
    part, flat = latents.shape[1:-1], 0
    for axis, (n, size) in enumerate(zip(spatial, part)):
        index = ops.arange(size, dtype="int32")
        index = ops.reshape(
            index, [1] * (axis + 1) + [size] + [1] * (len(part) - axis - 1)
        )
        if corner is not None:
            start = ops.cast(corner[:, axis], "int32")
            index = index + ops.reshape(start, (-1, *[1] * len(part)))
        flat = flat * n + index
    batch = ops.shape(latents)[0]
    return ops.broadcast_to(flat, (batch, *part)) if corner is None else flat


def _noise_features(level):
    """Compute Fourier features of noise levels (batch,): (batch, 64)."""
    frequencies = np.exp(np.linspace(0, math.log(64), 32)).astype("float32")
    angles = level[:, None] / 4 * frequencies
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)


def _shift_features(shift):
    """Compute features of shifts (batch, rank): scaled shifts and their presence."""
    shift = ops.cast(shift, "float32") / MAX_SHIFT
    moved = ops.cast(ops.any(shift != 0, axis=-1, keepdims=True), "float32")
    return ops.concatenate([shift, moved], axis=-1)
