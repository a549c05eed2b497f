"""The U-Net: shapes, configuration, conditions."""

import keras
from keras import ops
import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.networks.presets import UNET_PRESETS, find_preset
from dipy_synth.networks.unet import UNet
from dipy_synth.training import TrainingSettings

SHAPES = [(16, 12), (8, 12, 16)]


def shake(network, seed=0):
    """Give every weight a value, so that zero-initialised paths are heard."""
    rng = np.random.default_rng(seed)
    for weight in network.trainable_variables:
        weight.assign(np.asarray(weight) + rng.normal(0, 0.1, weight.shape))


def unet(shape, *, attention=(False, True), **kwargs):
    return UNet((*shape, 3), widths=(8, 16), blocks=1, attention=attention, **kwargs)


def noisy(shape, conditions=(), n=2):
    rng = np.random.default_rng(0)
    return {
        "latents": rng.standard_normal((n, *shape, 3)).astype("float32"),
        "time": np.linspace(0.1, 0.9, n).astype("float32"),
        "conditions": np.tile(np.asarray(conditions, "float32"), (n, 1)),
    }


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 7)])
def test_unet_starts_at_zero_and_keeps_any_shape(shape):
    network = unet(shape)
    np.testing.assert_array_equal(network(noisy(shape)), 0)
    again = UNet.from_config(network.get_config())
    assert again.get_config() == network.get_config()


def test_a_network_older_than_the_field_is_built_without():
    network = unet((5, 6), categories=(2,))
    assert network.field and not unet((5, 6)).field
    config = network.get_config()
    assert UNet.from_config(config).count_params() == network.count_params()
    config.pop("field")
    assert not UNet.from_config(config).field


@pytest.mark.parametrize("shape", SHAPES)
def test_training_mode_changes_nothing(shape):
    network = unet(shape)
    shake(network)
    x = noisy(shape)
    np.testing.assert_array_equal(network(x, training=True), network(x, training=False))


@pytest.mark.parametrize("attention", [(False, True), (False, False)])
@pytest.mark.parametrize("shape", SHAPES)
def test_unet_hears_time_conditions_and_position(shape, attention):
    network = unet(shape, categories=(0, 2), attention=attention)
    shake(network)
    inputs = noisy(shape, (0.3, 1), n=1)
    plain = np.asarray(network(inputs))

    def changed(**values):
        return np.abs(np.asarray(network({**inputs, **values})) - plain).max()

    assert changed(time=np.array([0.7], "float32")) > 1e-4
    for other in ((0.9, 1), (0.3, 0), (np.nan, 1), (np.nan, np.nan)):
        assert changed(conditions=np.array([other], "float32")) > 1e-4
    flat = {**inputs, "latents": np.zeros_like(inputs["latents"])}
    assert np.asarray(network(flat)).std(axis=1).max() > 1e-4


def test_times_that_bfloat16_cannot_tell_apart_are_told_apart():
    """Training in bfloat16 must see the times that sampling in float32 does."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = unet((6, 5))
    finally:
        keras.config.set_dtype_policy("float32")
    shake(network)
    inputs = noisy((6, 5), n=1)
    late, later = (
        np.asarray(network({**inputs, "time": np.array([t], "float32")}))
        for t in (0.9961, 0.9968)
    )
    assert ops.cast(0.9961, "bfloat16") == ops.cast(0.9968, "bfloat16")
    assert not np.array_equal(late, later)


@pytest.mark.parametrize("shape", SHAPES)
def test_unet_images_of_a_batch_stand_alone(shape):
    network = unet(shape, categories=(0,))
    shake(network)
    inputs = noisy(shape, (0.3,))
    first = {name: value[:1] for name, value in inputs.items()}
    np.testing.assert_allclose(network(inputs)[:1], network(first), atol=1e-5)


def test_unet_attends_at_its_coarsest_level_by_default():
    for widths in ((8,), (8, 16, 16)):
        made = UNet((8, 8, 3), widths=widths, blocks=1)
        told = made.get_config()
        assert told["attention"] == (*[False] * (len(widths) - 1), True)
        assert [attend is not None for ((_, attend),) in made.down] == list(
            told["attention"]
        )


@pytest.mark.parametrize(
    ("named", "levels"),
    [
        ("none", (False, False, False)),
        ("coarsest", (False, False, True)),
        ("all", (True, True, True)),
    ],
)
def test_levels_with_attention_may_be_named(named, levels):
    made = UNet((8, 8, 3), widths=(8, 8, 8), blocks=1, attention=named)
    assert made.attention == made.get_config()["attention"] == levels
    with pytest.raises(InputError, match="expected one of none, coarsest, all"):
        UNet((8, 8, 3), widths=(8,), attention="some")


@pytest.mark.parametrize("name", UNET_PRESETS)
def test_presets_make_networks_and_tell_what_they_gave(name):
    preset = find_preset(name, UNET_PRESETS)
    assert set(preset) == set(find_preset("default")) - {"crop"}
    assert all(preset.values())
    assert f"--preset {name}" in preset["command"] or name == "default"
    TrainingSettings(**preset["training"])
    narrow(preset["network"])


def narrow(network):
    """Make a preset's network with an eighth of its channels."""
    widths = [width // 8 for width in network["widths"]]
    return UNet((7, 7, 2), **{**network, "widths": widths})


def test_the_original_shape_is_three_levels_of_two_layers_without_attention():
    network = narrow(find_preset("original", UNET_PRESETS)["network"])
    for side in (network.down, network.up):
        assert [len(level) for level in side] == [2, 2, 2]
        assert all(attention is None for level in side for _, attention in level)


def test_a_preset_of_the_other_table_is_told():
    with pytest.raises(InputError, match="default, small, original, mnist"):
        find_preset("plain", UNET_PRESETS)


def test_unet_attention_must_match_the_levels():
    with pytest.raises(InputError, match="one entry per level"):
        UNet((8, 8, 3), widths=(8, 16), attention=(False,))


@pytest.mark.parametrize("shape", SHAPES)
def test_one_step_of_training_lowers_the_loss_with_finite_weights(shape):
    network = unet(shape)
    network.compile("adam", "mse")
    inputs = noisy(shape)
    target = ops.ones((2, *shape, 3))
    losses = [network.train_on_batch(inputs, target) for _ in range(3)]
    assert losses[-1] < losses[0]
    assert all(np.isfinite(np.asarray(w)).all() for w in network.weights)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_turned_network_does_in_new_channels_what_it_did_in_the_old(shape):
    network, inputs = unet(shape), noisy(shape)
    shake(network)
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    known = np.asarray(network({**inputs, "latents": inputs["latents"] @ rotation}))
    network.turn(rotation)
    np.testing.assert_allclose(network(inputs), known @ rotation.T, atol=1e-4)
