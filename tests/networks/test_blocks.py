"""Blocks: exact inverses, identities at the start, configuration round trips."""

import keras
from keras import ops
import numpy as np
import pytest

from dipy_synth.networks.attention import (
    Attention,
    ConditionTokens,
    SpatialConditioning,
)
from dipy_synth.networks.blocks import (
    ResidualBlock,
    Upsample,
    depth_to_space,
    haar_down,
    haar_matrix,
    haar_up,
    space_to_depth,
)
from dipy_synth.networks.denoising_blocks import (
    DenoisingBlock,
    LayerNorm,
    PixelShuffle,
)
from dipy_synth.networks.quantizer import FSQ

SHAPES = [(8, 4), (4, 8, 12)]


def image(shape, channels, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((2, *shape, channels)).astype("float32")


@pytest.mark.parametrize("shape", SHAPES)
def test_space_to_depth_is_undone(shape):
    x = image(shape, 3)
    deep = space_to_depth(x, 2)
    assert deep.shape == (2, *(n // 2 for n in shape), 3 * 2 ** len(shape))
    np.testing.assert_array_equal(depth_to_space(deep, 2), x)


def test_space_to_depth_gathers_neighbours():
    x = np.arange(16.0).reshape(1, 4, 4, 1)
    assert list(np.asarray(space_to_depth(x, 2))[0, 0, 1]) == [2, 3, 6, 7]


@pytest.mark.parametrize("rank", [2, 3])
def test_haar_matrix_is_its_own_inverse(rank):
    matrix = haar_matrix(rank)
    np.testing.assert_allclose(matrix @ matrix, np.eye(2**rank), atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_haar_loses_nothing_and_begins_with_the_mean(shape):
    x = image(shape, 1)
    coefficients = np.asarray(haar_down(x))
    np.testing.assert_allclose(haar_up(coefficients), x, atol=1e-5)
    np.testing.assert_allclose((coefficients**2).sum(), (x**2).sum(), rtol=1e-5)
    block = x[0][tuple(slice(2) for _ in shape)]
    first = coefficients[0][(0,) * len(shape)][0]
    assert first == pytest.approx(block.mean() * 2 ** (len(shape) / 2), rel=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_residual_and_attention_start_as_the_identity(shape):
    x = image(shape, 8)
    tokens = np.random.default_rng(0).normal(size=(2, 3, 5)).astype("float32")
    np.testing.assert_allclose(ResidualBlock(8)(x), x, atol=1e-6)
    for normalize in (False, True):
        block = DenoisingBlock(8, normalize=normalize)
        np.testing.assert_allclose(block(x, np.ones((2, 4))), x, atol=1e-6)
    np.testing.assert_allclose(Attention(8)(x, tokens), x, atol=1e-6)


def blocks():
    return [
        (ResidualBlock(12), 8, 12, 1),
        (Upsample(4), 8, 4, 2),
        (PixelShuffle(4), 8, 4, 2),
        (LayerNorm(), 8, 8, 1),
        (Attention(8, heads=2), 8, 8, 1),
        (Attention(2, heads=4), 2, 2, 1),
        (FSQ((5, 4, 3)), 3, 3, 1),
    ]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("case", range(7))
def test_conformance(shape, policy, case):
    layer, incoming, outgoing, factor = blocks()[case]
    config = {**layer.get_config(), "dtype": policy}
    layer = type(layer).from_config(config)
    x = image(shape, incoming)
    y = layer(x)
    expected = (2, *(n * factor for n in shape), outgoing)
    assert y.shape == expected == tuple(layer.compute_output_shape(x.shape))
    assert np.isfinite(np.asarray(ops.cast(y, "float32"))).all()
    assert type(layer).from_config(layer.get_config()).get_config() == config | {
        "dtype": layer.get_config()["dtype"]
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_each_image_of_a_batch_stands_alone(shape):
    x = image(shape, 8)
    for layer in (ResidualBlock(6), Upsample(6), Attention(8)):
        keras.utils.set_random_seed(0)
        layer(x)
        for weight in layer.weights:
            weight.assign(np.random.default_rng(0).normal(0, 0.3, weight.shape))
        np.testing.assert_allclose(layer(x)[:1], layer(x[:1]), atol=1e-5)


def test_condition_tokens_differ_by_value_and_missing_ones_are_null():
    layer = ConditionTokens((0, 3), 6)
    values = np.array([[0.5, 1], [-0.5, 1], [0.5, 2], [np.nan, np.nan]], "float32")
    tokens = np.asarray(layer(values))
    assert tokens.shape == (4, 2, 6) and np.isfinite(tokens).all()
    assert np.abs(tokens[0, 0] - tokens[1, 0]).max() > 1e-3
    np.testing.assert_array_equal(tokens[0, 1], tokens[1, 1])
    assert np.abs(tokens[0, 1] - tokens[2, 1]).max() > 1e-3
    np.testing.assert_allclose(tokens[3], layer.null, atol=1e-6)


def test_conditions_are_not_rounded_in_mixed_precision():
    """In bfloat16 257 is 256, and one age in four hundred is the next."""
    layer = ConditionTokens((0, 300), 6, dtype="mixed_bfloat16")
    values = np.array([[0.501, 256], [0.5017, 257]], "float32")
    tokens = np.asarray(layer(values), "float32")
    assert np.abs(tokens[0, 1] - tokens[1, 1]).max() > 0.1


def test_layer_norm_is_keras_own_with_film_and_silu():
    x, film = image((5, 4), 6), image((1, 1), 12, seed=1)
    layer, plain = LayerNorm(), keras.layers.LayerNormalization(epsilon=1e-5)
    scale, shift = np.split(film, 2, axis=-1)
    expected = ops.silu(plain(x) * (1 + scale) + shift)
    np.testing.assert_allclose(layer(x, film), expected, atol=1e-5)
    np.testing.assert_allclose(layer(x), ops.silu(plain(x)), atol=1e-5)


def test_blocks_of_the_denoiser_compute_nothing_over_space():
    """A bright spot changes nothing far off."""
    x, embedding = image((12, 12), 8), np.ones((2, 4), "float32")
    spot = x.copy()
    spot[:, -1, -1] += 100
    for layer, more in ((LayerNorm(), ()), (DenoisingBlock(8), (embedding,))):
        layer(x, *more)
        for weight in layer.weights:
            weight.assign(np.random.default_rng(0).normal(0, 0.3, weight.shape))
        one, other = (np.asarray(layer(a, *more))[:, :8, :8] for a in (x, spot))
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_spatial_conditioning_starts_at_zero_and_learns_what_belongs_where():
    keras.utils.set_random_seed(0)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 9)] * 2, indexing="ij"), axis=-1)
    middles = np.random.default_rng(0).uniform(-0.7, 0.7, (6, 1, 1, 2))
    blobs = np.exp(-np.sum((grid - middles) ** 2, axis=-1) / 0.1)[..., None]
    layer, asked = SpatialConditioning((9, 9), 1, 32), np.eye(6, dtype="float32")
    cells = np.repeat(np.arange(81, dtype="int32").reshape(1, 9, 9), 6, axis=0)
    np.testing.assert_array_equal(layer(asked, cells), np.zeros((6, 9, 9, 1)))
    wanted, places = keras.Input((6,)), keras.Input((9, 9), dtype="int32")
    model = keras.Model([wanted, places], layer(wanted, places))
    model.compile(optimizer=keras.optimizers.Adam(0.02), loss="mse")
    model.fit([asked, cells], blobs, batch_size=6, epochs=300, verbose=0)
    left = np.mean((np.asarray(layer(asked, cells)) - blobs) ** 2)
    assert left < 0.1 * np.mean((blobs - blobs.mean(axis=0)) ** 2)
    part = np.asarray(layer(asked, cells[:, 2:5, 3:]))
    whole = np.asarray(layer(asked, cells))
    np.testing.assert_allclose(part, whole[:, 2:5, 3:], atol=1e-6)
