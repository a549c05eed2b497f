"""What values mean: zero, padding, outliers, and the scale of a mask."""

import numpy as np
from numpy.testing import assert_array_equal
import pytest

from dipy_synth.data import intensities
from dipy_synth.data.align import find_transform
from dipy_synth.data.intensities import (
    as_mask,
    background_values,
    check_contrast,
    clip_outliers,
    offset_of,
)
from dipy_synth.data.operations import correct_bias
from dipy_synth.data.preprocess import prepare_t1
from dipy_synth.data.preprocess_config import PreprocessConfig
from dipy_synth.errors import InputError
from dipy_synth.grid import Grid
from dipy_synth.phantom import make_phantom

STEPS = PreprocessConfig(
    align="none", bias=False, grid=Grid((28, 32, 28), (6.0, 6.0, 6.0))
)


@pytest.fixture(scope="module")
def scan():
    """A phantom of 6 mm: data from 0 to 900, mask, affine."""
    phantom = make_phantom(7, shape=(27, 32, 28), voxel_size=6.0)
    return phantom.data * 900, phantom.mask, phantom.affine


def padded(data, mask, value):
    """Put the scan into a field of view whose rim has another value."""
    data = np.pad(np.where(mask, data, 0), 5, constant_values=value)
    return data, np.pad(mask, 5)


SHIFTS = {
    "z-scores": lambda d, m: np.where(m, (d - d[m].mean()) / d[m].std(), 0),
    "z-scores of all": lambda d, m: (d - d.mean()) / d.std(),
    "negative": lambda d, m: np.where(m, d - 2000, 0),
    "padding": lambda d, m: np.where(m, d, -1000),
    "offset": lambda d, m: d + 5000,
    "zero inside": lambda d, m: np.where(m, d - 600, 0),
}


@pytest.mark.parametrize("name", SHIFTS)
def test_a_shift_of_intensities_changes_nothing(scan, name):
    data, mask, affine = scan
    data = np.where(mask, data, 0)
    expected = prepare_t1(data, affine, preprocessing=STEPS)
    shifted = SHIFTS[name](data, mask).astype(np.float32)
    found = prepare_t1(shifted, affine, preprocessing=STEPS)
    assert_array_equal(found.mask, expected.mask)
    assert np.abs(found.data - expected.data).max() < 2e-3
    assert found.warnings == ()


def test_the_field_of_a_shifted_scan_does_not_invert_it(scan):
    data, mask, affine = scan
    low, high = np.percentile(data[mask], (0.5, 99.5))
    shading = np.exp(np.linspace(-0.2, 0.2, len(data)))[:, None, None]
    data = (data - low + 0.15 * (high - low)) * shading
    expected = correct_bias(data, mask, affine)
    for shift in (-data[mask].mean(), 10_000):
        found = correct_bias(data + shift, mask, affine)
        both = found[mask], expected[mask]
        assert np.corrcoef(*both)[0, 1] > 0.995
        assert found[mask].mean() == pytest.approx(
            data[mask].mean() + shift, rel=1e-3, abs=1
        )


def test_the_alignment_of_a_shifted_scan_is_not_turned(scan, monkeypatch):
    data, mask, affine = scan
    template = np.where(mask, data, 0).astype("f4"), affine
    monkeypatch.setattr("dipy_synth.data.align.load_template", lambda: template)
    moved = affine.copy()
    moved[:3, 3] += (6, -4, 3)
    expected = find_transform(data, mask, moved)
    for shift in (-data[mask].mean(), 10_000):
        found = find_transform(data + shift, mask, moved)
        assert np.abs(found - expected).max() < 0.5
    assert np.abs(expected[:3, 3] - (6, -4, 3)).max() < 0.5


@pytest.mark.parametrize("value", [-1000, -1, 7])
def test_padding_around_a_background_of_zeros_is_no_brain(scan, value):
    data, mask, affine = scan
    expected = prepare_t1(np.where(mask, data, 0), affine, preprocessing=STEPS)
    data, wide = padded(data, mask, value)
    moved = affine.copy()
    moved[:3, 3] -= affine[:3, :3] @ [5, 5, 5]
    found = prepare_t1(data, moved, preprocessing=STEPS)
    assert found.brain_volume == pytest.approx(expected.brain_volume)
    assert np.abs(found.data - expected.data).max() < 2e-3
    if value < 0:  # a mask that reaches into the padding
        wide[:7] = True
        found = prepare_t1(data, moved, mask=wide, preprocessing=STEPS)
        assert found.intensity_range[0] > -10


@pytest.mark.parametrize("scaling", ["percentile", "minmax"])
@pytest.mark.parametrize("count", [1, 60])
def test_outliers_are_cut_before_the_spline(scan, scaling, count):
    data, mask, affine = scan
    data = np.where(mask, data, 0)
    steps = PreprocessConfig(**vars(STEPS) | {"scaling": scaling})
    expected = prepare_t1(data, affine, mask=mask, preprocessing=steps)
    places = np.argwhere(mask)[np.random.default_rng(0).permutation(mask.sum())[:count]]
    spoilt = data.copy()
    spoilt[tuple(places.T)] = 1e8
    spoilt[tuple(places[0])] = -1e8
    found = prepare_t1(spoilt, affine, mask=mask, preprocessing=steps)
    both = [x.data[expected.mask] for x in (found, expected)]
    assert np.corrcoef(*both)[0, 1] > 0.98
    assert f"{count} voxels of the brain are far" in found.warnings[0]


def test_what_is_not_far_is_not_cut():
    values = np.random.default_rng(0).normal(500, 100, (10, 10, 10))
    data, cut = clip_outliers(values, values > -1e9)
    assert data is values and cut == 0


@pytest.mark.parametrize("bias", [False, True])
def test_a_constant_brain_is_refused_before_anything_is_fitted(scan, bias, monkeypatch):
    _, mask, affine = scan
    monkeypatch.setattr("dipy_synth.data.preprocess.correct_bias", None)
    rim = mask * 1000.0
    rim[:, :, ::9] *= 0.7  # a mask that was resampled is not constant to the bit
    noise = 1 + 1e-7 * np.random.default_rng(0).random(mask.shape)
    steps = PreprocessConfig(**vars(STEPS) | {"bias": bias})
    for data in (mask * 1000.0, mask * -3.0, mask * noise * 1000, rim):
        with pytest.raises(InputError, match="constant brain"):
            prepare_t1(data, affine, mask=mask, preprocessing=steps)
    labels = np.arange(mask.size).reshape(mask.shape) % 4 + 1
    with pytest.raises(InputError, match="4 values in all of the brain"):
        prepare_t1(labels, affine, mask=mask, preprocessing=steps)
    with pytest.raises(InputError, match="constant brain"):
        check_contrast(np.full((4, 4, 4), 1e6), np.ones((4, 4, 4), bool))


def test_the_zero_of_a_scanner_is_kept():
    data = np.linspace(100, 1000, 1000).reshape(10, 10, 10)
    inside = data > 0
    assert offset_of(data, inside) == 0
    low, high = np.percentile(data, (0.5, 99.5))
    for shift in (-500, 5000):
        moved = data + shift
        assert offset_of(moved, inside) == pytest.approx(
            intensities.FLOOR * (high - low) - low - shift
        )


def test_the_background_is_what_fills_the_faces():
    data = np.pad(np.ones((18, 18, 18)), 1)  # more ones than zeros
    assert background_values(data) == [0, 1]
    assert background_values(np.random.default_rng(0).random((9, 9, 9))) == []


SOFT = np.clip(2 - np.linalg.norm(np.indices((21, 21, 21)) / 10 - 1, axis=0) * 2, 0, 1)


@pytest.mark.parametrize("scale", [1, 100, 255, 1000, 1 / 255, 0.37])
def test_a_mask_of_any_scale_is_cut_at_its_half(scale):
    sharp = SOFT > 0.5
    assert_array_equal(as_mask(sharp * scale), sharp)
    blurred = np.clip(SOFT * 4 - 1.5, 0, 1)  # half at the same place
    assert_array_equal(as_mask(blurred * scale), blurred * scale > scale / 2)


def test_labels_are_all_brain():
    rng = np.random.default_rng(0)
    for labels in ([1, 2, 3], range(1, 60), [2, 41, 1001, 2035], [2, 3, 41, 42, 255]):
        values = rng.choice([*labels], (9, 9, 9))
        values[:4] = 0
        assert_array_equal(as_mask(values), values > 0)
    assert not as_mask(np.zeros((3, 3, 3))).any()
    assert as_mask(np.array([[[np.nan, 1.0]]])).tolist() == [[[False, True]]]
