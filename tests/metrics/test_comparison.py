"""Metrics beside their floor and their ceiling."""

from itertools import count

import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.metrics.comparison import (
    CLASS_METRICS,
    METRICS,
    Metric,
    compare,
    noise_like,
)


@pytest.fixture(scope="module")
def cohorts():
    rng = np.random.default_rng(0)
    real, same = rng.normal(size=(2, 60, 3))
    return real, same, rng.normal(4, 1, size=(60, 3))


def test_real_is_at_the_floor_and_noise_at_the_ceiling(cohorts):
    real, same, noise = cohorts
    for row in compare(real, same, noise, repeats=30):
        assert row.n == 30
        if METRICS[row.name].two_sided:
            assert row.matched == pytest.approx(row.floor, abs=0.15), row.name
            assert np.isnan(row.normalized)
        else:
            assert row.normalized == pytest.approx(0, abs=0.15), row.name
    for row in compare(real, noise, noise, repeats=30):
        if not METRICS[row.name].two_sided:
            assert row.normalized == pytest.approx(1, abs=0.1), row.name


def test_half_way_is_between(cohorts):
    real, same, noise = cohorts
    rows = {row.name: row for row in compare(real, same + 2, noise, repeats=30)}
    # FID of a shift is its square: (2/4)^2.
    assert rows["fid"].normalized == pytest.approx(0.25, abs=0.05)
    low, high = rows["fid"].normalized_interval
    assert low < rows["fid"].normalized < high < 0.5
    low, high = rows["fid"].interval
    assert low < 12 < high


@pytest.mark.parametrize("m", [40, 400])
def test_interval_of_half_samples_is_that_of_new_samples(m):
    def shift(real, synthetic):
        return float(synthetic.mean() - real.mean())

    rng, hits, n = np.random.default_rng(5), 0, 40
    for seed in range(120):
        real, noise = rng.normal([[[0]], [[9]]], 1, (2, n, 1))
        options = {"metrics": {"shift": Metric(shift)}, "seed": seed}
        synthetic = rng.normal(1, 1, (m, 1))
        low, high = compare(real, synthetic, noise, **options)[0].interval
        hits += low < 1 < high
    assert 105 <= hits <= 120  # 95 % of 120 is 114
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(1 / n + 1 / m), rel=0.35)


def test_too_few_volumes_are_reported(cohorts):
    real, same, noise = cohorts
    rows = {r.name: r for r in compare(real[:8], same, noise, repeats=5)}
    assert "expected 12 or more" in rows["fid"].warnings[0]
    assert np.isnan(rows["coverage"].value)
    assert "expected 6 or more" in rows["coverage"].warnings[0]
    assert not rows["kid"].warnings
    assert not compare(real, same, noise, repeats=5)[0].warnings
    with pytest.raises(InputError, match="4 or more"):
        compare(real, same[:3], noise)


def test_a_metric_that_noise_reaches_is_not_normalised(cohorts):
    real, same, _ = cohorts
    row = compare(real, same, real + 0.01, repeats=10)[0]
    assert np.isnan(row.normalized) and "not normalised" in row.warnings[0]
    assert row.warnings[0].startswith("FID: its ceiling is")


def test_a_warning_names_the_metric_in_words_and_no_kind_of_ceiling(cohorts):
    metrics = {"power_distance": Metric(lambda a, b: float(len(a)))}
    (row,) = compare(*cohorts, metrics=metrics, repeats=4)
    assert row.label == "power distance" and "noise" not in row.warnings[0]
    assert row.warnings[0].startswith("power distance: its ceiling is 30, real against")


def test_an_interval_contains_its_estimate_though_most_halves_are_equal(cohorts):
    real, same, noise = cohorts

    calls, repeats = count(), 100

    def rare(real, synthetic):  # noise has 1, as does the last half-sample
        return float(synthetic.mean() > 2 or next(calls) == 3 * repeats)

    options = {"metrics": {"rare": Metric(rare)}, "repeats": repeats}
    (row,) = compare(real, same, noise, **options)
    assert next(calls) == 3 * repeats + 1 and row.value == 0
    for low, high in (row.interval, row.normalized_interval):
        assert low <= 0 <= high
    assert row.normalized == 0


def test_inception_score_is_compared_like_the_others():
    sure, unsure = np.tile(np.eye(4), (10, 1)), np.full((40, 4), 0.25)
    row = compare(sure, unsure, unsure, metrics=CLASS_METRICS, repeats=10)[0]
    assert row.value == pytest.approx(1) and row.normalized == pytest.approx(1)
    assert 3.5 < row.floor <= 4


def test_noise_keeps_the_histogram_and_nothing_else():
    volumes = np.zeros((2, 8, 8, 8), "float16")
    volumes[:, 2:6, 2:6, 2:6] = np.random.default_rng(0).random((2, 4, 4, 4))
    noise = noise_like(volumes, 3)
    assert noise.shape == (3, 8, 8, 8) and noise.dtype == "float32"
    for i in range(3):
        assert np.array_equal(np.sort(noise[i], None), np.sort(volumes[i % 2], None))
    assert not np.array_equal(noise[0], noise[2])
    inside = noise[:, 2:6, 2:6, 2:6]
    assert (inside > 0).mean() < 0.3
