"""Anatomy of phantoms, whose anatomy is known, and of shapes."""

import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.grid import Grid
from dipy_synth.metrics.anatomy import (
    brain_volume,
    describe_brain,
    largest_component_share,
    segment_tissues,
    symmetry,
    tissue_volumes,
    ventricle_volume,
)
from dipy_synth.metrics.array_checks import block_mean
from dipy_synth.phantom import make_phantom

GRID = Grid((40, 48, 40), (4.0, 4.0, 4.0))


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(3, shape=GRID.shape, voxel_size=4.0, age=50)


@pytest.fixture(scope="module")
def shells():
    """Fluid about grey about white matter, as a volume and as labels."""
    x = np.indices((28, 28, 28)) - 13.5
    radius = np.sqrt(np.sum(x**2, axis=0))
    truth = (radius < 13).astype(int) + (radius < 11) + (radius < 8)
    noise = np.random.default_rng(0).normal(0, 0.05, truth.shape)
    return np.where(truth, np.array([0, 0.2, 0.6, 0.9])[truth] + noise, 0), truth


@pytest.fixture(scope="module")
def labels(shells):
    return segment_tissues(shells[0])


def test_largest_component_counts_over_faces():
    volume = np.zeros((5, 5, 5))
    assert largest_component_share(volume) == 0
    volume[0, 0, :3] = 1
    assert largest_component_share(volume) == 1
    volume[1, 1, 3] = 1  # touches by a corner
    assert largest_component_share(volume) == 0.75
    volume[4] = 0.03  # the fringe is no foreground
    assert largest_component_share(volume) == 0.75


def test_brain_volume_is_in_millilitres():
    volume = np.zeros((10, 10, 10))
    volume[:5] = 0.5
    assert brain_volume(volume, voxel_size=(2, 2, 5)) == pytest.approx(10)


def test_symmetry_of_a_mirrored_and_of_a_one_sided_volume(phantom):
    both = phantom.data + phantom.data[::-1]
    assert symmetry(both) == pytest.approx(1)
    left = both.copy()
    left[20:] = 0
    assert symmetry(left) < 0 < symmetry(phantom.data) < 1
    assert symmetry(np.zeros((4, 4, 4))) == 0


def test_tissues_are_found(shells, labels):
    volume, truth = shells
    assert np.mean((labels == truth)[truth > 0]) > 0.97
    assert not labels[truth == 0].any() and np.all(labels[volume > 0.04] > 0)
    found = tissue_volumes(labels, voxel_size=(2, 2, 5))
    assert list(found) == ["csf", "grey", "white"]
    assert found["white"] == pytest.approx((labels == 3).sum() * 0.02)


def test_tissues_are_the_same_again(shells, labels):
    assert np.mean(segment_tissues(shells[0]) != labels) < 1e-3


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_a_volume_without_tissues_has_none(value):
    assert not segment_tissues(np.full((8, 8, 8), value)).any()


def test_ventricles_of_old_phantoms_are_larger_and_near_the_truth():
    volumes = [
        make_phantom(1, shape=GRID.shape, voxel_size=4.0, age=age).labels
        for age in (22, 50, 78)
    ]
    found = [ventricle_volume(labels, grid=GRID) for labels in volumes]
    assert found == sorted(found) and found[2] > 1.3 * found[0]


def test_fluid_from_outside_is_no_ventricle():
    labels = np.full(GRID.shape, 3)
    labels[18:22, 22:26, 18:22] = 1  # a closed cavity about the middle
    assert ventricle_volume(labels, grid=GRID) == pytest.approx(4**3 * 0.064)
    labels[18:22, 22:26, 22:] = 1  # a wide way to the outside
    assert ventricle_volume(labels, grid=GRID) < 9 * 16 * 0.064  # of 11 layers inside
    labels[:] = 1
    assert ventricle_volume(labels, grid=GRID) < 180  # the ellipsoid has 199 mL
    with pytest.raises(InputError, match="expected the grid's"):
        ventricle_volume(labels[1:], grid=GRID)


def test_all_metrics_of_a_brain_beside_itself(phantom):
    power = describe_brain(phantom.data, grid=GRID, mean=phantom.data, power=1.0)
    again = describe_brain(
        phantom.data, grid=GRID, mean=phantom.data, power=power["sharpness"]
    )
    assert again["similarity"] == again["sharpness"] == pytest.approx(1)
    shares = [again[f"{name}_share"] for name in ("csf", "grey", "white")]
    assert sum(shares) == pytest.approx(1)
    short = describe_brain(
        phantom.data, grid=GRID, mean=phantom.data, power=1.0, tissues=False
    )
    assert "csf_share" not in short and len(short) == 6


def test_blocks_are_averaged_and_the_rest_is_dropped():
    x = np.arange(5.0 * 4 * 2).reshape(1, 5, 4, 2)
    small = block_mean(x, 2)
    assert small.shape == (1, 2, 2, 1)
    assert small[0, 1, 0, 0] == x[0, 2:4, :2].mean()
