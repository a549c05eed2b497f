"""A scan to the grid and back, whatever its orientation.

The phantom's intensity is a linear function of where a voxel lies in the world. So a
value encodes a place, and an error of the geometry is read off in mm.
"""

import json

import nibabel as nib
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
import pytest
from scipy.ndimage import binary_dilation, binary_erosion, distance_transform_edt

from dipy_synth.data import preprocess
from dipy_synth.data.preprocess import PreparedT1, prepare_t1, restore_t1
from dipy_synth.data.preprocess_config import PreprocessConfig
from dipy_synth.errors import InputError
from dipy_synth.grid import Grid

GRID = Grid(shape=(24, 28, 24), voxel_size=(5, 5, 5), center=(0, 0, 0))
RAMP = np.array([1.0, 2.0, -1.5])  # per mm
PLAIN = PreprocessConfig(bias=False, align="none", scaling="minmax", order=1, grid=GRID)


def turned(degrees, axis):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = np.eye(4)
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


def oblique(linear, shape, center=(7.0, -11.0, 13.0)):
    """An affine with the middle voxel at `center`, in mm."""
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = center - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


NATIVES = {
    "ras": ((26, 30, 26), np.diag([4.0, 4, 4])),
    "las": ((26, 30, 26), np.diag([-4.0, 4, 4])),
    "psr": ((30, 26, 26), np.array([[0, 0, 4.0], [-4, 0, 0], [0, 4, 0]])),
    "oblique": ((28, 30, 28), turned(20, 0)[:3, :3] @ turned(-15, 2)[:3, :3] * 4),
    "anisotropic": ((40, 30, 14), np.diag([2.5, -4.0, 8.0])),
}


def scan(name):
    """An ellipsoid of 80 x 100 x 80 mm whose intensity encodes the place."""
    shape, linear = NATIVES[name]
    affine = oblique(linear, shape)
    world = places(shape, affine)
    inside = (((world - [7, -11, 13]) / [40, 50, 40]) ** 2).sum(axis=-1) < 1
    return np.where(inside, world @ RAMP + 500, 0.0), inside, affine


def places(shape, affine):
    """World coordinates of every voxel: (*shape, 3), in mm."""
    voxels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return voxels @ affine[:3, :3].T + affine[:3, 3]


def core(mask, margin=3):
    """Voxels so deep inside that no kernel reaches the rim."""
    return binary_erosion(mask, iterations=margin)


@pytest.mark.parametrize("name", NATIVES)
def test_the_prepared_image_overlays_the_native_one(name):
    data, mask, affine = scan(name)
    prepared = prepare_t1(data, affine, mask=mask, preprocessing=PLAIN)
    low, high = prepared.intensity_range
    expected = places(GRID.shape, prepared.affine) @ RAMP + 500
    inner = core(prepared.mask)
    assert inner.sum() > 300
    assert_allclose(
        (low + prepared.data * (high - low))[inner], expected[inner], atol=1e-3
    )
    assert_array_equal(prepared.prepared_to_native, np.eye(4))
    middle = prepared.affine @ [11.5, 13.5, 11.5, 1]
    assert_allclose(middle[:3], [7, -11, 13], atol=4)  # centred on the brain
    assert_allclose(np.diag(prepared.affine)[:3], 5)  # RAS, whatever came


@pytest.mark.parametrize("name", NATIVES)
def test_restore_brings_every_value_back_to_its_place(name, monkeypatch):
    found = turned(25, 0) @ turned(-10, 1)
    found[:3, 3] = [7, -11, 13]
    monkeypatch.setattr(preprocess, "find_transform", lambda *a, **k: found)
    data, mask, affine = scan(name)
    rigid = PreprocessConfig(bias=False, scaling="minmax", order=1, grid=GRID)
    prepared = prepare_t1(data, affine, mask=mask, preprocessing=rigid)
    back, back_affine = restore_t1(prepared, order=1)
    assert_array_equal(back_affine, affine)
    assert back.shape == data.shape and back.dtype == np.float32
    depth = distance_transform_edt(mask, np.linalg.norm(affine[:3, :3], axis=0))
    inner = depth > 18  # mm: so deep that no kernel reaches the rim
    assert inner.sum() > 200
    # A step of 1e-3 mm along the ramp is 1e-3 * |RAMP| = 2.7e-3.
    assert np.abs(back - data)[inner].max() < 1e-3 * np.linalg.norm(RAMP)
    assert_array_equal(back[~binary_dilation(mask, iterations=2)], 0)


def test_a_brain_that_would_be_cut_a_little_is_moved_into_the_grid(monkeypatch):
    found = turned(25, 0) @ turned(-10, 1)
    found[:3, 3] = np.array([7, -11, 13]) - found[:3, :3] @ [0, 0, 20]
    monkeypatch.setattr(preprocess, "find_transform", lambda *a, **k: found)
    data, mask, affine = scan("ras")
    rigid = PreprocessConfig(bias=False, scaling="minmax", order=1, grid=GRID)
    prepared = prepare_t1(data, affine, mask=mask, preprocessing=rigid)
    moved = np.linalg.solve(found, prepared.prepared_to_native)
    assert_allclose(moved[:3, :3], np.eye(3), atol=1e-9)
    assert_allclose(moved[:2, 3], 0, atol=1e-9)
    assert 0.5 < moved[2, 3] <= 4  # mm: what is prepared lies lower by as much
    assert prepared.mask[:, :, -1].any()
    assert_allclose(prepared.mask.sum() * 0.125, prepared.brain_volume, rtol=0.03)


def test_what_comes_out_is_as_promised():
    data, mask, affine = scan("oblique")
    rng = np.random.default_rng(0)
    noisy = data + mask * rng.normal(scale=5, size=data.shape)
    preprocessing = PreprocessConfig(align="none", grid=GRID)
    prepared = prepare_t1(noisy, affine, mask=mask, preprocessing=preprocessing)
    assert prepared.data.dtype == np.float32 and prepared.mask.dtype == bool
    assert prepared.data.shape == GRID.shape == prepared.mask.shape
    assert prepared.data.min() == 0 and prepared.data.max() == 1
    assert_array_equal(prepared.data[~prepared.mask], 0)
    assert prepared.native_shape == data.shape
    ellipsoid = 4 / 3 * np.pi * 40 * 50 * 40 / 1000
    assert_allclose(prepared.brain_volume, ellipsoid, rtol=0.02)
    assert_allclose(prepared.mask.sum() * 0.125, ellipsoid, rtol=0.03)


def test_a_skull_stripped_scan_needs_no_mask():
    data, mask, affine = scan("las")
    with_mask = prepare_t1(data, affine, mask=mask, preprocessing=PLAIN)
    without = prepare_t1(data, affine, preprocessing=PLAIN)
    assert_array_equal(without.data, with_mask.data)


def test_integer_images_do_not_wrap_around():
    data, mask, affine = scan("oblique")
    whole = np.round(data).astype(np.uint16)
    preprocessing = PreprocessConfig(
        bias=False, align="none", scaling="minmax", grid=GRID
    )
    found = prepare_t1(whole, affine, preprocessing=preprocessing)
    same = prepare_t1(whole.astype(float), affine, preprocessing=preprocessing)
    assert_array_equal(found.data, same.data)


def test_nothing_is_written_to_the_input():
    data, mask, affine = scan("ras")
    before = data.copy(), affine.copy()
    prepare_t1(data, affine, preprocessing=PreprocessConfig(align="none", grid=GRID))
    assert_array_equal(data, before[0])
    assert_array_equal(affine, before[1])


def test_a_brain_too_large_for_the_grid_is_refused():
    data, _, affine = scan("ras")
    small = PreprocessConfig(
        bias=False, align="none", grid=Grid(shape=(16, 16, 16), voxel_size=(5, 5, 5))
    )
    with pytest.raises(InputError, match="does not fit the grid .* mm posterior"):
        prepare_t1(data, affine, preprocessing=small)


@pytest.mark.parametrize(
    "change, match",
    [
        (lambda d: d[..., None], "three dimensions"),
        (lambda d: d[0], "three dimensions"),
        (lambda d: np.where(d == d.max(), np.nan, d), "voxels are NaN, infinite"),
        (lambda d: np.where(d == d.max(), np.inf, d), "voxels are NaN, infinite"),
        (lambda d: np.where(d == d.max(), 1e200, d), "voxels .* beyond float32"),
        (lambda d: d * 0, "constant image"),
        (lambda d: d + 1j, "complex.* values: expected real numbers"),
        (lambda d: d.astype(str), "expected real numbers"),
        (lambda d: d + np.random.default_rng(0).random(d.shape), "whole head"),
    ],
)
def test_what_is_no_scan_is_refused(change, match):
    data, _, affine = scan("ras")
    with pytest.raises(InputError, match=match):
        prepare_t1(change(data), affine, preprocessing=PLAIN)


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize(
    "change, warned",
    [
        (lambda d, m: -d, "head"),  # a background of 0 may have been filled in
        (lambda d, m: 900 - d, True),
        (lambda d, m: d - 900, False),
        (lambda d, m: np.where(m, (d - d[m].mean()) / d[m].std(), 0), False),
        (lambda d, m: np.where(m, d, -1000), False),
    ],
    ids=["negated", "inverted", "offset", "z-scored", "padded"],
)
def test_inverted_intensities_are_a_warning(change, warned, given):
    data, mask, affine = scan("ras")
    if given:  # a head, whose mask is known
        rim = binary_dilation(mask, iterations=3) & ~mask
        data = np.where(rim, 900, data) + np.random.default_rng(0).random(data.shape)
    mask_given = mask if given else None
    prepared = prepare_t1(
        change(data, mask), affine, mask=mask_given, preprocessing=PLAIN
    )
    expected = given if warned == "head" else warned
    assert any("inverted" in words for words in prepared.warnings) == expected


def test_a_whole_image_has_no_background():
    data, _, affine = scan("ras")
    whole = PreprocessConfig(brain="none", align="none", grid=GRID, bias=False)
    prepared = prepare_t1(-data, affine, preprocessing=whole)
    assert not any("inverted" in words for words in prepared.warnings)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_a_file_of_numbers_beyond_float32_is_refused_in_one_line(name, tmp_path):
    data, _, affine = scan("ras")
    nib.save(nib.Nifti1Image(data * 1e200, affine), tmp_path / name)
    with pytest.raises(InputError, match="voxels .* beyond float32") as refused:
        prepare_t1(tmp_path / name, preprocessing=PLAIN)
    assert "\n" not in str(refused.value)


def test_a_mask_must_fit_and_hold_something():
    data, mask, affine = scan("ras")
    with pytest.raises(InputError, match="a mask of shape"):
        prepare_t1(data, affine, mask=mask[1:], preprocessing=PLAIN)
    with pytest.raises(InputError, match="all zero"):
        prepare_t1(data, affine, mask=mask * 0, preprocessing=PLAIN)
    with pytest.raises(InputError, match="no mask"):
        prepare_t1(
            data,
            affine,
            preprocessing=PreprocessConfig(brain="given", align="none", grid=GRID),
        )
    with pytest.raises(InputError, match="invertible"):
        prepare_t1(data, affine * 0, preprocessing=PLAIN)


@pytest.mark.parametrize(
    "wrong",
    [
        {"brain": "magic"},
        {"align": "warp"},
        {"scaling": "log"},
        {"order": 2},
        {"percentiles": (99, 1)},
        {"percentiles": (0, 50, 100)},
    ],
)
def test_unknown_steps_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        PreprocessConfig(**wrong)


def test_steps_survive_json():
    preprocessing = PreprocessConfig(brain="given", percentiles=[1, 99], grid=GRID)
    assert (
        PreprocessConfig.from_config(json.loads(json.dumps(preprocessing.to_config())))
        == preprocessing
    )
    with pytest.raises(InputError, match="expected keys"):
        PreprocessConfig.from_config({"unknown": 1})


def test_restore_keeps_detail_as_prepare_does(monkeypatch):
    found = turned(7, 0) @ turned(-5, 1)
    monkeypatch.setattr(preprocess, "find_transform", lambda *a, **k: found)
    data, mask, affine = scan("ras")
    data = np.where(mask, 500 + 100 * np.sin(places(mask.shape, affine)[..., 1] / 4), 0)
    preprocessing = PreprocessConfig(
        bias=False, scaling="minmax", grid=Grid((40, 44, 40), (4, 4, 4))
    )
    prepared = prepare_t1(data, affine, mask=mask, preprocessing=preprocessing)
    errors = [
        np.abs(restore_t1(prepared, **order)[0] - data)[core(mask)].mean()
        for order in ({}, {"order": 1})
    ]
    assert errors[0] < 0.6 * errors[1]


def test_restore_uses_the_data_it_is_given():
    data, mask, affine = scan("ras")
    prepared = prepare_t1(data, affine, mask=mask, preprocessing=PLAIN)
    flat = PreparedT1(**{**vars(prepared), "data": prepared.mask.astype(np.float32)})
    back, _ = restore_t1(flat)
    assert_allclose(back[core(mask)], prepared.intensity_range[1], rtol=1e-5)


@pytest.mark.parametrize(
    "angle, correlation, warned", [(10, 0.7, False), (92, 0.7, True), (10, 0.2, True)]
)
def test_an_alignment_that_seems_to_have_failed_is_named(
    monkeypatch, angle, correlation, warned
):
    data, mask, affine = scan("ras")
    world = turned(angle, 2)
    world[:3, 3] = [7, -11, 13]
    monkeypatch.setattr(preprocess, "find_transform", lambda *a, **k: world)
    monkeypatch.setattr(preprocess, "template_correlation", lambda *a: correlation)
    steps = PreprocessConfig(bias=False, grid=GRID)
    found = prepare_t1(data, affine, mask=mask, preprocessing=steps)
    assert found.correlation == correlation
    assert any("may have failed" in words for words in found.warnings) == warned
    plain = prepare_t1(data, affine, mask=mask, preprocessing=PLAIN)
    assert plain.correlation is None


def test_an_affine_that_cannot_be_is_refused_and_a_shear_is_named():
    data, _, affine = scan("ras")
    for wrong in (affine[:3, :3], affine * np.nan, affine + np.diag([0, 0, 0, 1])):
        with pytest.raises(InputError, match="invertible 4 x 4 matrix, its last row"):
            prepare_t1(data, wrong, preprocessing=PLAIN)
    for shear, named in ((0.01, False), (0.2, True)):
        sheared = affine.copy()
        sheared[:3, 1] += shear * affine[:3, 0]
        warnings = prepare_t1(data, sheared, preprocessing=PLAIN).warnings
        assert ("shear" in " ".join(warnings)) == named


def test_volumes_are_named_whatever_the_way_to_the_mask():
    data, mask, affine = scan("ras")
    tiny = np.diag([0.3, 0.3, 0.3, 1]) @ affine
    for options in ({}, {"mask": mask}):
        with pytest.raises(InputError, match="mL, expected 500 to 2300"):
            prepare_t1(data, tiny, preprocessing=PLAIN, **options)
    part = mask & (np.arange(mask.shape[2]) < mask.shape[2] // 2)
    (words,) = prepare_t1(data, affine, mask=part, preprocessing=PLAIN).warnings
    assert "mL, expected 500 to 2300" in words


def test_specks_of_a_mask_are_dropped_and_further_parts_are_named():
    data, inside, affine = scan("ras")
    clean = prepare_t1(data, affine, mask=inside, preprocessing=PLAIN)
    speck = inside.copy()
    speck[0, 0, 0] = True
    found = prepare_t1(data, affine, mask=speck, preprocessing=PLAIN)
    assert found.warnings == clean.warnings and found.brain_volume == clean.brain_volume
    assert_array_equal(found.affine, clean.affine)
    parts = inside & (places(inside.shape, affine)[..., 0] // 8 != 0)
    found = prepare_t1(data, affine, mask=parts, preprocessing=PLAIN)
    assert "2 parts that do not touch" in " ".join(found.warnings)
