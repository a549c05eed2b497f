"""The U-Net: shapes, configuration, conditions."""

import keras
from keras import ops
import numpy as np
import pytest

from dipy_synth.diffusion.guidance import guided_denoiser
from dipy_synth.diffusion.schedules import RectifiedFlow, make_schedule
from dipy_synth.errors import InputError
from dipy_synth.networks.presets import UNET_PRESETS, find_preset, unet_arguments
from dipy_synth.networks.unet import UNet
from dipy_synth.training import TrainingSettings

SHAPES = [(16, 12), (8, 12, 16)]


def shake(network, seed=0):
    """Change every weight, so that zero-initialised paths act."""
    rng = np.random.default_rng(seed)
    for weight in network.trainable_variables:
        weight.assign(np.asarray(weight) + rng.normal(0, 0.1, weight.shape))


def unet(shape, *, attention=(False, True), **kwargs):
    return UNet((*shape, 3), widths=(8, 16), blocks=1, attention=attention, **kwargs)


def noisy(shape, conditions=(), n=2):
    rng = np.random.default_rng(0)
    return {
        "latents": rng.standard_normal((n, *shape, 3)).astype("float32"),
        "noise_level": np.linspace(-2, 1, n).astype("float32"),
        "conditions": np.tile(np.asarray(conditions, "float32"), (n, 1)),
    }


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 7)])
def test_unet_starts_at_zero_and_keeps_any_shape(shape):
    network = unet(shape)
    np.testing.assert_array_equal(network(noisy(shape)), 0)
    again = UNet.from_config(network.get_config())
    assert again.get_config() == network.get_config()


@pytest.mark.parametrize("shape", SHAPES)
def test_training_mode_changes_nothing(shape):
    network = unet(shape)
    shake(network)
    x = noisy(shape)
    np.testing.assert_array_equal(network(x, training=True), network(x, training=False))


@pytest.mark.parametrize("attention", [(False, True), (False, False)])
@pytest.mark.parametrize("shape", SHAPES)
def test_unet_sees_noise_level_conditions_shift_and_position(shape, attention):
    network = unet(shape, categories=(0, 2), attention=attention)
    shake(network)
    inputs = noisy(shape, (0.3, 1), n=1)
    plain = np.asarray(network(inputs))

    def changed(**values):
        return np.abs(np.asarray(network({**inputs, **values})) - plain).max()

    assert changed(noise_level=np.array([0.7], "float32")) > 1e-4
    assert changed(shift=np.ones((1, len(shape)), "float32")) > 1e-4
    assert changed(shift=np.zeros((1, len(shape)), "float32")) < 1e-6
    for other in ((0.9, 1), (0.3, 0), (np.nan, 1), (np.nan, np.nan)):
        assert changed(conditions=np.array([other], "float32")) > 1e-4
    flat = {**inputs, "latents": np.zeros_like(inputs["latents"])}
    assert np.asarray(network(flat)).std(axis=1).max() > 1e-4


def test_noise_levels_are_not_rounded_to_bfloat16():
    """Training in bfloat16 must see the noise levels that sampling in float32 does."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = unet((6, 5))
    finally:
        keras.config.set_dtype_policy("float32")
    shake(network)
    inputs = noisy((6, 5), n=1)
    one, other = (
        np.asarray(network({**inputs, "noise_level": np.array([level], "float32")}))
        for level in (1.991, 1.996)
    )
    assert ops.cast(1.991, "bfloat16") == ops.cast(1.996, "bfloat16")
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("unfold", [1, 2])
@pytest.mark.parametrize("rank", [2, 3])
def test_a_crop_is_denoised_as_the_same_part_of_the_whole(rank, unfold):
    """Beyond what its margin reaches; nothing is computed over space."""
    shape = (32, *[4] * (rank - 1))
    network = UNet(
        (*shape, 4), widths=(8, 8), blocks=1, attention="none", unfold=unfold
    )
    shake(network)
    rng = np.random.default_rng(0)
    maps = network.unfolding.maps
    maps.assign(rng.normal(size=maps.shape))
    latents = rng.standard_normal((1, *shape, 4)).astype("float32")
    inputs = {"noise_level": np.zeros(1, "float32")}
    inputs["conditions"] = np.zeros((1, 0), "float32")
    whole = np.asarray(network({**inputs, "latents": latents}))
    part = (slice(None), slice(4, None))
    corner = np.array([[4, *[0] * (rank - 1)]])
    found = np.asarray(network({**inputs, "latents": latents[part], "corner": corner}))
    margin = 20 // unfold + 2  # 6 convolutions at the finer level, 6 at the other
    apart = np.abs(found - whole[part]).max(axis=(0, *range(2, rank + 2)))
    assert apart[margin:].max() < 1e-5 < apart[0]
    moved = np.asarray(network({**inputs, "latents": latents[part]}))
    assert np.abs(moved - found)[:, margin:].max() > 1e-3  # it does see its position


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
        config = made.get_config()
        assert config["attention"] == (*[False] * (len(widths) - 1), True)
        assert [attend is not None for ((_, attend),) in made.down] == list(
            config["attention"]
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


@pytest.mark.parametrize(
    "widths, blocks",
    [
        ((8,), (1,)),
        ((8, 8), (1, 2)),
        ((8, 8, 8), (1, 2, 2)),
        ((8,) * 5, (1, 2, 2, 2, 2)),
    ],
)
def test_other_widths_take_the_blocks_of_a_preset(widths, blocks):
    arguments = unet_arguments(find_preset("small", UNET_PRESETS), {"widths": widths})
    assert arguments["blocks"] == blocks
    UNet((4, 4, 4, 2), **arguments)
    own = {"widths": widths, "blocks": 3}
    assert unet_arguments(find_preset("small", UNET_PRESETS), own)["blocks"] == 3


@pytest.mark.parametrize("name", UNET_PRESETS)
def test_presets_make_networks_and_tell_what_they_gave(name):
    preset = find_preset(name, UNET_PRESETS)
    assert set(preset) == {*find_preset("default"), "schedule"}
    assert all(value for name, value in preset.items() if name != "crop")
    make_schedule(preset["schedule"])
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


def test_a_preset_of_the_other_table_is_reported():
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


@pytest.mark.parametrize("blocks", [(1,), (1, 0), 0])
def test_blocks_must_match_the_levels(blocks):
    with pytest.raises(InputError, match="one per level"):
        UNet((8, 8, 3), widths=(8, 16), blocks=blocks)
    made = UNet((8, 8, 3), widths=(8, 16), blocks=(1, 2))
    assert [len(level) for level in made.down] == [1, 2]
    assert [len(level) for level in made.up] == [2, 1]


def test_the_loss_is_weighted_number_by_number():
    network = unet((4, 4))
    error = np.arange(96.0).reshape(2, 4, 4, 3).astype("float32")
    weight = np.random.default_rng(0).random(error.shape).astype("float32")
    loss = network.compute_loss(y=error, y_pred=0 * error, sample_weight=weight)
    assert float(loss) == pytest.approx(np.mean(weight * error**2), rel=1e-5)
    plain = network.compute_loss(y=error, y_pred=0 * error)
    assert float(plain) == pytest.approx(np.mean(error**2), rel=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_untrained_network_is_the_best_linear_estimate(shape):
    """At F = 0 a preconditioned prediction is the Wiener filter."""
    schedule = RectifiedFlow(prediction="preconditioned", times="log_snr")
    variance = np.random.default_rng(0).uniform(0.1, 3, (*shape, 3)).astype("float32")
    network, inputs = unet(shape), noisy(shape)
    conditions = np.zeros((2, 0), "float32")
    denoise = guided_denoiser(
        network.predict_on_batch, schedule, conditions, variance=variance
    )
    x_t, t = inputs["latents"], 0.4
    wiener = 0.6 * variance / (0.36 * variance + 0.16) * x_t
    np.testing.assert_allclose(denoise(x_t, t), wiener, rtol=1e-5)
