"""The U-Net: predicts, from noisy latents and a time, what the schedule asks for."""

import math

import keras
from keras import layers, ops
import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.networks.attention import Attention, ConditionField, ConditionTokens
from dipy_synth.networks.blocks import ResidualBlock, Upsample, convolution
from dipy_synth.networks.normalization import group_norm


@keras.saving.register_keras_serializable("dipy_synth")
class UNet(keras.Model):
    """U-Net with time by FiLM and conditions by FiLM and cross-attention.

    Parameters
    ----------
    shape : sequence of int
        Shape of one latent image, ``(*spatial, channels)``, two or three spatial axes.
    widths : sequence of int
        Channels per level; each level halves the resolution (rounding up).
    blocks : int, optional
        Residual blocks per level, on the way down and on the way up.
    attention : {"none", "coarsest", "all"} or sequence of bool, optional
        Levels with attention, or which levels have it, the finest first.
    categories : sequence of int, optional
        One entry per condition, as `ConditionTokens` takes it. Empty for an
        unconditional network.
    field : bool, optional
        Let conditions say what they do where, too, by a `ConditionField`.

    Notes
    -----
    Called on a dict of ``latents`` (batch, *shape), ``time`` (batch,) in [0, 1] and
    ``conditions`` (batch, n_conditions); gives (batch, *shape), float32. Beside the
    latents it sees where each position lies (one ramp an axis): brains on a grid are
    aligned, and a convolution alone does not know where it is.

    References
    ----------
    Ronneberger, Fischer & Brox (2015). U-Net. MICCAI.
    Ho, Jain & Abbeel (2020). Denoising diffusion probabilistic models. NeurIPS.
    Perez et al. (2018). FiLM: visual reasoning with a general conditioning layer. AAAI.
    Liu et al. (2018). An intriguing failing of convolutional neural networks and the
    CoordConv solution. NeurIPS.
    """

    def __init__(
        self,
        shape,
        *,
        widths,
        blocks=2,
        attention="coarsest",
        categories=(),
        field=True,
        **kwargs,
    ):
        # float32 times and conditions, whatever the network reckons in: rounded to
        # bfloat16, times near 1 are told apart in training otherwise than in sampling
        super().__init__(**{**kwargs, "autocast": False})
        self.shape, self.widths = tuple(int(n) for n in shape), tuple(widths)
        self.blocks, self.categories = blocks, tuple(categories)
        self.field = bool(field and self.categories)
        self.attention = _levels_with_attention(attention, self.widths)
        self._make_layers()
        self._build_by_call()

    def _make_layers(self):
        rank, first = len(self.shape) - 1, self.widths[0]
        self.embed_time = keras.Sequential(
            [layers.Dense(4 * first, activation="silu"), layers.Dense(4 * first)],
            name="time",
        )
        self.tokens = (
            ConditionTokens(self.categories, 2 * first) if self.categories else None
        )
        # Cross-attention reaches the coarse levels alone; this reaches every block.
        self.embed_tokens = (
            layers.Dense(4 * first, kernel_initializer="zeros", name="tokens")
            if self.categories
            else None
        )
        self.places = (
            ConditionField(self.shape[:-1], first, 4 * first) if self.field else None
        )
        self.first = convolution(rank, first, name="first")
        self.down = [
            self._level(width, attend)
            for width, attend in zip(self.widths, self.attention)
        ]
        self.shrink = [convolution(rank, width, strides=2) for width in self.widths[1:]]
        self.middle = self._level(self.widths[-1], self.attention[-1])
        self.up = [
            self._level(width, attend)
            for width, attend in zip(self.widths[::-1], self.attention[::-1])
        ]
        self.grow = [Upsample(width) for width in self.widths[-2::-1]]
        self.last_norm = group_norm(first, silu=True)
        # float32: the prediction's own rounding must not limit the loss
        self.last = layers.Dense(
            self.shape[-1], kernel_initializer="zeros", dtype="float32", name="last"
        )

    def _level(self, width, attend):
        """Make the (residual block, attention or None) pairs of a level."""
        return [
            (ResidualBlock(width), Attention(width) if attend else None)
            for _ in range(self.blocks)
        ]

    def _build_by_call(self):
        inputs = {
            "latents": keras.Input(self.shape),
            "time": keras.Input(()),
            "conditions": keras.Input((len(self.categories),)),
        }
        self(inputs)

    def call(self, inputs):
        embedding = self.embed_time(_time_features(inputs["time"], self.widths[0]))
        tokens = None
        if self.tokens is not None:
            tokens = ops.cast(self.tokens(inputs["conditions"]), self.compute_dtype)
            flat = ops.reshape(tokens, (-1, tokens.shape[1] * tokens.shape[2]))
            embedding = embedding + self.embed_tokens(flat)
        x = self.first(self._with_positions(inputs["latents"]))
        x = x if self.places is None else x + self.places(ops.silu(embedding))
        skips = []
        for depth, level in enumerate(self.down):
            x = self.shrink[depth - 1](x) if depth else x
            for pair in level:
                x = _apply(pair, x, embedding, tokens)
                skips.append(x)
        for pair in self.middle:
            x = _apply(pair, x, embedding, tokens)
        for depth, level in enumerate(self.up):
            x = _crop(self.grow[depth - 1](x), skips[-1]) if depth else x
            for pair in level:
                x = ops.concatenate([x, skips.pop()], axis=-1)
                x = _apply(pair, x, embedding, tokens)
        return self.last(self.last_norm(x))

    def _with_positions(self, latents):
        latents = ops.cast(latents, self.compute_dtype)
        ramps = [np.linspace(-1, 1, n, dtype="float32") for n in self.shape[:-1]]
        grid = np.stack(np.meshgrid(*ramps, indexing="ij"), axis=-1)
        grid = ops.cast(ops.convert_to_tensor(grid), latents.dtype)
        grid = ops.broadcast_to(grid, (ops.shape(latents)[0], *grid.shape))
        return ops.concatenate([latents, grid], axis=-1)

    def inherit(self, other):
        """Take the weights of a network of this shape, which may have no field.

        Parameters
        ----------
        other : UNet
            A field that it lacks stays as it is: 0 in a new network.
        """
        new = [] if other.field or not self.field else self.places.weights
        new = {id(weight) for weight in new}
        known = (weight for weight in self.weights if id(weight) not in new)
        for weight, value in zip(known, other.get_weights(), strict=True):
            weight.assign(value)

    def turn(self, rotation):
        """Make the network read and predict latents whose channels were rotated.

        Parameters
        ----------
        rotation : array (channels, channels)
            Orthogonal: what the network knew as ``latents @ rotation`` it now takes
            as ``latents``.
        """
        kernel, bias = self.first.get_weights()
        known = kernel[..., : self.shape[-1], :]
        turned = np.einsum("ij,...jk->...ik", rotation, known)
        rest = kernel[..., self.shape[-1] :, :]
        self.first.set_weights([np.concatenate([turned, rest], axis=-2), bias])
        kernel, bias = self.last.get_weights()
        self.last.set_weights([kernel @ rotation.T, bias @ rotation.T])

    def get_config(self):
        return {
            "shape": self.shape,
            "widths": self.widths,
            "blocks": self.blocks,
            "attention": self.attention,
            "categories": self.categories,
            "field": self.field,
        }

    @classmethod
    def from_config(cls, config):
        """Build what `get_config` told; a network older than the field has none."""
        return cls(**{"field": False, **config})


def _levels_with_attention(attention, widths):
    """Tell of each level whether it has attention: tuple of bool."""
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


def _crop(x, like):
    """Cut what upsampling made too large, where halving rounded up."""
    return x[(slice(None), *(slice(n) for n in like.shape[1:-1]))]


def _time_features(time, width):
    """Describe times (batch,) in [0, 1] by sines and cosines, (batch, width)."""
    half = width // 2
    frequencies = np.exp(np.linspace(0, math.log(1000), half)).astype("float32")
    angles = ops.cast(time, "float32")[:, None] * frequencies
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)
