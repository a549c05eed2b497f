"""Group normalisation: Keras' own, to rounding, in value and in gradient."""

import keras
from keras import layers, ops
import numpy as np
import pytest

from dipy_synth.networks.normalization import GroupNorm, group_norm

SHAPES = [(6, 8), (4, 6, 5)]


CHANNELS = 24


def image_of(shape):
    """Draw an image far from mean 0."""
    rng = np.random.default_rng(0)
    return rng.normal(3, 2, (2, *shape, CHANNELS)).astype("float32")


def built(layer, shape):
    """Build a layer, with scales and shifts that differ."""
    layer.build((2, *shape, CHANNELS))
    layer.gamma.assign(np.linspace(0.5, 2, CHANNELS))
    layer.beta.assign(np.linspace(-1, 2, CHANNELS))
    return layer


def with_gradients(layer, function, *arrays):
    """Return a value, and a weighted sum's gradients by arrays, scales and shifts."""
    import tensorflow as tf

    tensors = [tf.constant(array) for array in arrays]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = ops.cast(function(*tensors), "float32")
        weights = np.cos(np.arange(np.prod(value.shape), dtype="float32"))
        total = ops.sum(value * weights.reshape(value.shape))
    sources = [*tensors, layer.gamma.value, layer.beta.value]
    found = [value, *tape.gradient(total, sources)]
    return [np.asarray(ops.cast(array, "float32")) for array in found]


def ours(shape, *arrays, silu, dtype="float32"):
    layer = built(group_norm(CHANNELS, silu=silu, dtype=dtype), shape)
    return with_gradients(layer, layer, *arrays)


def assert_near(found, expected, tolerance):
    for one, other in zip(found, expected, strict=True):
        scale = np.abs(other).max()
        np.testing.assert_allclose(one / scale, other / scale, atol=tolerance)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("silu", [False, True])
def test_it_is_that_of_keras_in_value_and_gradient(shape, silu):
    plain = built(layers.GroupNormalization(8, epsilon=1e-5), shape)

    def call(image):
        return ops.silu(plain(image)) if silu else plain(image)

    expected = with_gradients(plain, call, image_of(shape))
    assert_near(ours(shape, image_of(shape), silu=silu), expected, 1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_mixed_precision_rounds_no_more_than_input_and_result(shape):
    """Statistics are float32: values far from 0 lose nothing but the roundings."""
    image = np.asarray(ops.cast(ops.cast(image_of(shape), "bfloat16"), "float32"))
    half = ours(shape, image, silu=True, dtype="mixed_bfloat16")
    exact = ours(shape, image, silu=True)
    np.testing.assert_allclose(half[0], exact[0], rtol=2**-8, atol=1e-6)
    assert_near(half, exact, 1e-2)


def test_a_constant_image_far_from_zero_has_no_infinite_gradient():
    image = np.full((2, 4, 4, CHANNELS), 3, "float32")
    value, *gradients = ours((4, 4), image, silu=False)
    shifts = np.broadcast_to(np.linspace(-1, 2, CHANNELS), value.shape)
    np.testing.assert_allclose(value, shifts, atol=1e-3)
    assert all(np.isfinite(array).all() for array in gradients)


def test_configuration_round_trip():
    layer = GroupNorm(4, silu=True, epsilon=1e-3, name="norm")
    config = keras.saving.serialize_keras_object(layer)
    assert keras.saving.deserialize_keras_object(config).get_config() == (
        layer.get_config()
    )
    assert layer.get_config()["silu"] and layer.get_config()["groups"] == 4
