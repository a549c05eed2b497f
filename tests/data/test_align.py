"""Alignment: a known displacement of the template is found again."""

import numpy as np
from numpy.testing import assert_allclose
import pytest

from dipy_synth.data.align import (
    find_transform,
    load_template,
    rotation_angle,
    template_correlation,
    without_size,
)
from dipy_synth.data.operations import resample
from dipy_synth.errors import InputError
from dipy_synth.grid import Grid


def turn(x, y, z):
    """Turn by degrees about x, then y, then z: (3, 3)."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(a := np.radians([x, y, z])), np.sin(a)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    return np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]]) @ about_y @ about_x


def displaced(world, voxel_size=4.0):
    """The template's brain moved by `world`, on a coarse native grid."""
    data, affine = load_template()
    center = world[:3, :3] @ [0, -17, 5] + world[:3, 3]
    grid = Grid(shape=(56, 60, 56), voxel_size=(voxel_size,) * 3, center=tuple(center))
    matrix = np.linalg.solve(world @ affine, grid.affine)
    moved, mask = resample(data, data > 0, matrix, grid.shape)
    return moved * 300 + 20, mask, grid.affine


def farthest(found, true):
    """Largest distance between two maps over a brain, in mm."""
    corners = np.array(
        [[x, y, z, 1] for x in (-65, 65) for y in (-95, 60) for z in (-50, 70)]
    )
    return np.linalg.norm((corners @ (found - true).T)[:, :3], axis=1).max()


@pytest.mark.parametrize("angles", [(-25, 8, 10), (20, -10, 15)])
def test_a_rigid_displacement_is_found(angles):
    true = np.eye(4)
    true[:3, :3], true[:3, 3] = turn(*angles), [15, -30, 40]
    scan = displaced(true)
    found = find_transform(*scan)
    assert farthest(found, true) < 0.5


def test_a_small_brain_keeps_its_size_and_is_not_tilted():
    true = np.eye(4)
    true[:3, :3], true[:3, 3] = 0.85 * turn(-15, 0, 5), [0, 10, 0]
    found = find_transform(*displaced(true))
    rotation = found[:3, :3]
    assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert_allclose(np.linalg.det(rotation), 1)
    angle = np.degrees(np.arccos((np.trace(rotation.T @ turn(-15, 0, 5)) - 1) / 2))
    assert angle < 1.0
    center = np.array([0, -17, 5, 1])
    assert np.linalg.norm((found - true) @ center) < 1.5


def test_affine_finds_sizes_too():
    true = np.eye(4)
    true[:3, :3] = turn(10, 0, 0) @ np.diag([0.9, 1.0, 0.85])
    found = find_transform(*displaced(true), kind="affine")
    assert farthest(found, true) < 3.0


def test_without_size_keeps_rotation_and_the_center():
    matrix, center = np.eye(4), np.array([3.0, 4.0, 5.0])
    matrix[:3, :3], matrix[:3, 3] = 1.3 * turn(10, 20, 30), [7, 8, 9]
    rigid = without_size(matrix, center)
    assert_allclose(rigid[:3, :3], turn(10, 20, 30), atol=1e-12)
    assert_allclose(rigid @ [*center, 1], matrix @ [*center, 1])


def test_an_unknown_kind_is_refused():
    with pytest.raises(InputError, match="kind 'warp': expected one of rigid, affine"):
        find_transform(*displaced(np.eye(4)), kind="warp")


def test_the_correlation_separates_an_alignment_from_a_failed_one():
    true = np.eye(4)
    true[:3, :3], true[:3, 3] = 0.85 * turn(10, 0, 5), [0, 10, 0]
    data, mask, affine = displaced(true)
    rigid = without_size(true, [0, -17, 5])
    assert template_correlation(data, mask, affine, rigid) > 0.9  # at any size
    assert template_correlation(data - 1000, mask, affine, rigid) > 0.8
    failed = rigid.copy()
    failed[:3, :3] = rigid[:3, :3] @ turn(0, 0, 90)
    assert template_correlation(data, mask, affine, failed) < 0.4
    half = mask & (np.arange(len(mask)) < len(mask) // 2)[:, None, None]
    assert template_correlation(data, half, affine, rigid) < 0.4


def test_the_rotation_angle_of_a_transform():
    matrix = np.eye(4)
    matrix[:3, :3] = 1.2 * turn(0, 0, 92)
    assert_allclose(rotation_angle(matrix), 92)
