"""A small part of `benchmarks/hard_use.py`: broken inputs, a kill, two writers."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from dipy_synth.data.nifti import check_headers, read_scan
from dipy_synth.errors import InputError

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "hard_use.py"


@pytest.fixture(scope="module")
def hard_use():
    spec = importlib.util.spec_from_file_location("hard_use", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_broken_inputs_are_read_or_refused_in_words(hard_use, tmp_path):
    found = hard_use.break_inputs(tmp_path, 800, np.random.default_rng(0))
    for kind, counts in found.items():
        assert set(counts) <= {"read", "refused"}, (kind, counts)
        assert sum(counts.values()) == 200
    assert all(found[kind]["read"] for kind in ("header", "table", "request"))
    assert not found["model"]["read"] or found["model"]["refused"] > 150


def test_a_command_is_killed_and_another_writes_there(hard_use, tmp_path):
    options = SimpleNamespace(kills=1, writers=1)
    ((name, *timed),) = hard_use.prepare_commands(tmp_path, ["preprocess"])
    rng = np.random.default_rng(0)
    assert hard_use.kill(tmp_path, name, *timed, options, rng)[0] == 1
    (met,) = hard_use.meet(tmp_path, name, timed[0], options)
    late = "statuses [0, 0], 0 refused, alike True"  # the other had ended
    assert met in ("statuses [0, 1], 1 refused, alike True", late)


def write(path, **fields):
    image = nib.Nifti1Image(np.ones((4, 4, 4), "int16"), np.eye(4))
    content = bytearray(image.to_bytes())
    header = np.frombuffer(content, nib.nifti1.header_dtype, 1)
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(content)
    return path


def test_a_unit_that_there_is_not_is_taken_as_mm(tmp_path):
    for code in (5, 80, 96):  # 80 and 96 have units of time that there are not
        path = write(tmp_path / "scan.nii", xyzt_units=code)
        _, affine, _ = read_scan(path)
        np.testing.assert_array_equal(affine, np.eye(4))
        assert ("unknown code 5" in " ".join(check_headers(path))) == (code == 5)


def test_sizes_that_cannot_be_are_refused(tmp_path):
    dim = np.array([3, -1, 4, 4, 1, 1, 1, 1], "int16")
    with pytest.raises(InputError, match="scan.nii"):
        read_scan(write(tmp_path / "scan.nii", dim=dim))
    with pytest.raises(InputError, match="scan.nii"):
        read_scan(write(tmp_path / "scan.nii", vox_offset=1e30))
