"""Another grid to write on: closed forms, and what does not fit."""

import nibabel as nib
import numpy as np
import pytest

from dipy_synth.data.target import Target, describe_resolution, find_target
from dipy_synth.errors import InputError
from dipy_synth.grid import MOST_VOXELS, Grid

GRID = Grid((24, 28, 24), (4.0, 4.0, 4.0))


def world(shape, affine):
    """Return the world coordinates of all voxels: ndarray (3, *shape), in mm."""
    voxels = np.indices(shape).reshape(3, -1)
    return (affine[:3, :3] @ voxels + affine[:3, 3:]).reshape(3, *shape)


def brain(points, middle=GRID.center, radius=32.0):
    """Return a ball whose intensity rises along every axis: a function of the world."""
    offset = points - np.reshape(middle, (3, 1, 1, 1))
    distance = np.sqrt((offset**2).sum(axis=0))
    ramp = 0.5 + np.tensordot([0.003, -0.004, 0.005], offset, 1)
    return np.where(distance < radius, ramp, 0).astype("float32"), distance


def save(path, shape, affine):
    nib.save(nib.Nifti1Image(np.zeros(shape, "uint8"), affine), path)
    return path


def oblique(sizes, shape, *, flip=(1, 1, 1), degrees=0.0):
    """Return an affine whose field of view has its middle where GRID has it."""
    turn = np.deg2rad(degrees)
    rotation = [
        [np.cos(turn), -np.sin(turn), 0],
        [np.sin(turn), np.cos(turn), 0],
        [0, 0, 1],
    ]
    affine = np.eye(4)
    affine[:3, :3] = np.array(rotation) @ np.diag(np.multiply(sizes, flip))
    middle = (np.array(shape) - 1) / 2
    affine[:3, 3] = np.array(GRID.center) - affine[:3, :3] @ middle
    return affine


@pytest.mark.parametrize(
    ("sizes", "shape", "flip", "degrees"),
    [
        ((2.0, 2.0, 2.0), (40, 44, 42), (1, 1, 1), 0),
        ((2.0, 2.5, 3.0), (44, 40, 30), (-1, 1, 1), 0),
        ((3.0, 3.0, 3.0), (33, 33, 33), (-1, -1, 1), 20),
    ],
)
def test_a_ramp_stays_a_ramp_wherever_it_is_written(
    tmp_path, sizes, shape, flip, degrees
):
    affine = oblique(sizes, shape, flip=flip, degrees=degrees)
    target = Target.like(save(tmp_path / "like.nii.gz", shape, affine))
    volume, _ = brain(world(GRID.shape, GRID.affine))
    moved = target.resample(volume, GRID.affine)
    expected, distance = brain(world(shape, target.affine))
    deep = distance < 24  # away from the rim, where a cubic is exact for a ramp
    np.testing.assert_allclose(target.affine, affine, atol=1e-3)
    np.testing.assert_allclose(moved[deep], expected[deep], atol=2e-3)
    assert moved.shape == shape and not moved[distance > 36].any()
    assert moved[distance < 28].min() > 0


def test_voxels_of_another_size_have_the_extent_of_the_grid():
    target = find_target(voxel_size=[2.0], grid=GRID)
    assert target.shape == (48, 56, 48) and target.voxel_size == [2.0] * 3
    corners = [a @ [-0.5, -0.5, -0.5, 1] for a in (GRID.affine, target.affine)]
    np.testing.assert_allclose(*corners, atol=1e-9)
    assert describe_resolution(target, GRID) == {
        "Resolution": "Voxels of 2 x 2 x 2 mm, interpolated once from the grid of the "
        "model, whose voxels are 4 x 4 x 4 mm: the content is of that resolution",
        "ContentVoxelSize": [4.0, 4.0, 4.0],
    }


def test_the_own_grid_is_meant_without_another():
    assert find_target(grid=GRID) is None
    empty = Target(GRID.shape, GRID.affine).resample(np.zeros(GRID.shape), GRID.affine)
    assert empty.shape == GRID.shape and not empty.any()


def test_an_image_that_would_cut_the_brain_is_refused(tmp_path):
    shape = (40, 40, 40)
    affine = oblique((2.0, 2.0, 2.0), shape)
    affine[2, 3] += 20  # the ball reaches to 30 mm (voxels of 4 mm), the image to 20
    path = save(tmp_path / "high.nii.gz", shape, affine)
    volume, _ = brain(world(GRID.shape, GRID.affine))
    with pytest.raises(InputError, match=r"high.nii.gz: .* field of view by 10\.0 mm"):
        Target.like(path).resample(volume, GRID.affine)


def test_a_grid_that_cannot_be_held_is_refused():
    with pytest.raises(InputError, match="voxel_size 0.1.*at most 512 x 512 x 512"):
        find_target(voxel_size=[0.1], grid=GRID)
    assert np.prod(Target((512, 512, 512), np.eye(4)).shape) == MOST_VOXELS


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"like": "a.nii.gz", "voxel_size": [1.0]}, "expected one of them"),
        ({"like": "a.nii.gz"}, "a.nii.gz: no such file"),
        ({"voxel_size": [0.0]}, "voxel_size 0.0: .* 0.05 to 50"),
        ({"voxel_size": [500.0]}, "voxel_size 500.0: .* 0.05 to 50"),
        ({"voxel_size": [float("nan")]}, "voxel_size nan"),
        ({"voxel_size": [1.0, 2.0]}, "voxel_size .* three"),
    ],
)
def test_what_is_no_grid_is_refused(asked, words):
    with pytest.raises(InputError, match=words):
        find_target(**asked, grid=GRID)


def test_contradictions_of_the_header_are_named(tmp_path, caplog):
    path = save(tmp_path / "like.nii", GRID.shape, GRID.affine)
    image = nib.Nifti1Image(np.zeros(GRID.shape, "uint8"), GRID.affine)
    image.set_qform(GRID.affine + np.diag([0.5, 0, 0, 0]), 1)
    nib.save(image, path)
    found = find_target(like=path, grid=GRID)
    np.testing.assert_allclose(found.affine, GRID.affine)
    assert "like.nii: sform and qform disagree" in caplog.text
