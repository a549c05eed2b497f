"""The autoencoders: their contract, the PCA start, the table, bad arguments."""

import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.networks.architectures import ARCHITECTURES, make_autoencoder
from dipy_synth.networks.patch_autoencoder import sample_patches
from dipy_synth.networks.presets import NOT_YET, PRESETS, UNET_PRESETS, find_preset

SHAPES = [(16, 24), (8, 16, 24)]
RECORD = {"network", "training", "crop", "command", "hardware", "time", "score"}


def images(shape, n=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (n, *shape, 1)).astype("float32")


def patch_autoencoder(shape, levels=(8, 8, 8)):
    return make_autoencoder(
        {
            "architecture": "patch",
            "shape": shape,
            "channels": (8, 8),
            "blocks": 1,
            "quantizer": {"name": "fsq", "levels": levels},
        }
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_latents_are_smaller_by_the_factor_and_calling_is_encode_then_decode(
    name, shape
):
    network = make_autoencoder(
        {"architecture": name, "shape": shape, "channels": (4, 4)}
    )
    x = images(shape)
    outputs = network(x)
    latents = network.encode(x)
    assert latents.shape == (3, *network.latent_shape)
    factor = 8 if name == "plain" else 4
    assert network.latent_shape[:-1] == tuple(n // factor for n in shape)
    np.testing.assert_allclose(outputs["latents"], latents, atol=1e-6)
    np.testing.assert_allclose(outputs["images"], network.decode(latents), atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_start_is_pca_of_the_patches(shape):
    n_components = 5
    network = patch_autoencoder(shape, levels=(100_001,) * n_components)
    x = images(shape, 20)
    patches = sample_patches(x[..., 0], n=10**6)
    network.initialize(x)
    inside = np.abs(np.asarray(network.encode(x))) <= 1
    assert inside.mean() > 0.98
    mean = patches.mean(axis=0)
    _, _, vectors = np.linalg.svd(patches - mean, full_matrices=False)
    basis = vectors[:n_components]
    best = np.mean(((patches - mean) - (patches - mean) @ basis.T @ basis) ** 2)
    error = np.mean((np.asarray(network(x)["images"]) - x) ** 2)
    assert error == pytest.approx(best, rel=0.02)


def test_patches_are_in_the_networks_order_and_show_foreground():
    volume = np.full((8, 8), -1.0)
    volume[:4, 4:] = np.arange(16).reshape(4, 4) / 20
    (patch,) = sample_patches(volume[None])
    np.testing.assert_allclose(patch, np.arange(16) / 20, atol=1e-6)


@pytest.mark.parametrize("levels", [(8, 8, 8), (8,) * 16])
def test_images_that_hardly_vary_are_encoded_in_range(levels):
    network = patch_autoencoder((8, 8), levels=levels)
    x = np.broadcast_to(np.linspace(0, 1, 8)[:, None, None], (2, 8, 8, 1))
    network.initialize(x)
    assert np.abs(network.to_latents.get_weights()[0]).max() < 1e4
    assert np.abs(np.asarray(network.encode(x))).max() < 1.1
    np.testing.assert_allclose(network.decode(network.encode(x)), x, atol=0.1)


def test_images_without_foreground_are_refused():
    with pytest.raises(InputError, match="all background"):
        patch_autoencoder((8, 8)).initialize(np.full((2, 8, 8, 1), -1.0))


def test_training_mode_changes_nothing_that_is_seen():
    network, x = patch_autoencoder((8, 8)), images((8, 8))
    network.initialize(x)
    seen = [network(x, training=mode)["images"] for mode in (True, False)]
    np.testing.assert_array_equal(*seen)


def test_an_epoch_counts_the_codes_it_met():
    network, x = patch_autoencoder((8, 8), levels=(5, 3)), images((8, 8), 4)
    network.initialize(x)
    network.compile("sgd", run_eagerly=True)
    found = network.evaluate(x, return_dict=True, verbose=0)
    indices = np.asarray(network.quantizer.indices(network.encode(x))).reshape(-1, 2)
    met = [len(np.unique(column)) / n for column, n in zip(indices.T, (5, 3))]
    assert found["usage"] == pytest.approx(np.mean(met))
    assert 0 < found["perplexity"] <= found["usage"]


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("patch", (10, 12), "multiples of 4"),
        ("residual", (8, 8, 9), "multiples of 4"),
        ("plain", (28, 28), "multiples of 8"),
        ("patch", (8,), "2 or 3"),
        ("magic", (8, 8), "expected one of patch, plain, residual"),
    ],
)
def test_what_does_not_fit_is_reported(name, shape, message):
    with pytest.raises(InputError, match=message):
        make_autoencoder({"architecture": name, "shape": shape})


def test_an_unknown_distance_or_argument_is_reported():
    plain = {"architecture": "plain", "shape": (8, 8)}
    with pytest.raises(InputError, match="expected one of l1, l2"):
        make_autoencoder({**plain, "distance": "l3"})
    with pytest.raises(InputError, match="blocks"):
        make_autoencoder({**plain, "blocks": 3})


@pytest.mark.parametrize("presets", [PRESETS, UNET_PRESETS])
def test_presets_have_a_whole_record_of_their_run_or_none(presets):
    for name, preset in presets.items():
        record = [preset[key] for key in ("hardware", "time", "score")]
        measured = all(any(map(str.isdigit, words)) for words in record)
        assert measured or record == [NOT_YET] * 3, name


@pytest.mark.parametrize("name", PRESETS)
def test_presets_make_networks_and_tell_what_they_gave(name):
    preset = find_preset(name)
    assert set(preset) == RECORD and all(preset.values())
    assert f"--preset {name}" in preset["command"] or name == "default"
    shape = (28, 28) if name == "mnist" else (16, 16, 16)
    make_autoencoder({"shape": shape, **preset["network"]})


def test_an_unknown_preset_is_reported():
    with pytest.raises(InputError, match="default, plain, residual, 128, mnist"):
        find_preset("large")
