"""The folder of a prepared cohort: subjects of one label in several datasets."""

import os
import shutil

import pytest

from dipy_synth.data.prepare import prepare_cohort
from dipy_synth.data.preprocess_config import PreprocessConfig
from dipy_synth.data.readers import read_records
from dipy_synth.grid import Grid

STEPS = PreprocessConfig(
    bias=False, align="none", grid=Grid(shape=(24, 28, 24), voxel_size=(8, 8, 8))
)
WORDS = "are of one subject by their labels, in several datasets"


def prepare(inputs, out_dir):
    answers = prepare_cohort(
        read_records(inputs), out_dir, preprocessing=STEPS, verbose=False
    )
    assert not any(problem for _, problem in answers)


@pytest.fixture
def study(tmp_path, bids_folder):
    """Two datasets, A with sessions 1 and 2 of sub-01, B with session 3."""
    names = {}
    for name, session in (("A", 1), ("A", 2), ("B", 3)):
        folder = tmp_path / name / "sub-01" / f"ses-{session}" / "anat"
        folder.mkdir(parents=True)
        names[session] = folder / f"sub-01_ses-{session}_T1w.nii.gz"
        source = bids_folder / f"sub-0{session}/anat/sub-0{session}_T1w.nii.gz"
        shutil.copy(source, names[session])
    return names


@pytest.mark.parametrize("runs", [1, 2])
def test_one_label_in_two_datasets_is_named(study, tmp_path, caplog, runs):
    if runs == 2:
        prepare(study[1], tmp_path / "out")
        assert WORDS not in caplog.text
        prepare(tmp_path / "B", tmp_path / "out")
    else:
        prepare([study[1], tmp_path / "B"], tmp_path / "out")
    (said,) = [r.getMessage() for r in caplog.records if WORDS in r.getMessage()]
    assert str(study[1]) in said and str(study[3]) in said


def test_inputs_runs_and_links_of_one_dataset_are_of_one(study, tmp_path, caplog):
    (tmp_path / "C").symlink_to(tmp_path / "A")
    prepare([study[1], tmp_path / "C/sub-01/ses-2"], tmp_path / "out")
    prepare(f"{tmp_path}/A/sub-*/ses-2/anat/*", tmp_path / "out")
    prepare(os.path.relpath(study[1]), tmp_path / "derivatives/out")
    prepare(tmp_path / "A/sub-01/ses-2", tmp_path / "derivatives/out")
    assert WORDS not in caplog.text
