"""The lock of an output folder."""

import json
import os
import subprocess
import sys

import pytest

from dipy_synth.errors import InputError
from dipy_synth.utils.lock import LOCK, folder_lock, locks

HOLD = """
import sys
from dipy_synth.utils.lock import folder_lock
sys.argv[0] = "dipy_train_vqvae"
with folder_lock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other():
    """Start a process that holds the lock of a folder until it is ended."""
    started = []

    def start(folder):
        command = [sys.executable, "-c", HOLD, str(folder)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = subprocess.Popen(command, text=True, **pipes)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_the_second_reports_who_holds_it(other, tmp_path):
    process = other(tmp_path)
    words = f"dipy_train_vqvae \\(process {process.pid} on .*, since 20.*is writing"
    with pytest.raises(InputError, match=words), folder_lock(tmp_path):
        pass
    process.communicate()
    with folder_lock(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["process"] == os.getpid()


def test_the_lock_of_a_killed_process_is_free(other, tmp_path):
    process = other(tmp_path)
    process.kill()
    process.wait()
    assert (tmp_path / LOCK).is_file()
    with folder_lock(tmp_path):
        pass
    assert not (tmp_path / LOCK).exists()


def test_what_a_killed_process_was_writing_is_removed(other, tmp_path):
    names = ["a/.tmp-7-x.nii.gz", ".tmp-8-x.tsv", "a/x.nii.gz", ".tmp-x", "b/.tmp-9-x"]
    for path in map(tmp_path.joinpath, names):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    with folder_lock(tmp_path):  # nobody was killed
        pass
    held = [other(tmp_path / "b"), other(tmp_path)]
    held[1].kill()
    held[1].wait()
    with folder_lock(tmp_path):  # files in b are another's
        left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {str(path.relative_to(tmp_path)) for path in left} == {
        *(".lock", "a/x.nii.gz", ".tmp-x", "b/.lock", "b/.tmp-9-x")
    }


def test_nothing_is_left_of_it(tmp_path):
    with pytest.raises(KeyError), folder_lock(tmp_path / "one" / "two"):
        raise KeyError
    assert not list(tmp_path.iterdir())
    with folder_lock(tmp_path / "one"):
        (tmp_path / "one" / "file").touch()
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["file"]
    with pytest.raises(InputError, match="a file is there"):
        with folder_lock(tmp_path / "one" / "file"):
            pass


def test_a_function_holds_the_lock_of_its_folder(tmp_path):
    @locks("out_dir")
    def write(data, out_dir, *, more=None):
        assert (out_dir / LOCK).is_file()
        with pytest.raises(InputError, match="is writing here"):
            with folder_lock(out_dir):
                pass
        return data, more

    assert write(1, tmp_path, more=2) == (1, 2)
    assert write(1, out_dir=tmp_path) == (1, None)
