"""Latents for a denoiser: centred, in coordinates of equal noise, and back."""

import numpy as np
import pytest

from dipy_synth.diffusion.normalizer import LatentNormalizer


@pytest.fixture
def latents():
    rng = np.random.default_rng(1)
    scale = np.array([0.5, 3.0])
    return (2 + scale * rng.normal(size=(40, 4, 6, 4, 2))).astype("float32")


@pytest.mark.parametrize("coordinates", [None, np.array([[2.0, 1.0], [0.0, 0.1]])])
def test_there_and_back(latents, coordinates):
    normalizer = LatentNormalizer.fit(latents, coordinates=coordinates)
    normal = normalizer.normalize(latents)
    assert normal.dtype == np.float32
    assert np.abs(normal.mean(axis=0)).max() < 1e-5
    np.testing.assert_allclose(normalizer.restore(normal), latents, atol=1e-4)


def test_without_coordinates_each_channel_has_unit_variance(latents):
    normal = LatentNormalizer.fit(latents).normalize(latents)
    np.testing.assert_allclose(normal.std(axis=(0, 1, 2, 3)), 1, atol=1e-4)


def test_coordinates_are_scaled_by_one_number(latents):
    """White noise on them stays white noise in the image: no whitening."""
    coordinates = np.array([[2.0, 1.0], [0.0, 0.1]])
    normalizer = LatentNormalizer.fit(latents, coordinates=coordinates)
    factor = normalizer.matrix / np.where(coordinates, coordinates, 1)
    np.testing.assert_allclose(factor[coordinates != 0], factor[0, 0], rtol=1e-5)
    normal = normalizer.normalize(latents)
    assert normal.var() == pytest.approx(1, rel=1e-3)
    assert normal[..., 0].var() > 2 * normal[..., 1].var()


def test_the_variance_is_smoothed_over_space_and_never_0():
    rng = np.random.default_rng(0)
    latents = np.zeros((200, 9, 7, 1), "float32")
    latents[:, 4, 3, 0] = rng.standard_normal(200)
    variance = LatentNormalizer.fit(latents).variance[..., 0]
    peak = variance[4, 3]
    kernel = np.outer([0.25, 0.5, 0.25], [0.25, 0.5, 0.25]) * 4
    np.testing.assert_allclose(variance[3:6, 2:5] / peak, kernel, atol=1e-3)
    assert variance.min() > 0 and variance.mean() == pytest.approx(1, rel=1e-3)


def test_a_constant_channel_stays_finite():
    constant = np.ones((3, 2, 2, 1), "float32")
    normalizer = LatentNormalizer.fit(constant)
    np.testing.assert_array_equal(normalizer.normalize(constant), 0)
    assert np.isfinite(normalizer.restore(np.zeros((1, 2, 2, 1)))).all()
