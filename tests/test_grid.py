"""The grid against what its definition gives by hand."""

import json

import numpy as np
from numpy.testing import assert_allclose
import pytest

from dipy_synth.errors import InputError
from dipy_synth.grid import Grid, make_grid, model_grid


def test_affine_is_ras_and_puts_the_middle_at_the_center():
    grid = Grid(shape=(10, 12, 7), voxel_size=(2, 3, 4), center=(5, -6, 7))
    assert_allclose(grid.affine[:3, :3], np.diag([2, 3, 4]))
    middle = grid.affine @ [4.5, 5.5, 3, 1]
    assert_allclose(middle, [5, -6, 7, 1])
    assert_allclose(grid.extent, [20, 36, 28])


def test_default_holds_the_mni152_brain():
    # The brain of ICBM 2009a: voxel centres from these to these, in mm.
    low, high = np.array([-72, -106, -72]), np.array([72, 72, 82])
    grid = Grid()
    first = grid.affine[:3, 3] - 1
    assert np.all(low - first >= 2) and np.all(first + grid.extent - high >= 2)
    assert all(n % 8 == 0 for n in grid.shape)


def test_voxel_map_leads_from_grid_to_image_by_way_of_the_world():
    rng = np.random.default_rng(0)
    grid = Grid(shape=(8, 9, 10), center=(3, 2, 1))
    affine, world = np.eye(4), np.eye(4)
    affine[:3], world[:3] = rng.normal(size=(2, 3, 4))
    voxel = np.array([2, 5, 7, 1])
    for between, given in ((np.eye(4), None), (world, world)):
        there = grid.voxel_map(affine, world=given) @ voxel
        assert_allclose(affine @ there, between @ grid.affine @ voxel, atol=1e-9)
    assert_allclose(grid.voxel_map(grid.affine), np.eye(4), atol=1e-12)


def test_centered_on_moves_and_changes_nothing_else():
    grid = Grid(shape=(8, 9, 10)).centered_on(np.array([1.0, 2.0, 3.0]))
    assert grid == Grid(shape=(8, 9, 10), center=(1, 2, 3))


def test_config_survives_json():
    grid = Grid(shape=np.array([8, 9, 10]), voxel_size=[1, 2, 3.5], center=(0, 1, 2))
    assert Grid.from_config(json.loads(json.dumps(grid.to_config()))) == grid
    assert hash(grid) == hash(Grid.from_config(grid.to_config()))


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": (8, 8)},
        {"shape": (8, 8, 0)},
        {"shape": (8, 8, 8.5)},
        {"shape": 8},
        {"voxel_size": (1, 1, -1)},
        {"voxel_size": (1, 1, np.nan)},
        {"voxel_size": ("a", 1, 1)},
        {"center": (0, 0, np.inf)},
    ],
)
def test_nonsense_is_refused_by_name(wrong):
    with pytest.raises(InputError, match=f"grid {next(iter(wrong))}"):
        Grid(**wrong)


@pytest.mark.parametrize("size", [0.001, 0.3])
def test_a_grid_that_cannot_be_held_is_refused(size):
    with pytest.raises(InputError, match=f"voxel_size {size}.*at most 512 x 512 x 512"):
        make_grid(voxel_size=[size])
    assert make_grid(voxel_size=[0.4]).shape == (400, 480, 400)


@pytest.mark.parametrize("config", [{}, None, {"shape": [8, 8, 8]}])
def test_incomplete_config_is_refused(config):
    with pytest.raises(InputError, match="expected the keys"):
        Grid.from_config(config)


def test_a_model_of_images_has_no_grid():
    config = {"grid": Grid((8, 9, 10)).to_config()}
    assert model_grid(config) == Grid((8, 9, 10))
    with pytest.raises(InputError, match="a model of images"):
        model_grid({"grid": None})


@pytest.mark.parametrize("wrong", [5, None, ["a", 1, 1], [1, 1]])
@pytest.mark.parametrize("name", ["shape", "voxel_size", "center"])
def test_a_config_of_other_types_is_refused(name, wrong):
    with pytest.raises(InputError, match=f"grid {name}"):
        Grid.from_config({**Grid().to_config(), name: wrong})
