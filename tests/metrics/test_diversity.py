"""How alike the volumes of a cohort are."""

import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.metrics.diversity import choose_pairs, similarity_within
from dipy_synth.metrics.sharpness import high_frequency_power, radial_power
from dipy_synth.metrics.similarity import ms_ssim


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return 0.5 + 0.2 * rng.normal(size=(1, 24, 24)) + 0.1 * rng.normal(size=(9, 24, 24))


@pytest.mark.parametrize("n", [3, 8, 9])
def test_each_volume_is_in_as_many_pairs_and_no_pair_comes_twice(n):
    chosen = choose_pairs(n, 3 * n, np.random.default_rng(0))
    assert len({frozenset(pair) for pair in chosen.tolist()}) == len(chosen)
    assert len({*np.bincount(chosen.ravel(), minlength=n).tolist()}) == 1
    assert np.all(chosen[:, 0] != chosen[:, 1])


def test_the_mean_is_that_of_all_pairs(images):
    found = similarity_within(images, pairs=1000)
    values = [
        ms_ssim(images[i], images[j], scales=2) for i in range(9) for j in range(i)
    ]
    assert found.pairs == 36 and found.mean == pytest.approx(np.mean(values))
    low, high = found.interval()
    assert low < found.mean < high
    assert similarity_within(np.repeat(images[:1], 5, axis=0)).mean == pytest.approx(1)
    other = similarity_within(images, pairs=1000, seed=1)
    assert other.error == pytest.approx(found.error)


@pytest.mark.parametrize(("pairs", "near"), [(1000, 0.5), (40, 0.25)])
def test_the_error_is_that_of_new_cohorts(pairs, near, monkeypatch):
    """Of pairs by the sum of two numbers, and of some by neither."""

    def similarity(*pair, scales):
        a, b = (float(volume.flat[0]) for volume in pair)
        return a + b + np.sin(1e6 * a * b)

    monkeypatch.setattr("dipy_synth.metrics.diversity.ms_ssim", similarity)
    rng = np.random.default_rng(0)
    cohorts = rng.uniform(0, 1, (200, 40, 16, 16))
    found = [similarity_within(cohort, pairs=pairs) for cohort in cohorts]
    spread = np.std([one.mean for one in found])
    errors = np.mean([one.error**2 for one in found]) ** 0.5
    assert errors == pytest.approx(spread, rel=near / 2)


def test_two_volumes_are_too_few(images):
    with pytest.raises(InputError, match="3 or more"):
        similarity_within(images[:2])
    with pytest.raises(InputError, match="0 pairs"):
        similarity_within(images, pairs=0)


def test_radial_power_of_a_wave_is_at_its_frequency():
    x = np.arange(64)
    wave = 3 + np.cos(2 * np.pi * 16 * x / 64)[:, None] * np.ones((64, 64))
    frequencies, power = radial_power(wave, bins=8)
    assert frequencies == pytest.approx(np.arange(8) / 8 + 1 / 16)
    assert np.argmax(power) == 4 and power[[0, 1, 2, 3, 5, 6, 7]].max() < 1e-12
    noise = np.random.default_rng(0).normal(size=(64, 64))
    flat = radial_power(noise, bins=4)[1]
    assert flat == pytest.approx(np.full(4, 1 / 64**2), rel=0.3)
    assert high_frequency_power(wave, cutoff=0.4) == pytest.approx(0.5)
