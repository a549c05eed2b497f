"""Grey matter by region."""

import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.grid import Grid
from dipy_synth.metrics.parcellation import (
    REGIONS,
    column,
    compare_regions,
    grey_matter_by_region,
    parcellate,
)

GRID = Grid((20, 24, 20), (8.0,) * 3)


@pytest.mark.parametrize(
    "point, region",
    [
        ((-30, 50, 10), "frontal"),
        ((30, 50, 10), "frontal"),
        ((-40, -50, 50), "parietal"),
        ((60, -20, -10), "temporal"),
        ((10, -90, 5), "occipital"),
        ((-36, 16, 2), "insula"),
        ((22, 6, 4), "basal ganglia"),
        ((-10, -18, 8), "thalamus"),
        ((25, -65, -35), "cerebellum"),
    ],
)
def test_a_point_in_mni_space_lies_in_its_region(point, region):
    index = np.linalg.inv(GRID.affine) @ (*point, 1)
    labels = parcellate(GRID)
    assert REGIONS[labels[tuple(np.round(index[:3]).astype(int))] - 1] == region


def test_regions_add_up_to_all_grey_matter_and_to_it_alone():
    labels = np.random.default_rng(0).integers(0, 4, GRID.shape)
    volumes = grey_matter_by_region(labels, grid=GRID)
    assert list(volumes) == [column(name) for name in REGIONS]
    assert sum(volumes.values()) == pytest.approx(np.sum(labels == 2) * 0.512)


def test_labels_on_another_grid_are_refused():
    with pytest.raises(InputError, match="expected the grid's"):
        grey_matter_by_region(np.zeros((4, 4, 4)), grid=GRID)


def rows(mean, spread, n, *, smaller=None):
    """Make metrics of n brains; one region may be smaller by a standard deviation."""
    rng = np.random.default_rng(1)
    shift = {name: spread if name == smaller else 0.0 for name in REGIONS}
    return [
        {column(r): mean - shift[r] + spread * rng.normal() for r in REGIONS}
        for _ in range(n)
    ]


def test_a_region_that_is_smaller_is_found_by_its_size_and_no_other_differs():
    real, same = rows(50, 5, 400), rows(50, 5, 400, smaller="insula")
    found = {one.name: one for one in compare_regions(real, same)}
    assert found["insula"].difference == pytest.approx(-1, abs=0.15)
    assert found["insula"].interval[1] < -0.7
    for name in set(REGIONS) - {"insula"}:
        low, high = found[name].interval
        assert low < 0.05 and high > -0.05


def test_one_brain_has_no_spread():
    with pytest.raises(InputError, match="2 or more"):
        compare_regions(rows(50, 5, 1), rows(50, 5, 4))
