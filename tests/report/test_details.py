"""Further slices of prepared volumes, and their scans before preparation."""

import base64
import io
from itertools import pairwise

from matplotlib.image import imread
import nibabel as nib
import numpy as np
import pytest

from dipy_synth.data.cohort import Cohort
from dipy_synth.data.prepare import prepare_cohort
from dipy_synth.data.preprocess_config import PreprocessConfig
from dipy_synth.data.readers import read_records
from dipy_synth.grid import Grid
from dipy_synth.report.details import detail_pictures

VOXEL, SIDE = 4.0, 48
LINKS = {"raw": "../study"}


@pytest.fixture
def heads(tmp_path):
    """Two heads with masks: a brain within 60 mm, skull from 64 to 72, a nose."""
    for number, name in enumerate(("sub-1", "sub-2")):
        x, y, z = VOXEL * (np.indices((SIDE,) * 3) - (SIDE - 1) / 2)
        radius = np.sqrt(x**2 + y**2 + z**2)
        brain = radius < 60
        data = np.where(brain, 500 + 4 * x + number * z, 0)
        data[(radius > 64) & (radius < 72)] = 700
        data[(radius > 80) & (abs(x) < 10) & (y > 0)] = 800
        affine = np.diag([-VOXEL, VOXEL, VOXEL, 1])  # stored from right to left
        affine[:3, 3] = np.array([1, -1, -1]) * VOXEL * (SIDE - 1) / 2
        folder = tmp_path / "study" / name / "anat"
        folder.mkdir(parents=True)
        for end, array in (("T1w", data), ("desc-brain_mask", brain)):
            image = nib.Nifti1Image(array[::-1].astype("int16"), affine)
            nib.save(image, folder / f"{name}_{end}.nii.gz")
    out_dir = tmp_path / "prepared"
    preprocessing = PreprocessConfig(
        grid=Grid((SIDE,) * 3, (VOXEL,) * 3), bias=False, align="none"
    )
    records = read_records([tmp_path / "study"])
    answers = prepare_cohort(records, out_dir, preprocessing=preprocessing)
    assert all(words is None for _, words in answers), answers
    return tmp_path / "study", Cohort.load(out_dir)


def planes(picture):
    """Decode the planes of a picture: list of ndarray."""
    data = [plane["data"].split(",")[1] for plane in picture["planes"]]
    decoded = [imread(io.BytesIO(base64.b64decode(one)), format="jpg") for one in data]
    return [one[..., 0] / 255 for one in decoded]


def test_the_scan_is_shown_around_the_mask_and_no_farther(heads):
    _, cohort = heads
    scan, *others = detail_pictures(cohort, "sub-1", LINKS)
    assert "before" in scan["label"] and len(others) == 4
    axial = planes(scan)[2]
    middle = SIDE // 2
    row = axial[middle]  # from left to right, in steps of 4 mm
    left, right = row[middle - 17], row[middle + 16]  # skull
    assert min(left, right) > 0.6
    assert row[middle + 10] - row[middle - 10] > 0.4  # brighter on the right
    assert axial[:5].max() < 0.1  # no nose
    assert planes(others[1])[2].shape == axial.shape


def test_slices_lie_at_rising_depths(heads):
    _, cohort = heads
    _, *others = detail_pictures(cohort, "sub-1", LINKS)
    sagittal = [planes(one)[0] for one in others]  # brighter on the right
    levels = [np.median(plane[plane > 0.1]) for plane in sagittal]
    assert all(other - one > 0.05 for one, other in pairwise(levels))


def test_without_the_scan_or_with_another_one_its_picture_is_left_out(heads):
    study, cohort = heads
    path = study / "sub-1" / "anat" / "sub-1_T1w.nii.gz"
    image = nib.load(path)
    other = np.asanyarray(image.dataobj)[:, ::-1]  # of the same shape and affine
    nib.save(nib.Nifti1Image(other, image.affine), path)
    assert len(detail_pictures(cohort, "sub-1", LINKS)) == 4  # another scan
    path.unlink()
    assert len(detail_pictures(cohort, "sub-1", LINKS)) == 4
