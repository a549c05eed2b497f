"""DIPY's way to the grid: its affine to 1e-3 mm, and none of its defects.

The phantoms' intensity is a linear function of where a voxel lies in the world, so a
value encodes a place.
"""

from dipy.nn.utils import recover_img, transform_img
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
import pytest
from scipy.ndimage import binary_erosion, distance_transform_edt

from dipy_synth.data.preprocess import prepare_t1, restore_t1
from dipy_synth.data.preprocess_config import GRIDS, PreprocessConfig
from dipy_synth.data.transform_img import transform_t1
from dipy_synth.errors import InputError
from dipy_synth.grid import Grid

GRID = Grid((32, 40, 36), (5.0, 5.0, 5.0))
CENTER = np.array([7.0, -11.0, 13.0])
RADII = np.array([40.0, 50.0, 42.0])  # mm
RAMP = np.array([1.0, 2.0, -1.5])  # per mm


def turned(degrees, i, j):
    matrix = np.eye(3)
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
    return matrix


NATIVES = {
    "ras": ((26, 30, 26), np.diag([4.0, 4, 4])),
    "flipped": ((26, 30, 26), np.diag([-4.0, 4, -4])),
    "psr": ((30, 26, 26), np.array([[0, 0, 4.0], [-4, 0, 0], [0, 4, 0]])),
    "oblique": ((28, 32, 28), turned(20, 1, 2) @ turned(-15, 0, 1) * 4),
    "anisotropic": ((40, 30, 16), turned(8, 0, 2) @ np.diag([2.5, -4.0, 7.0])),
    "coarse": ((14, 16, 14), turned(-12, 1, 2) @ np.diag([7.0, 7.0, 7.0])),
}


def places(shape, affine):
    """World coordinates of every voxel: (*shape, 3), in mm."""
    voxels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return voxels @ affine[:3, :3].T + affine[:3, 3]


def scan(name, shift=(0.4, -0.3, 0.2)):
    """An ellipsoid, not in the middle of its field of view."""
    shape, linear = NATIVES[name]
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = CENTER - linear @ ((np.array(shape) - 1) / 2 + shift)
    world = places(shape, affine)
    mask = (((world - CENTER) / RADII) ** 2).sum(axis=-1) < 1
    return np.where(mask, world @ RAMP + 500, 0.0), mask, affine


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("name", NATIVES)
def test_every_value_is_at_its_place_by_the_affine(name, order):
    data, mask, affine = scan(name)
    found, inside, grid = transform_t1(data, mask, affine, GRID, order=order)
    expected = places(grid.shape, grid.affine) @ RAMP + 500
    inner = binary_erosion(inside, iterations=5)  # so deep that no kernel sees the rim
    assert inner.sum() > 50
    error = np.abs(found - expected)[inner].max() / np.linalg.norm(RAMP)
    assert error < (1e-3 if order == 1 else 0.2)  # mm; a spline never forgets the rim
    assert grid.shape == GRID.shape and grid.voxel_size == GRID.voxel_size


@pytest.mark.parametrize("name", NATIVES)
def test_the_brain_is_in_the_middle_and_whole(name):
    data, mask, affine = scan(name)
    found, inside, grid = transform_t1(data, mask, affine, GRID)
    at = np.argwhere(inside)
    middle = (at.min(axis=0) + at.max(axis=0)) / 2
    # Half a voxel for the lattice, half for the mask's rim.
    assert_allclose(middle, (np.array(GRID.shape) - 1) / 2, atol=1.01)
    volumes = [mask.sum() * abs(np.linalg.det(affine)), inside.sum() * 125]
    assert_allclose(volumes[1], volumes[0], rtol=0.04)
    assert_array_equal(found[~inside], 0)


@pytest.mark.parametrize("name", ["ras", "flipped", "oblique"])
def test_no_plane_is_lost_at_the_border_of_the_field_of_view(name):
    _, linear = NATIVES[name]
    affine = np.eye(4)
    affine[:3, :3] = linear
    mask = np.ones((20, 20, 20), bool)
    data = places(mask.shape, affine) @ RAMP + 900
    grid = Grid((48, 48, 48), (4.0, 4.0, 4.0))
    found, inside, _ = transform_t1(data, mask, affine, grid)
    assert_allclose(inside.sum(), mask.sum(), rtol=0.03)
    plain, _ = transform_img(data, affine, target_voxsize=(4.0, 4.0, 4.0))
    assert (plain > 0).sum() < 0.95 * mask.sum()  # what DIPY alone would have kept


def test_it_is_dipys_interpolation():
    data, mask, affine = scan("oblique")
    whole = places(mask.shape, affine) @ RAMP + 500
    whole += 40 * np.sin(places(mask.shape, affine).sum(axis=-1) / 12)
    size = tuple(4 * np.ones(3))
    ours, inside, grid = transform_t1(whole, mask, affine, Grid((40, 44, 40), size))
    plain, details = transform_img(whole, affine, target_voxsize=size)
    # The two lattices are apart by a part of a voxel: compare through the way back.
    there = recover_img(plain, details)
    here = np.linalg.solve(grid.affine, affine)
    details |= {"new_origin_world": grid.affine[:3, 3], "pad_value": None}
    back = recover_img(ours, details)
    assert_allclose(here @ [0, 0, 0, 1], np.linalg.inv(grid.affine) @ affine[:, 3])
    deep = distance_transform_edt(mask, np.linalg.norm(affine[:3, :3], axis=0)) > 16
    assert deep.sum() > 500
    assert np.abs(back - there)[deep].max() < 4  # of a wave of 40


def test_integers_do_not_wrap_and_splines_do_not_overshoot():
    mask = np.zeros((24, 24, 24), bool)
    mask[4:20, 4:20, 4:20] = True
    checks = (np.indices(mask.shape) // 3).sum(axis=0) % 2
    values = 5 + 250 * checks - checks * (np.indices(mask.shape)[0] % 10)
    data = np.where(mask, values, 0).astype(np.uint8)
    preprocessing = PreprocessConfig(
        bias=False,
        align="none",
        scaling="minmax",
        regrid="dipy",
        grid=Grid((48, 48, 48), (3.0, 3.0, 3.0)),
    )
    affine = np.diag([5.0, 5.0, 5.0, 1.0])
    whole = prepare_t1(data, affine, mask=mask, preprocessing=preprocessing)
    same = prepare_t1(
        data.astype(float), affine, mask=mask, preprocessing=preprocessing
    )
    assert_array_equal(whole.data, same.data)
    assert 5 <= whole.intensity_range[0] and whole.intensity_range[1] <= 255
    assert whole.data.min() == 0 and whole.data.max() == 1


@pytest.mark.parametrize("name", ["flipped", "oblique", "anisotropic"])
def test_the_way_back_is_the_usual_one(name):
    data, mask, affine = scan(name)
    options = {"bias": False, "align": "none", "scaling": "minmax", "order": 1}
    preprocessing = PreprocessConfig(**options, regrid="dipy", grid=GRID)
    prepared = prepare_t1(data, affine, mask=mask, preprocessing=preprocessing)
    back, back_affine = restore_t1(prepared, order=1)
    assert_array_equal(back_affine, affine)
    depth = distance_transform_edt(mask, np.linalg.norm(affine[:3, :3], axis=0))
    assert (depth > 18).sum() > 150
    assert np.abs(back - data)[depth > 18].max() < 1e-3 * np.linalg.norm(RAMP)


def test_the_original_grid_is_meant_and_alignment_refused():
    preprocessing = PreprocessConfig(regrid="dipy", align="none")
    assert preprocessing.grid == GRIDS["dipy"]
    assert (preprocessing.grid.shape, preprocessing.grid.voxel_size) == (
        (128,) * 3,
        (2.0,) * 3,
    )
    assert PreprocessConfig().grid == Grid()
    assert PreprocessConfig.from_config(preprocessing.to_config()) == preprocessing
    for align in ("rigid", "affine"):
        with pytest.raises(InputError, match="regrid='dipy' with align.*align='none'"):
            PreprocessConfig(regrid="dipy", align=align)


def test_a_brain_larger_than_the_grid_is_refused():
    data, mask, affine = scan("ras")
    with pytest.raises(InputError, match="does not fit"):
        transform_t1(data, mask, affine, Grid((12, 12, 12), (5.0, 5.0, 5.0)))
