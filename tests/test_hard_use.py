"""A small part of `benchmarks/hard_use.py`: broken inputs, a kill, two writers."""

import importlib.util
from pathlib import Path
import signal
import time
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from dipy_synth.data.nifti import check_headers, read_scan
from dipy_synth.errors import InputError
from dipy_synth.utils.lock import LOCK

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
    assert found["model"] == {"refused": 200}


def test_a_command_is_killed_and_another_writes_there(hard_use, tmp_path):
    options = SimpleNamespace(kills=1)
    ((name, *timed),) = hard_use.prepare_commands(tmp_path, ["preprocess"])
    rng = np.random.default_rng(0)
    assert hard_use.kill(tmp_path, name, *timed, options, rng)[0] == 1
    words, out_dir = timed[0], tmp_path / "met"
    process, _ = first = hard_use.start(words, out_dir)
    while not (out_dir / LOCK).exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGSTOP)  # so that it has not ended before the second
    status, output = hard_use.finish(hard_use.start(words, out_dir))
    assert status == 1 and "is writing here" in output
    process.send_signal(signal.SIGCONT)
    assert hard_use.finish(first)[0] == 0
    assert hard_use.digest(out_dir) == hard_use.digest(tmp_path / name)


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
