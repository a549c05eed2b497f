"""Verdicts on phantoms, on noise and on spoilt phantoms."""

import re

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from dipy_synth.errors import InputError
from dipy_synth.grid import Grid
from dipy_synth.metrics.comparison import noise_like
from dipy_synth.metrics.verdicts import check_brains, fit_acceptance_ranges
from dipy_synth.phantom import make_phantom

GRID = Grid((20, 24, 20), (8.0, 8.0, 8.0))


@pytest.fixture(scope="module")
def brains():
    return np.stack(
        [make_phantom(i, shape=GRID.shape, voxel_size=8.0).data for i in range(24)]
    )


@pytest.fixture(scope="module")
def ranges(brains):
    return fit_acceptance_ranges(brains[:16], grid=GRID)


def test_new_brains_pass(brains, ranges):
    verdicts = check_brains(brains[16:], ranges)
    assert sum(verdict.passed for verdict in verdicts) >= 7
    assert ranges.n == 16 and len(ranges.limits) == 10
    assert all(set(verdict.metrics) >= set(ranges.limits) for verdict in verdicts)


def spoil(brains):
    rng = np.random.default_rng(0)
    x = brains[16].copy()
    masked, hole = x.copy(), x.copy()
    masked[x > 0] = rng.permutation(x[x > 0])
    hole[:10] = 0
    island = x.copy()
    island[:3, :3] = 0.5
    return {
        "noise": (noise_like(brains[:1])[0], "correlation with the mean"),
        "uniform": (rng.random(x.shape), "brain volume"),
        "noise in the mask": (masked, "high-frequency power"),
        "blurred": (gaussian_filter(x, 1), "high-frequency power"),
        "half a brain": (hole, "left-right"),
        "islands": (island, "largest component"),
        "empty": (np.zeros_like(x), "brain volume"),
        "flat": (np.where(x > 0, 0.6, 0), "grey matter's share"),
    }


@pytest.mark.parametrize("name", spoil(np.zeros((17, 4, 4, 4))))
def test_what_is_no_brain_fails_with_its_reason(brains, ranges, name):
    volume, reason = spoil(brains)[name]
    (verdict,) = check_brains(volume[None], ranges)
    assert not verdict.passed
    assert any(text.startswith(reason) for text in verdict.reasons), verdict.reasons
    assert "real brains" in verdict.reasons[0]
    assert not any("inf" in text for text in verdict.reasons)
    if name in ("islands", "half a brain"):  # limited on one side
        assert any(text.endswith(" or more") for text in verdict.reasons)


def test_a_band_is_the_percentiles_widened(brains, ranges):
    volumes = [np.count_nonzero(x > 0.04) * 0.512 for x in brains[:16]]
    low, middle, high = np.percentile(volumes, [5, 50, 95])
    assert ranges.limits["brain_ml"] == pytest.approx(
        (2 * low - middle, 2 * high - middle)
    )
    assert ranges.limits["similarity"][1] == np.inf
    assert len(ranges.limits) == 10


@pytest.mark.parametrize(
    ("volumes", "words"),
    [
        (np.zeros((0, *GRID.shape)), "1 or more"),
        (np.zeros((1, 8, 8, 8)), "the grid"),
        (np.full((1, *GRID.shape), np.inf), "not finite"),
    ],
)
def test_bad_volumes_are_reported(brains, ranges, volumes, words):
    with pytest.raises(InputError, match=words):
        check_brains(volumes, ranges)
    with pytest.raises(InputError, match="8 or more"):
        fit_acceptance_ranges(brains[:7], grid=GRID)


def test_real_brains_are_compared_with_the_others_too(brains):
    odd = brains[:16].copy()
    odd[3] = gaussian_filter(odd[3], 1)
    ranges = fit_acceptance_ranges(odd, grid=GRID, tissues=False)
    assert len(ranges.real) == len(ranges.left_out) == 16
    assert ranges.left_out.count(False) <= 3 and not ranges.left_out[3]


def test_volumes_can_be_gone_through_by_another_way(brains, ranges):
    seen = []

    def each(function, items):
        seen.extend(items)
        return [function(item) for item in items]

    assert check_brains(brains[16:18], ranges, each=each) == check_brains(
        brains[16:18], ranges
    )
    again = fit_acceptance_ranges(brains[:16], grid=GRID, tissues=False, each=each)
    assert len(seen) == 18 and again.limits["brain_ml"] == ranges.limits["brain_ml"]


def test_detail_everywhere_is_no_brain():
    """Detail of a brain, at its power but moved to other places, as mottles have it."""
    grid = Grid((40, 48, 40), (4.0, 4.0, 4.0))
    options = {"shape": grid.shape, "voxel_size": 4.0}
    *real, brain = [make_phantom(i, **options).data for i in range(11)]
    coarse = gaussian_filter(brain, 1)
    inside, rng = brain > 0, np.random.default_rng(0)
    mottled = np.where(inside, coarse, 0)
    mottled[inside] += rng.permutation((brain - coarse)[inside])
    ranges = fit_acceptance_ranges(real, grid=grid, tissues=False)
    good, bad = check_brains(np.stack([brain, mottled]), ranges)
    assert good.passed
    (reason,) = [text for text in bad.reasons if text.startswith("white matter")]
    assert re.fullmatch(
        r"white matter's fine detail: 0\.\d+; .* 0\.\d+ or less", reason
    )
