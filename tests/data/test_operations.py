"""Each step of the preparation against a closed form."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
import pytest
from scipy.ndimage import binary_erosion

from dipy_synth.data import operations as ops
from dipy_synth.errors import InputError
from dipy_synth.grid import Grid


def ball(shape, radius=0.4):
    """An ellipsoid in the middle of an array."""
    axes = [(np.arange(n) - (n - 1) / 2) / n for n in shape]
    return sum(a**2 for a in np.meshgrid(*axes, indexing="ij")) < radius**2


def rotation(*degrees):
    """Turn about x, then y, then z: (4, 4)."""
    matrix = np.eye(4)
    for axis, angle in enumerate(np.radians(degrees)):
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        turn = np.eye(4)
        turn[[i, j, i, j], [i, j, j, i]] = np.repeat(np.cos(angle), 4)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


@pytest.fixture
def matrix():
    """A grid voxel to a source voxel: turned, 1.1 times as large, moved."""
    turn = rotation(10, -20, 30)
    turn[:3, :3] *= 1.1
    turn[:3, 3] = 12 - turn[:3, :3] @ [8, 8, 8]
    return turn


@pytest.mark.parametrize("order", [1, 3])
def test_resample_finds_a_ramp_where_it_is(matrix, order):
    grid = np.stack(np.meshgrid(*[np.arange(24)] * 3, indexing="ij"), axis=-1)
    ramp = grid @ [1.0, 2.0, -3.0] + 100
    data, mask = ops.resample(
        ramp, np.ones(ramp.shape, bool), matrix, (16, 16, 16), order=order
    )
    places = np.argwhere(np.ones(data.shape)) @ matrix[:3, :3].T + matrix[:3, 3]
    expected = (places @ [1.0, 2.0, -3.0] + 100).reshape(data.shape)
    inner = np.all((places > 5) & (places < 18), axis=1).reshape(data.shape)
    assert inner.sum() > 500 and mask[inner].all()
    assert_allclose(data[inner], expected[inner], atol=2e-3)


@pytest.mark.parametrize("order", [1, 3])
def test_the_rim_is_neither_darkened_nor_brightened(matrix, order):
    inside = ball((24, 24, 24))
    core = ball((24, 24, 24), radius=0.1)
    for outside in (0, 1000):  # a background, a skull
        data = np.where(inside, 7.0, outside)
        data[core] = np.arange(core.sum()) % 20  # so that 7 is not all there is
        found, mask = ops.resample(data, inside, matrix, (20, 20, 20), order=order)
        rim = mask & ~binary_erosion(mask)
        assert_allclose(found[rim], 7, atol=0.02)
        assert_array_equal(found[~mask], 0)


def test_resample_keeps_volume_and_range(matrix):
    rng = np.random.default_rng(0)
    inside, data = ball((24, 24, 24)), rng.random((24, 24, 24))
    found, mask = ops.resample(data, inside, matrix, (20, 20, 20), order=3)
    assert_allclose(mask.sum() * 1.1**3, inside.sum(), rtol=0.02)
    low, high = data[inside].min(), data[inside].max()
    assert found[mask].min() >= low - 1e-6 and found[mask].max() <= high + 1e-6


def test_a_mask_at_the_border_keeps_its_rim():
    data = np.ones((6, 6, 6))
    found, mask = ops.resample(data, data > 0, np.eye(4), (6, 6, 6))
    assert mask.all() and np.all(found == 1)


def test_shrinking_does_not_alias():
    # Planes of 0 and 1 in turn: every other voxel alone would see zeros only.
    data = np.zeros((24, 24, 24)) + np.arange(24)[:, None, None] % 2
    everywhere = np.ones(data.shape, bool)
    found, _ = ops.resample(data, everywhere, np.diag([2.0, 2, 2, 1]), (12, 12, 12))
    assert np.abs(found[3:9] - 0.5).max() < 0.12
    sharp, _ = ops.resample(data, everywhere, np.eye(4), data.shape)
    assert_allclose(sharp, data, atol=1e-5)  # nothing is blurred without need


def test_bounding_box_and_corners():
    mask = np.zeros((9, 9, 9), bool)
    mask[2:5, 3, 4:9] = True
    assert ops.bounding_box(mask, margin=2) == (
        slice(0, 7),
        slice(1, 6),
        slice(2, 9),
    )
    affine = np.diag([-2.0, 1, 3, 1])
    low, high = ops.bounding_corners(mask, affine)
    assert_allclose([low, high], [[-8, 3, 12], [-4, 3, 24]])


def test_a_brain_that_fits_passes_and_the_excess_of_another_is_reported():
    grid = Grid(shape=(8, 8, 8), voxel_size=(2, 2, 2))
    mask = np.zeros((8, 12, 8), bool)
    mask[1:7, 1:9, 1:7] = True
    matrix = np.eye(4)
    matrix[1, 3] = 1  # grid voxel 0 is image voxel 1
    ops.check_fit(mask, matrix, grid)
    matrix[1, 3] = 4  # three planes of 2 mm, 1 mm of the first is voxel
    with pytest.raises(InputError) as caught:
        ops.check_fit(mask, matrix, grid)
    message = str(caught.value)
    assert "5.0 mm posterior" in message and "anterior" not in message
    assert "8 x 8 x 8 voxels of 2 x 2 x 2 mm" in message and "8 x 16 x 8" in message
    bigger = Grid(shape=(8, 16, 8), voxel_size=(2, 2, 2))
    matrix[1, 3] -= 4  # four more planes on either side
    ops.check_fit(mask, matrix, bigger)


def test_nudge_moves_a_brain_that_would_be_cut_no_farther_than_it_must():
    grid = Grid(shape=(8, 8, 8), voxel_size=(2, 2, 2))
    mask = np.zeros((8, 8, 8), bool)
    mask[1:7, 1:7, 1:7] = True
    image = grid.affine
    world = np.eye(4)
    world[:3, 3] = [4, -2, 0.5]  # 4 mm to the left, where 3 mm are free
    move = ops.nudge(mask, grid.voxel_map(image, world=world), grid)
    assert_allclose(move, [1, 0, 0])
    world[:3, 3] -= move
    ops.check_fit(mask, grid.voxel_map(image, world=world), grid)


def test_nudge_leaves_alone_what_it_cannot_mend():
    grid = Grid(shape=(8, 8, 8), voxel_size=(2, 2, 2))
    far = np.eye(4)
    far[0, 3] = 5  # voxels: more than the limit
    near = np.eye(4)  # ten voxels go into eight nowhere
    assert_array_equal(ops.nudge(np.ones((6, 6, 6), bool), far, grid), 0)
    assert_array_equal(ops.nudge(np.ones((10, 8, 8), bool), near, grid), 0)


def test_scale_to_unit_by_percentiles_and_by_extremes():
    data = np.arange(1000, dtype=float).reshape(10, 10, 10) + 50
    mask = data < 1000
    scaled, limits = ops.scale_to_unit(data, mask, percentiles=(1, 99))
    assert_allclose(limits, np.percentile(data[mask], [1, 99]))
    assert scaled.dtype == np.float32
    assert scaled[mask].min() == 0 and scaled[mask].max() == 1
    assert_array_equal(scaled[~mask], 0)
    inner = mask & (data > limits[0]) & (data < limits[1])
    back = limits[0] + scaled[inner] * (limits[1] - limits[0])
    assert_allclose(back, data[inner], rtol=1e-5)
    assert ops.scale_to_unit(data, mask, percentiles=(0, 100))[1] == (50, 999)


def test_scale_refuses_a_brain_without_contrast():
    data = np.zeros((4, 4, 4))
    data[0, 0, 0] = 9
    with pytest.raises(InputError, match="constant brain"):
        ops.scale_to_unit(data, data == 0)


def test_bias_is_found_again_and_the_mean_is_kept():
    shape, affine = (40, 44, 40), np.diag([3.0, 3, 3, 1])
    mask = ball(shape)
    x, y, _ = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    tissue = np.where(np.sin(9 * x) * np.sin(9 * y) > 0, 100.0, 60.0)
    field = np.exp(0.3 * x - 0.2 * y**2)
    found = ops.correct_bias(tissue * field * mask, mask, affine)
    ratio = (found / tissue)[mask]
    assert found.dtype == np.float32
    assert_allclose(found[mask].mean(), (tissue * field)[mask].mean(), rtol=1e-4)
    assert ratio.std() / ratio.mean() < 0.25 * field[mask].std() / field[mask].mean()


def test_bias_needs_positive_intensities():
    data = -np.ones((8, 8, 8))
    with pytest.raises(InputError, match="positive"):
        ops.correct_bias(data, data < 0, np.eye(4))
