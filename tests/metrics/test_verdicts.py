"""Verdicts on phantoms, on noise and on spoilt phantoms."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from dipy_synth.errors import InputError
from dipy_synth.grid import Grid
from dipy_synth.metrics.comparison import noise_like
from dipy_synth.metrics.verdicts import not_noise, set_pass_marks
from dipy_synth.phantom import make_phantom

GRID = Grid((20, 24, 20), (8.0, 8.0, 8.0))


@pytest.fixture(scope="module")
def brains():
    return np.stack(
        [make_phantom(i, shape=GRID.shape, voxel_size=8.0).data for i in range(24)]
    )


@pytest.fixture(scope="module")
def marks(brains):
    return set_pass_marks(brains[:16], grid=GRID)


def test_new_brains_pass(brains, marks):
    verdicts = not_noise(brains[16:], marks)
    assert sum(verdict.passed for verdict in verdicts) >= 7
    assert marks.n == 16 and len(marks.bands) == 9
    assert all(set(verdict.figures) == set(marks.bands) for verdict in verdicts)


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
        "flat": (np.where(x > 0, 0.6, 0), "fluid's share"),
    }


@pytest.mark.parametrize("name", spoil(np.zeros((17, 4, 4, 4))))
def test_what_is_no_brain_fails_with_its_reason(brains, marks, name):
    volume, reason = spoil(brains)[name]
    (verdict,) = not_noise(volume[None], marks)
    assert not verdict.passed
    assert any(text.startswith(reason) for text in verdict.reasons), verdict.reasons
    assert "real brains" in verdict.reasons[0]


def test_figures_that_do_not_count_give_no_reason(brains, marks):
    blurred = gaussian_filter(brains[16:17], (0, 1, 1, 1))
    (verdict,) = not_noise(blurred, marks, figures=["likeness", "symmetry"])
    assert verdict.passed and len(verdict.figures) == 9
    with pytest.raises(InputError, match="figures charm: expected"):
        not_noise(blurred, marks, figures=["charm"])


def test_a_band_is_the_percentiles_widened(brains, marks):
    narrow = set_pass_marks(brains[:16], grid=GRID, tissues=False, widening=0)
    volumes = [np.count_nonzero(x > 0.04) * 0.512 for x in brains[:16]]
    low, middle, high = np.percentile(volumes, [5, 50, 95])
    assert narrow.bands["brain_ml"] == pytest.approx((low, high))
    assert marks.bands["brain_ml"] == pytest.approx(
        (2 * low - middle, 2 * high - middle)
    )
    assert marks.bands["likeness"][1] == np.inf
    assert len(narrow.bands) == 5


@pytest.mark.parametrize(
    ("volumes", "words"),
    [
        (np.zeros((0, *GRID.shape)), "1 or more"),
        (np.zeros((1, 8, 8, 8)), "the grid"),
        (np.full((1, *GRID.shape), np.inf), "not finite"),
    ],
)
def test_bad_volumes_are_told(brains, marks, volumes, words):
    with pytest.raises(InputError, match=words):
        not_noise(volumes, marks)
    with pytest.raises(InputError, match="8 or more"):
        set_pass_marks(brains[:7], grid=GRID)


def test_real_brains_are_judged_by_the_others_too(brains):
    odd = brains[:16].copy()
    odd[3] = gaussian_filter(odd[3], 1)
    marks = set_pass_marks(odd, grid=GRID, tissues=False)
    assert len(marks.real) == len(marks.left_out) == 16
    assert marks.left_out.count(False) <= 3 and not marks.left_out[3]


def test_volumes_can_be_gone_through_by_another_way(brains, marks):
    seen = []

    def each(function, items):
        seen.extend(items)
        return [function(item) for item in items]

    assert not_noise(brains[16:18], marks, each=each) == not_noise(brains[16:18], marks)
    again = set_pass_marks(brains[:16], grid=GRID, tissues=False, each=each)
    assert len(seen) == 18 and again.bands["brain_ml"] == marks.bands["brain_ml"]
