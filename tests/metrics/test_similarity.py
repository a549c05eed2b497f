"""Similarity and sharpness against closed forms."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from dipy_synth.metrics.sharpness import high_frequency_power
from dipy_synth.metrics.similarity import psnr


def test_psnr_of_a_constant_error():
    x = np.random.default_rng(0).random((4, 5, 6))
    assert psnr(x, x + 0.1) == pytest.approx(20)
    assert psnr(x, x + 0.1, data_range=10) == pytest.approx(40)
    assert psnr(x, x) == np.inf


def test_psnr_looks_inside_the_mask_only():
    x = np.zeros((4, 4))
    y, mask = x.copy(), np.zeros((4, 4), bool)
    mask[0] = True
    y[0] += 0.1
    y[1:] += 5
    assert psnr(x, y, mask=mask) == pytest.approx(20)


@pytest.mark.parametrize(("turns", "expected"), [(2, 0.0), (7, 0.5)])
def test_power_of_a_wave_counts_above_the_cutoff_only(turns, expected):
    x = np.cos(2 * np.pi * turns * np.arange(16) / 16)
    image = np.tile(x, (16, 1))  # 7 of 8 possible turns is above half of Nyquist
    assert high_frequency_power(image) == pytest.approx(expected, abs=1e-12)


def test_blur_lowers_it_and_noise_raises_it():
    rng = np.random.default_rng(0)
    x = rng.random((16, 16, 16))
    power = high_frequency_power(x)
    assert high_frequency_power(gaussian_filter(x, 1)) < 0.1 * power
    assert high_frequency_power(x + rng.normal(0, 1, x.shape)) > 2 * power
