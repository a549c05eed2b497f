"""Attention of image positions to each other and to a sequence of conditions."""

import keras
from keras import layers, ops
import numpy as np

from dipy_synth.networks.normalization import group_norm


@keras.saving.register_keras_serializable("dipy_synth")
class Attention(layers.Layer):
    """Self-attention over positions, then cross-attention to condition tokens.

    Both, the attention of :footcite:t:`vaswani2017attention` and that to conditions of
    :footcite:t:`rombach2022latent`, are residual and start as the identity. The input
    is normalised over space.

    Parameters
    ----------
    channels : int
        Channels of the image.
    heads : int, optional
        Attention heads.

    References
    ----------
    .. footbibliography::
    """

    def __init__(self, channels, *, heads=4, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.heads = channels, heads

    def build(self, image_shape, tokens_shape=None):
        flat = (image_shape[0], None, self.channels)
        own = {"dtype": self.dtype_policy}
        self.norm = group_norm(self.channels, **own)
        self.norm.build(image_shape)
        self.attend = self._attention()
        self.attend.build(flat, flat)
        self.cross_attend = None
        if tokens_shape is not None:
            self.cross_norm = layers.LayerNormalization(epsilon=1e-5, **own)
            self.cross_norm.build(flat)
            self.cross_attend = self._attention()
            self.cross_attend.build(flat, tokens_shape)
        self.out = layers.Dense(self.channels, kernel_initializer="zeros", **own)
        self.out.build(flat)

    def _attention(self):
        return layers.MultiHeadAttention(
            self.heads,
            max(1, self.channels // self.heads),
            output_shape=self.channels,
            dtype=self.dtype_policy,
        )

    def call(self, image, tokens=None):
        flat = ops.reshape(self.norm(image), (ops.shape(image)[0], -1, self.channels))
        y = self.attend(flat, flat)
        if self.cross_attend is not None:
            y = y + self.cross_attend(self.cross_norm(flat + y), tokens)
        return image + ops.reshape(self.out(y), ops.shape(image))

    def compute_output_shape(self, image_shape, tokens_shape=None):
        return image_shape

    def get_config(self):
        return {
            **super().get_config(),
            "channels": self.channels,
            "heads": self.heads,
        }


@keras.saving.register_keras_serializable("dipy_synth")
class ConditionTokens(layers.Layer):
    """One token per condition; a missing value becomes a learned null token.

    Parameters
    ----------
    categories : sequence of int
        For each condition the number of its categories, or 0 for a number.
    width : int
        Length of a token.

    Notes
    -----
    Called on ``(batch, n_conditions)`` as `ConditionSchema.encode` returns it: numbers
    near [-1, 1], categories as their index, NaN where missing.
    """

    def __init__(self, categories, width, **kwargs):
        # in bfloat16 a number has 8 bits, and category 257 is 256
        super().__init__(**{**kwargs, "autocast": False})
        self.categories, self.width = tuple(int(n) for n in categories), width

    def build(self, input_shape):
        self.columns = []
        for n in self.categories:
            if n:
                column = layers.Embedding(
                    n, self.width, _unit(), dtype=self.dtype_policy
                )
                column.build((None,))
            else:
                column = layers.Dense(
                    self.width, kernel_initializer=_unit(), dtype=self.dtype_policy
                )
                column.build((None, 4))
            self.columns.append(column)
        self.null = self.add_weight(
            shape=(len(self.categories), self.width),
            initializer=_unit(),
            name="null",
        )

    def call(self, conditions):
        tokens = []
        for i, (n, column) in enumerate(zip(self.categories, self.columns)):
            value = ops.cast(conditions[:, i], "float32")
            missing = ops.isnan(value)
            value = ops.where(missing, ops.zeros_like(value), value)
            token = column(ops.cast(value, "int32") if n else _waves(value))
            null = ops.cast(self.null[i], token.dtype)
            tokens.append(ops.where(missing[:, None], null, token))
        return ops.stack(tokens, axis=1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], len(self.categories), self.width)

    def get_config(self):
        return {
            **super().get_config(),
            "categories": self.categories,
            "width": self.width,
        }


@keras.saving.register_keras_serializable("dipy_synth")
class SpatialConditioning(layers.Layer):
    """Zero-initialised feature map of embedding and position.

    FiLM treats all positions alike, while a tumour, or the ventricles of an age, belong
    to some of them. A learned map of the position alone is added: convolutions are
    translation-equivariant, while structures of aligned brains have fixed positions
    :footcite:p:`liu2018coordconv`. The position is given by Fourier features
    :footcite:p:`sitzmann2020implicit,tancik2020fourier`.

    Parameters
    ----------
    spatial : sequence of int
        Shape of a whole image.
    channels : int
        Channels of the feature map.
    width : int
        Hidden units.

    Notes
    -----
    Called on an embedding (batch, n) and the flat indices of the positions
    (batch, *part); returns (batch, *part, channels).

    References
    ----------
    .. footbibliography::
    """

    def __init__(self, spatial, channels, width, **kwargs):
        super().__init__(**kwargs)
        self.spatial, self.channels, self.width = tuple(spatial), channels, width

    def build(self, embedding_shape, cells_shape=None):
        own = {"dtype": self.dtype_policy}
        self.waves = _fourier_features(self.spatial)
        self.of_embedding = layers.Dense(self.width, **own)
        self.of_embedding.build(embedding_shape)
        self.of_position = layers.Dense(self.width, use_bias=False, **own)
        self.of_position.build(self.waves.shape)
        self.out = layers.Dense(self.channels, kernel_initializer="zeros", **own)
        self.out.build((None, None, self.width))
        self.of_place = self.add_weight(
            shape=(len(self.waves), self.channels), initializer="zeros", name="place"
        )

    def call(self, embedding, cells):
        waves = ops.take(ops.convert_to_tensor(self.waves), cells, axis=0)
        hidden = self.of_embedding(embedding)
        each = [1] * (len(cells.shape) - 1)
        hidden = ops.reshape(hidden, (-1, *each, self.width)) + self.of_position(waves)
        place = ops.take(ops.convert_to_tensor(self.of_place), cells, axis=0)
        return self.out(ops.silu(hidden)) + ops.cast(place, self.compute_dtype)

    def compute_output_shape(self, embedding_shape, cells_shape):
        return (*cells_shape, self.channels)

    def get_config(self):
        return {
            **super().get_config(),
            "spatial": self.spatial,
            "channels": self.channels,
            "width": self.width,
        }


def _fourier_features(spatial):
    """Compute Fourier features of all positions: ndarray of shape (n, n_features)."""
    ramps = [np.linspace(-1, 1, n) for n in spatial]
    grid = np.stack(np.meshgrid(*ramps, indexing="ij"), axis=-1)
    angles = np.pi / 2 * grid.reshape(-1, len(spatial))[..., None] * 2 ** np.arange(4)
    angles = angles.reshape(len(angles), -1)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1).astype("float32")


def _unit():
    """Return an initializer of unit variance, that of the embedding of noise levels."""
    return keras.initializers.RandomNormal(stddev=1.0)


def _waves(value):
    """Compute features of numbers (batch,): their value and slow waves, (batch, 4)."""
    turns = [value, ops.sin(2 * value), ops.cos(2 * value), ops.sin(4 * value)]
    return ops.stack(turns, axis=-1)
