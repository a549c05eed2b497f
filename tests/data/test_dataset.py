"""A prepared cohort as arrays and batches."""

import errno
import os
from pathlib import Path
import shutil

import keras
import nibabel as nib
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
import pytest

from dipy_synth.data.dataset import Cohort, VolumeDataset
from dipy_synth.data.prepared import prepared_path
from dipy_synth.errors import InputError
from dipy_synth.utils.files import read_table, write_json, write_table


@pytest.fixture
def folder(tmp_path, prepared_folder):
    """A copy of the shared cohort, to be changed."""
    return shutil.copytree(prepared_folder, tmp_path / "cohort")


@pytest.fixture
def volumes():
    """Ten volumes, each of one value; the first is background."""
    return (
        np.ones((10, 4, 5, 6), np.float16) * np.linspace(0, 1, 10)[:, None, None, None]
    )


def test_a_cohort_tells_who_is_in_it(prepared_folder):
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
        patch.setattr("dipy_synth.data.dataset.write_json", crash)
        Cohort.load(folder).volumes()
    assert not (folder / ".cache" / "volumes.json").exists()
    assert len(Cohort.load(folder).volumes()) == 7


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("stale", [False, True])
def test_a_folder_one_may_only_read_needs_no_cache(folder, monkeypatch, number, stale):
    def refuse(path, *args, **kwargs):
        raise OSError(number, os.strerror(number), str(path))

    shutil.rmtree(folder / ".cache", ignore_errors=True)
    if stale:
        Cohort.load(folder).volumes()
        write_json(folder / ".cache" / "volumes.json", [])
    for method in ("mkdir", "unlink"):
        monkeypatch.setattr(Path, method, refuse)
    assert Cohort.load(folder).volumes().shape == (8, 16, 24, 16)


def test_a_full_disk_is_told(folder, monkeypatch):
    def fill(path, *args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    shutil.rmtree(folder / ".cache", ignore_errors=True)
    monkeypatch.setattr("dipy_synth.data.dataset._fill", fill)
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


def test_a_folder_that_is_no_cohort_is_told(folder, bids_folder, tmp_path):
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


def test_a_volume_of_another_shape_is_told(folder):
    path = prepared_path(folder, "sub-02")
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.float32), np.eye(4)), path)
    with pytest.raises(
        InputError, match=r"sub-02.*\(4, 4, 4\), expected \(16, 24, 16\)"
    ):
        Cohort.load(folder).volumes()


def test_batches_have_a_channel_and_lie_in_minus_one_to_one(volumes):
    data = VolumeDataset(volumes, batch_size=4, shuffle=False)
    batches = [data[i] for i in range(len(data))]
    assert [b.shape for b in batches] == [
        (4, 4, 5, 6, 1),
        (4, 4, 5, 6, 1),
        (2, 4, 5, 6, 1),
    ]
    assert all(b.dtype == np.float32 for b in batches)
    assert_allclose(
        np.concatenate(batches)[:, 0, 0, 0, 0], volumes[:, 0, 0, 0] * 2.0 - 1, atol=1e-6
    )
    assert np.all(batches[0][0] == -1)


def epoch(data):
    """The values of an epoch, in order; then the next epoch begins."""
    values = np.concatenate([data[i] for i in range(len(data))])[:, 0, 0, 0, 0]
    data.on_epoch_end()
    return values


def test_every_epoch_is_another_order_and_holds_every_volume(volumes):
    first, again, other = (
        VolumeDataset(volumes, batch_size=3, seed=s) for s in (0, 0, 1)
    )
    one, two = epoch(first), epoch(first)
    assert_array_equal(np.sort(one), np.sort(two))
    assert not np.array_equal(one, two) and not np.array_equal(one, np.sort(one))
    assert_array_equal(epoch(again), one)
    assert not np.array_equal(epoch(other), one)
    resumed = VolumeDataset(volumes, batch_size=3, seed=0, epoch=1)
    assert_array_equal(epoch(resumed), two)


def test_augmentation_depends_on_seed_epoch_and_volume_alone(volumes):
    def augment(volume, rng):
        return volume * 0 + rng.random()

    small, large = (
        VolumeDataset(volumes, batch_size=b, augment=augment, seed=3) for b in (2, 5)
    )
    assert_array_equal(epoch(small), epoch(large))
    drawn = epoch(small)
    assert len(set(drawn)) == 10
    assert not np.array_equal(np.sort(drawn), np.sort(epoch(small)))


def test_parts_are_cut_from_their_volumes_and_fill_them(volumes):
    cube = np.arange(4 * 5 * 6).reshape(4, 5, 6) / 200
    volumes = np.stack([np.full((4, 5, 6), 1.0), cube])
    data = VolumeDataset(volumes, batch_size=3, crop=(2, 5, 3), seed=1)
    assert len(data) == 3  # four parts of 30 voxels would fill each volume of 120
    parts = (np.concatenate([data[i] for i in range(3)])[..., 0] + 1) / 2
    assert parts.shape == (8, 2, 5, 3)
    of_cube = [part for part in parts if part.min() < 1]
    assert len(of_cube) == 4
    for part in of_cube:
        i, j, k = np.unravel_index(round(part.flat[0] * 200), cube.shape)
        assert_allclose(part, cube[i : i + 2, j : j + 5, k : k + 3], atol=1e-6)
    again = VolumeDataset(volumes, batch_size=3, crop=(2, 5, 3), seed=1)
    assert_array_equal(data[0], again[0])
    data.epoch = 1
    assert not np.array_equal(data[0], again[0])


def test_images_of_two_dimensions_pass_too():
    assert VolumeDataset(np.zeros((3, 8, 8)), batch_size=2)[0].shape == (2, 8, 8, 1)


@pytest.mark.parametrize("count, batch_size", [(0, 1), (3, 0)])
def test_nothing_to_give_is_refused(count, batch_size):
    with pytest.raises(InputError, match="at least one"):
        VolumeDataset(np.zeros((count, 4, 4)), batch_size=batch_size)


class Watched(VolumeDataset):
    """The same batches with a target for a stock loss; the order in which they go."""

    def __init__(self, volumes, **kwargs):
        super().__init__(volumes, batch_size=4, **kwargs)
        self.seen = []

    def __getitem__(self, index):
        batch = super().__getitem__(index)
        self.seen.append((self.epoch, index, batch[:, 0, 0, 0, 0].tolist()))
        return batch, np.zeros(len(batch), np.float32)


def test_a_fit_that_resumes_sees_what_the_whole_fit_saw(volumes):
    def fit(data, **kwargs):
        model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])
        model.compile(loss="mse")
        model.fit(data, verbose=0, **kwargs)
        return {index: batch for epoch, index, batch in data.seen if epoch == 3}

    whole = fit(Watched(volumes), epochs=3)
    resumed = fit(Watched(volumes, epoch=2), epochs=3, initial_epoch=2)
    assert len(whole) == 3 and resumed == whole
