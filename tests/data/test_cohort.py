"""A prepared cohort: its tables, its volumes and their cache."""

import errno
import os
from pathlib import Path
import shutil

import nibabel as nib
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
import pytest

from dipy_synth.data.cohort import Cohort
from dipy_synth.data.nifti import read_volume
from dipy_synth.data.prepared import prepared_path
from dipy_synth.errors import InputError
from dipy_synth.utils.files import write_json
from dipy_synth.utils.tables import read_table, write_table


@pytest.fixture
def folder(tmp_path, prepared_folder):
    """A copy of the shared cohort, to be changed."""
    return shutil.copytree(prepared_folder, tmp_path / "cohort")


def test_a_cohort_knows_who_is_in_it(prepared_folder):
    cohort = Cohort.load(prepared_folder)
    assert cohort.root == prepared_folder and cohort.grid.shape == (16, 24, 16)
    assert cohort.keys == tuple(f"sub-0{i}" for i in range(1, 9))
    assert cohort.subjects == tuple(f"0{i}" for i in range(1, 9))
    assert sorted(cohort.split) == ["train"] * 6 + ["validation"] * 2
    assert cohort.rows[0]["age"] == "22.0" and "split" not in cohort.rows[0]
    assert "participant_id" not in cohort.rows[0]


def test_volumes_are_those_on_disk(folder):
    cohort = Cohort.load(folder)
    volumes = cohort.volumes()
    assert isinstance(volumes, np.memmap) and volumes.dtype == np.float16
    assert volumes.shape == (8, 16, 24, 16)
    for key, volume in zip(cohort.keys, volumes):
        stored = nib.load(prepared_path(folder, key)).get_fdata()
        assert_allclose(volume, stored, atol=5e-4)
        assert np.all(volume[stored == 0] == 0)
    train, validation = cohort.volumes("train"), cohort.volumes("validation")
    assert len(train) == 6 and len(validation) == 2
    assert_array_equal(train, volumes[cohort.split == "train"])
    with pytest.raises(InputError, match="train or validation"):
        cohort.volumes("test")


def test_the_cache_is_used_until_a_file_changes(folder):
    Cohort.load(folder).volumes()
    cache = folder / ".cache" / "volumes.npy"
    before = cache.stat().st_mtime_ns
    Cohort.load(folder).volumes()
    assert cache.stat().st_mtime_ns == before
    path = prepared_path(folder, "sub-03")
    image = nib.load(path)
    half = image.get_fdata(dtype=np.float32) / 2
    nib.save(nib.Nifti1Image(half, image.affine), path)
    assert_allclose(Cohort.load(folder).volumes()[2], half, atol=5e-4)
    shutil.rmtree(folder / "sub-01")
    assert len(Cohort.load(folder).volumes()) == 7
    assert [p.name for p in sorted(cache.parent.iterdir())] == [
        "volumes.json",
        "volumes.npy",
    ]


def test_a_cache_that_was_left_half_made_is_made_anew(folder, monkeypatch):
    def crash(*args):
        raise KeyboardInterrupt

    Cohort.load(folder).volumes()
    shutil.rmtree(folder / "sub-01")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("dipy_synth.data.cohort_cache.write_json", crash)
        Cohort.load(folder).volumes()
    assert not (folder / ".cache" / "volumes.json").exists()
    assert len(Cohort.load(folder).volumes()) == 7


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("stale", [False, True])
def test_a_folder_one_may_only_read_is_decoded_once(folder, monkeypatch, number, stale):
    """Its cache is a temporary file, as long as no file changes."""

    def refuse(method):
        def refused(path, *args, **kwargs):
            if folder in path.parents:
                raise OSError(number, os.strerror(number), str(path))
            return method(path, *args, **kwargs)

        return refused

    def read(path):
        decoded.append(path)
        return read_volume(path)

    shutil.rmtree(folder / ".cache", ignore_errors=True)
    if stale:
        Cohort.load(folder).volumes()
        write_json(folder / ".cache" / "volumes.json", [])
    decoded = []
    monkeypatch.setattr("dipy_synth.data.cohort_cache.read_volume", read)
    for method in ("mkdir", "unlink"):
        monkeypatch.setattr(Path, method, refuse(getattr(Path, method)))
    for _ in range(3):
        volumes = Cohort.load(folder).volumes()
        assert isinstance(volumes, np.memmap) and volumes.shape == (8, 16, 24, 16)
    assert len(decoded) == 8
    path = prepared_path(folder, "sub-03")
    half = nib.load(path).get_fdata(dtype=np.float32) / 2
    nib.save(nib.Nifti1Image(half, nib.load(path).affine), path)
    assert_allclose(Cohort.load(folder).volumes()[2], half, atol=5e-4)
    assert len(decoded) == 16
    assert_allclose(volumes[2], 2 * half, atol=1e-3)  # as it was opened


def test_a_full_disk_is_reported(folder, monkeypatch):
    def fill(path, *args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    shutil.rmtree(folder / ".cache", ignore_errors=True)
    monkeypatch.setattr(np.lib.format, "open_memmap", fill)
    with pytest.raises(OSError, match="No space"):
        Cohort.load(folder).volumes()


def test_sessions_have_rows_of_their_own(folder):
    anat = folder / "sub-01" / "anat"
    for path in list(anat.iterdir()):
        for session in "ab":
            name = path.name.replace("sub-01_", f"sub-01_ses-{session}_")
            shutil.copy(path, anat / name)
        path.unlink()
    visits = [{"session_id": f"ses-{s}", "age": a} for s, a in zip("ab", (50, 60))]
    write_table(folder / "sub-01" / "sub-01_sessions.tsv", visits)
    cohort = Cohort.load(folder)
    assert cohort.keys[:3] == ("sub-01_ses-a", "sub-01_ses-b", "sub-02")
    assert [row["age"] for row in cohort.rows[:2]] == ["50", "60"]
    assert cohort.split[0] == cohort.split[1]


def test_a_folder_that_is_no_cohort_is_reported(folder, bids_folder, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        Cohort.load(tmp_path)
    with pytest.raises(InputError, match="not a prepared cohort"):
        Cohort.load(bids_folder)
    rows = read_table(folder / "participants.tsv")
    write_table(folder / "participants.tsv", rows[1:])
    with pytest.raises(InputError, match="participants.tsv: sub-01 has split None"):
        Cohort.load(folder)
    write_table(folder / "participants.tsv", [{**row, "split": "test"} for row in rows])
    with pytest.raises(InputError, match="'test'"):
        Cohort.load(folder)
    for path in folder.glob("sub-*"):
        shutil.rmtree(path)
    with pytest.raises(InputError, match="no prepared volume"):
        Cohort.load(folder)


def test_a_volume_of_another_shape_is_reported(folder):
    path = prepared_path(folder, "sub-02")
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.float32), np.eye(4)), path)
    with pytest.raises(
        InputError, match=r"sub-02.*\(4, 4, 4\), expected \(16, 24, 16\)"
    ):
        Cohort.load(folder).volumes()


@pytest.mark.parametrize("value", [np.nan, -0.5, 100])
def test_a_volume_that_was_changed_is_refused(folder, value):
    path = prepared_path(folder, "sub-02")
    image = nib.load(path)
    data = image.get_fdata(dtype=np.float32)
    data[0, 0, 0] = value
    nib.save(nib.Nifti1Image(data, image.affine), path)
    with pytest.raises(InputError, match=r"sub-02.* expected \[0, 1\]"):
        Cohort.load(folder).volumes()
