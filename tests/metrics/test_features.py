"""Extractors: what they keep, and what they refuse."""

import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.metrics.features import PCA, InceptionFeatures, VoxelPCA
from dipy_synth.phantom import make_phantom


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    return rng.normal(size=(200, 3)) * [5, 2, 0.1] @ rng.normal(size=(3, 3)) + 7


@pytest.mark.parametrize("n", [200, 3])
def test_pca_keeps_distances_when_it_keeps_all(table, n):
    wide = table[:n] @ np.linalg.qr(np.random.default_rng(1).normal(size=(9, 3)))[0].T
    found = PCA(wide, min(n - 1, 3))(wide)
    assert found.shape == (n, min(n - 1, 3))
    assert np.linalg.norm(found[0] - found[1]) == pytest.approx(
        np.linalg.norm(wide[0] - wide[1])
    )
    assert np.allclose(found.mean(axis=0), 0)


def test_whitened_components_have_variance_one(table):
    pca = PCA(table, 2, whiten=True)
    assert np.allclose(np.cov(pca(table).T), np.eye(2))
    assert 0.9 < pca.explained <= 1
    assert PCA(table, 3).explained == pytest.approx(1)


def test_pca_refuses_more_components_than_there_are(table):
    with pytest.raises(InputError, match="expected 1 to 2"):
        PCA(table[:3], 3)
    with pytest.raises(InputError, match="2 features; expected 3"):
        PCA(table, 2)(table[:, :2])


def test_voxel_pca_separates_brains_and_ignores_fine_noise():
    brains = np.stack(
        [make_phantom(i, shape=(20, 24, 20), voxel_size=8.0).data for i in range(10)]
    )
    extract = VoxelPCA(brains[:8], components=5, factor=2)
    found = extract(brains)
    assert found.shape == (10, 5)
    noisy = brains + np.random.default_rng(0).normal(0, 0.02, brains.shape)
    apart = np.linalg.norm(extract(noisy)[:, None] - found, axis=2)
    assert np.array_equal(apart.argmin(axis=1), np.arange(10))
    with pytest.raises(InputError, match="the grid"):
        extract(brains[:, 1:])


@pytest.fixture(scope="module")
def network():
    return InceptionFeatures("random", slices=2, size=75)


def test_inception_gives_features_and_classes(network):
    volumes = np.random.default_rng(0).random((2, 10, 12, 8))
    found = network(volumes)
    assert found.shape == (2, 3 * 2048) and np.all(np.isfinite(found))
    assert np.allclose(network(volumes[1:]), found[1:], atol=1e-4)
    classes = network.probabilities(volumes)
    assert classes.shape == (2, 1000) and np.allclose(classes.sum(axis=1), 1)
    with pytest.raises(InputError, match="expected"):
        network(volumes[0])


def test_missing_weights_are_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"models.*_notop\.h5.*expected"):
        InceptionFeatures()
    with pytest.raises(InputError, match="no weights at .*w.h5"):
        InceptionFeatures(tmp_path / "w.h5")
