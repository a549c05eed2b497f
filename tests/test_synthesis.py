"""Synthetic cohorts on disk: names, sidecars, resuming, refusing."""

import json

import nibabel as nib
import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.files import read_table
from dipy_synth.grid import Grid
from dipy_synth.synthesis import Request, synthesize_cohort

GRID = Grid((8, 8, 8), (4.0, 4.0, 4.0))


class Model:
    """Stands for an LDM: sample i of seed s is an image filled by both."""

    config = {
        "grid": GRID.to_config(),
        "license": "CC BY-SA 3.0",
        "weights_sha256": "abc",
        "sampling": {"sampler": "heun", "steps": 12, "guidance": 1.5},
    }

    def __init__(self):
        self.made = []

    def generate(self, n, *, seed, first, **kwargs):
        self.made += range(first, first + n)
        values = [(seed * 10 + first + i) / 100 for i in range(n)]
        return np.stack([np.full((8, 8, 8), v, "float32") for v in values])


def values(paths):
    return [float(nib.load(path).get_fdata()[0, 0, 0]) for path in paths]


def test_a_cohort_is_a_bids_derivative_with_its_origin_told(tmp_path):
    request = Request(seed=3, conditions={"age": "70"}, steps=5)
    (path,) = synthesize_cohort(Model(), tmp_path, n=1, request=request)
    assert path.relative_to(tmp_path).as_posix() == (
        "sub-synth00001/anat/sub-synth00001_desc-synthetic_T1w.nii.gz"
    )
    np.testing.assert_allclose(nib.load(path).affine, GRID.affine)
    sidecar = json.loads(
        path.with_name(path.name.replace(".nii.gz", ".json")).read_text()
    )
    expected = {
        "Synthetic": True,
        "ModelHash": "abc",
        "Seed": 3,
        "SampleNumber": 0,
        "Sampler": "heun",
        "Steps": 5,
        "Guidance": 1.5,
        "Conditions": {"age": "70"},
    }
    assert expected.items() <= sidecar.items()
    description = json.loads((tmp_path / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["License"] == "CC BY-SA 3.0"
    rows = read_table(tmp_path / "participants.tsv")
    assert rows == [{"participant_id": "sub-synth00001", "age": "70"}]
    assert (tmp_path / "mid-slices.png").stat().st_size > 0


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_what_is_missing_is_made_and_nothing_else(tmp_path, batch_size):
    model = Model()
    paths = synthesize_cohort(model, tmp_path, n=5, batch_size=batch_size)
    whole = values(paths)
    for number in (1, 2, 4):
        paths[number].unlink()
    model.made.clear()
    kept = paths[0].stat().st_mtime_ns
    assert (
        values(synthesize_cohort(model, tmp_path, n=5, batch_size=batch_size)) == whole
    )
    assert model.made == [1, 2, 4]
    assert paths[0].stat().st_mtime_ns == kept


def test_more_can_be_asked_for_later(tmp_path):
    model = Model()
    synthesize_cohort(model, tmp_path, n=2)
    assert values(synthesize_cohort(model, tmp_path, n=4)) == pytest.approx(
        [0, 0.01, 0.02, 0.03]
    )
    assert model.made == [0, 1, 2, 3]
    assert len(read_table(tmp_path / "participants.tsv")) == 4


def test_another_request_is_refused_unless_forced(tmp_path):
    synthesize_cohort(Model(), tmp_path, n=3)
    other = Request(seed=1)
    with pytest.raises(InputError, match=r"Seed 0 \(asked for: 1\).*--force"):
        synthesize_cohort(Model(), tmp_path, n=1, request=other)
    assert len(list(tmp_path.glob("sub-*/anat/*.nii.gz"))) == 3
    paths = synthesize_cohort(Model(), tmp_path, n=1, request=other, force=True)
    assert values(paths) == pytest.approx([0.1])
    assert len(list(tmp_path.glob("sub-*/anat/*.nii.gz"))) == 1


def test_another_data_set_is_never_touched(tmp_path):
    (tmp_path / "sub-01").mkdir()
    with pytest.raises(InputError, match="subjects of another data set"):
        synthesize_cohort(Model(), tmp_path, force=True)
    assert list(tmp_path.iterdir()) == [tmp_path / "sub-01"]


def test_a_number_below_one_is_refused(tmp_path):
    with pytest.raises(InputError, match="at least 1"):
        synthesize_cohort(Model(), tmp_path / "new", n=0)
    assert not (tmp_path / "new").exists()
