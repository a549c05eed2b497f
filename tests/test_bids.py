"""The official BIDS validator finds no error in what the commands write."""

import json
import shutil
import subprocess

import pytest

from dipy_synth.data.prepare import prepare_cohort
from dipy_synth.data.preprocess_config import PreprocessConfig
from dipy_synth.data.readers import read_records
from dipy_synth.data.target import find_target
from dipy_synth.grid import Grid
from dipy_synth.report import quality_page
from dipy_synth.synthesis.edit import Edit
from dipy_synth.synthesis.edit_scans import edit_scans
from dipy_synth.synthesis.outputs import Outputs
from dipy_synth.synthesis.reconstruction import reconstruct_cohort
from dipy_synth.synthesis.request import Request
from dipy_synth.synthesis.synthetic_cohort import synthesize_cohort
from tests.synthesis import (
    test_edit,
    test_outputs,
    test_reconstruction,
    test_synthetic_cohort,
)

VALIDATOR = shutil.which("bids-validator-deno")
GRID = Grid((24, 28, 24), (8.0, 8.0, 8.0))

pytestmark = pytest.mark.skipif(
    VALIDATOR is None, reason="bids-validator-deno is not installed"
)


def errors(folder):
    """Run the validator: list of (code, file)."""
    command = [VALIDATOR, str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    found = json.loads(done.stdout)["issues"]["issues"]
    return [(i["code"], i["location"]) for i in found if i["severity"] == "error"]


@pytest.mark.parametrize("align", ["none", "affine"])
def test_a_prepared_cohort_validates(tmp_path, bids_folder, align):
    preprocessing = PreprocessConfig(bias=False, align=align, grid=GRID)
    records = read_records(bids_folder)[:3]
    prepare_cohort(records, tmp_path / "out", preprocessing=preprocessing)
    quality_page(tmp_path / "out")
    assert errors(tmp_path / "out") == []


def test_a_synthetic_cohort_validates(tmp_path):
    request = Request(sweep={"age": ["30", "60"]}, conditions={"sex": "F"})
    synthesize_cohort(
        test_synthetic_cohort.Model((32, 32, 32)), tmp_path, request=request
    )
    assert errors(tmp_path) == []


def test_tissues_on_another_grid_validate(tmp_path):
    target = find_target(voxel_size=[3.0], grid=test_outputs.GRID)
    outputs = Outputs(target, tissues=True)
    synthesize_cohort(test_outputs.Model(), tmp_path, outputs=outputs)
    assert errors(tmp_path) == []


def test_reconstructions_validate(tmp_path, bids_folder):
    model = test_reconstruction.Model()
    reconstruct_cohort(model, read_records(bids_folder)[:2], tmp_path / "out")
    assert errors(tmp_path / "out") == []


def test_edited_scans_validate(tmp_path, bids_folder):
    edit = Edit(change={"age": 5.0})
    edit_scans(test_edit.Model(), read_records(bids_folder)[:2], tmp_path / "out", edit)
    assert errors(tmp_path / "out") == []
