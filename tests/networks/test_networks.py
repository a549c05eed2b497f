"""Autoencoder and U-Net: shapes, configuration, PCA start, losses, conditions."""

from keras import ops
import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.networks.autoencoder import Autoencoder, sample_patches
from dipy_synth.networks.unet import UNet

SHAPES = [(16, 12), (8, 12, 16)]
SMALL = {"channels": (8, 8), "blocks": 1}


def images(shape, n=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (n, *shape, 1)).astype("float32")


def shake(network, seed=0):
    """Give every weight a value, so that zero-initialised paths are heard."""
    rng = np.random.default_rng(seed)
    for weight in network.trainable_variables:
        weight.assign(np.asarray(weight) + rng.normal(0, 0.1, weight.shape))


def autoencoder(shape):
    return Autoencoder(shape, **SMALL)


def unet(shape, **kwargs):
    return UNet(
        (*shape, 3), widths=(8, 16), blocks=1, attention=(False, True), **kwargs
    )


def noisy(shape, conditions=(), n=2):
    rng = np.random.default_rng(0)
    return {
        "latents": rng.standard_normal((n, *shape, 3)).astype("float32"),
        "time": np.linspace(0.1, 0.9, n).astype("float32"),
        "conditions": np.tile(np.asarray(conditions, "float32"), (n, 1)),
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_autoencoder_shapes_and_config(shape):
    network = autoencoder(shape)
    latents = network.encode(images(shape))
    assert latents.shape == (3, *(n // 4 for n in shape), 16)
    assert tuple(latents.shape[1:]) == network.latent_shape
    assert network.decode(latents).shape == (3, *shape, 1)
    again = Autoencoder.from_config(network.get_config())
    assert again.get_config() == network.get_config()
    assert [w.shape for w in again.weights] == [w.shape for w in network.weights]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_start_is_pca_of_the_patches(shape):
    n_components = 5
    network = Autoencoder(shape, levels=(100_001,) * n_components, **SMALL)
    x = images(shape, 20)
    patches = sample_patches(x[..., 0], n=10**6)
    network.initialize_linear(patches)
    inside = np.abs(np.asarray(network.encode(x))) <= 1
    assert inside.mean() > 0.98
    mean = patches.mean(axis=0)
    _, _, vectors = np.linalg.svd(patches - mean, full_matrices=False)
    basis = vectors[:n_components]
    best = np.mean(((patches - mean) - (patches - mean) @ basis.T @ basis) ** 2)
    error = np.mean((np.asarray(network(x)) - x) ** 2)
    assert error == pytest.approx(best, rel=0.02)


def test_patches_are_in_the_networks_order_and_show_foreground():
    volume = np.full((8, 8), -1.0)
    volume[:4, 4:] = np.arange(16).reshape(4, 4) / 20
    (patch,) = sample_patches(volume[None])
    np.testing.assert_allclose(patch, np.arange(16) / 20, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_training_mode_changes_nothing(shape):
    network, flow = autoencoder(shape), unet(shape)
    for net, x in ((network, images(shape)), (flow, noisy(shape))):
        shake(net)
        np.testing.assert_array_equal(net(x, training=True), net(x, training=False))


def test_loss_is_a_mean_weighted_in_the_background():
    network = Autoencoder((8, 8), background_weight=0.25, gradient_weight=0, **SMALL)
    x = np.full((1, 8, 8, 1), -1.0, "float32")
    x[:, :4] = 0.5
    network.quantizer.overflow = 0.0
    network(x)
    for copies in (1, 3):
        batch = np.repeat(x, copies, axis=0)
        loss = float(network.compute_loss(batch, y_pred=batch + 0.2))
        assert loss == pytest.approx(0.5 * 0.2 + 0.5 * 0.25 * 0.2, rel=1e-4)


def test_gradient_term_sees_blur_and_not_brightness():
    network = Autoencoder((8, 8), background_weight=0, gradient_weight=1.0, **SMALL)
    network.quantizer.overflow = 0.0
    x = np.full((1, 8, 8, 1), -1.0, "float32")
    network(x)
    edge = x.copy()
    edge[:, :, 4:] += 0.8
    assert float(network.compute_loss(x, y_pred=x + 0.3)) == pytest.approx(0, abs=1e-6)
    expected = 0.5 * 0.8 / 7  # one of seven differences, along one of two axes
    assert float(network.compute_loss(x, y_pred=edge)) == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(10, 12), (8, 8, 9), (8,)])
def test_shapes_that_do_not_fit_are_told(shape):
    with pytest.raises(InputError, match="multiples of 4"):
        autoencoder(shape)


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 7)])
def test_unet_starts_at_zero_and_keeps_any_shape(shape):
    network = unet(shape)
    np.testing.assert_array_equal(network(noisy(shape)), 0)
    again = UNet.from_config(network.get_config())
    assert again.get_config() == network.get_config()


@pytest.mark.parametrize("shape", SHAPES)
def test_unet_hears_time_conditions_and_position(shape):
    network = unet(shape, categories=(0, 2))
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


@pytest.mark.parametrize("shape", SHAPES)
def test_unet_images_of_a_batch_stand_alone(shape):
    network = unet(shape, categories=(0,))
    shake(network)
    inputs = noisy(shape, (0.3,))
    first = {name: value[:1] for name, value in inputs.items()}
    np.testing.assert_allclose(network(inputs)[:1], network(first), atol=1e-5)


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
