"""Scans of one content under two subjects."""

import gzip

import numpy as np
import pytest

from dipy_synth.data.duplicates import find_duplicates
from dipy_synth.data.records import Record

CONTENT = np.random.default_rng(0).bytes(300_000)


@pytest.fixture
def scans(tmp_path):
    """Return a function: file name -> content, to records of a subject a file."""

    def write(files):
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        return [Record(name.split(".")[0], tmp_path / name) for name in files]

    return write


def found(records):
    return [[path.name for path in group] for group in find_duplicates(records)]


def test_equal_contents_are_found_packed_and_plain(scans):
    other = CONTENT[:-1] + b"x"
    records = scans(
        {
            "a.nii.gz": gzip.compress(CONTENT, mtime=1),
            "b.nii.gz": gzip.compress(CONTENT, 1, mtime=2),
            "c.nii": CONTENT,
            "d.nii": other,
            "e.nii.gz": gzip.compress(other),
            "f.nii": CONTENT[1:],
        }
    )
    assert found(records) == [["a.nii.gz", "b.nii.gz", "c.nii"], ["d.nii", "e.nii.gz"]]


def test_plain_files_that_differ_between_samples_differ(scans):
    assert found(scans({"a.nii": CONTENT, "b.nii": CONTENT[:-9] + b"xxxxxxxxx"})) == []
    assert found(scans({"a.nii": CONTENT, "b.nii": CONTENT})) == [["a.nii", "b.nii"]]


def test_one_subject_may_have_a_content_twice(scans, tmp_path):
    (first, second) = scans({"a.nii": CONTENT, "b.nii": CONTENT})
    same = Record("a", second.image, session="2")
    assert find_duplicates([first, same]) == []


def test_what_cannot_be_read_is_left_out(scans, tmp_path):
    records = scans({"a.nii.gz": b"", "b.nii.gz": b"", "c.nii.gz": b"x" * 40})
    (tmp_path / "gone.nii.gz").symlink_to("nowhere")
    records += [Record("g", tmp_path / "gone.nii.gz"), Record("h", tmp_path / "no")]
    records += scans({"d.nii.gz": b"x" * 40})  # no gzip at all
    assert found(records) == []
