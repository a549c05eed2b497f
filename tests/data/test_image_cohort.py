"""Files of images: .npz and IDX, labels, range, split, and what is refused."""

import gzip

import numpy as np
import pytest

from dipy_synth.data.image_cohort import ArrayCohort
from dipy_synth.errors import InputError


def digits(n=20, shape=(6, 8)):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, *shape), dtype=np.uint8), rng.integers(0, 10, n)


def write_idx(path, values, pack=bytes):
    values = np.asarray(values, np.uint8)
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes()
    path.write_bytes(pack(header + values.tobytes()))
    return path


@pytest.fixture()
def stored(tmp_path):
    images, labels = digits()
    np.savez(tmp_path / "digits.npz", images=images, labels=labels)
    return tmp_path / "digits.npz"


def test_an_npz_gives_images_in_range_with_their_labels(stored):
    images, labels = digits()
    cohort = ArrayCohort.load(stored)
    assert cohort.shape == (6, 8) and cohort.grid is None
    volumes = cohort.volumes()
    assert volumes.dtype == np.float16
    np.testing.assert_allclose(volumes, images / 255, atol=5e-4)
    assert [row["label"] for row in cohort.rows] == [str(n) for n in labels]
    assert len(set(cohort.keys)) == len(images)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.array([2.0, 0, 1]), ["2", "0", "1"]),
        (np.array([True, False, True]), ["1", "0", "1"]),
        (np.array([b"cat", b"dog", b"cat"]), ["cat", "dog", "cat"]),
    ],
)
def test_labels_are_whole_numbers_or_words(tmp_path, labels, words):
    np.savez(tmp_path / "some.npz", images=np.zeros((3, 4, 4)), labels=labels)
    rows = ArrayCohort.load(tmp_path / "some.npz").rows
    assert [row["label"] for row in rows] == words


def test_arrays_of_other_names_are_named(tmp_path, caplog):
    images = np.zeros((3, 4, 4))
    np.savez(tmp_path / "some.npz", images=images, y=np.arange(3))
    (tmp_path / "some.npz").rename(tmp_path / "some.NPZ")
    assert ArrayCohort.load(tmp_path / "some.NPZ").labels is None
    assert "some.NPZ: y not read; expected images and labels" in caplog.text


def test_names_of_arrays_are_read_in_capitals_too(tmp_path):
    images, labels = digits()
    np.savez(tmp_path / "a.npz", Images=images, LABELS=labels)
    cohort = ArrayCohort.load(tmp_path / "a.npz")
    assert cohort.shape == (6, 8) and cohort.rows[3] == {"label": str(labels[3])}


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_files_as_mnist_has_them(tmp_path, pack):
    images, labels = digits()
    path = write_idx(tmp_path / "train-images-idx3-ubyte", images, pack)
    assert ArrayCohort.load(path).rows[0] == {}
    write_idx(tmp_path / "train-labels-idx1-ubyte", labels, pack)
    cohort = ArrayCohort.load(path)
    np.testing.assert_array_equal(cohort.images, images)
    assert [row["label"] for row in cohort.rows] == [str(n) for n in labels]
    path = path.rename(tmp_path / "train-images-idx3-ubyte.gz")  # labels stay
    assert ArrayCohort.load(path).rows == cohort.rows


def test_the_split_is_whole_disjoint_and_seeded(stored):
    cohort = ArrayCohort.load(stored, validation_fraction=0.25)
    train, held_out = cohort.where("train"), cohort.where("validation")
    np.testing.assert_array_equal(train, ~held_out)
    assert held_out.sum() == 5
    again = ArrayCohort.load(stored, validation_fraction=0.25)
    other = ArrayCohort.load(stored, validation_fraction=0.25, seed=1)
    np.testing.assert_array_equal(again.where("train"), train)
    assert np.any(other.where("train") != train)
    np.testing.assert_array_equal(cohort.volumes("train"), cohort.volumes()[train])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": np.zeros((3, 4, 4))}, "holds pictures; expected images"),
        ({"images": np.zeros((3, 4))}, "expected \\(n, I, J\\)"),
        (
            {"images": np.full((3, 4, 4), 2.0)},
            "expected uint8, or floats in \\[0, 1\\]",
        ),
        ({"images": np.zeros((3, 4, 4)), "labels": np.zeros(2)}, "for 3 images"),
        ({"images": np.zeros((3, 4, 4, 3))}, "without an axis of colours"),
        ({"images": np.zeros((3, 1, 8, 8))}, "without an axis of colours"),
        (
            {"images": np.zeros((3, 4, 4)), "labels": np.ones(3), "Labels": np.ones(3)},
            "holds images, labels, Labels; expected .*each once",
        ),
        ({"images": np.zeros((3, 4, 4)), "labels": [0, 1, 1e30]}, "labels such as 1e"),
        (
            {"images": np.zeros((3, 4, 4)), "labels": [0, 1, np.nan]},
            "labels such as nan",
        ),
        ({"images": np.zeros((3, 4, 4)), "labels": [0, 1.5, 2]}, "labels such as 1.5"),
        ({"images": np.zeros((3, 4, 4)), "labels": [0, 1, 2j]}, "a whole number or"),
    ],
)
def test_other_arrays_are_reported(tmp_path, arrays, message):
    np.savez(tmp_path / "wrong.npz", **arrays)
    with pytest.raises(InputError, match=f"wrong.npz: .*{message}"):
        ArrayCohort.load(tmp_path / "wrong.npz")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("wrong.npz", b"PK\x03\x04 not a zip file", "not a readable .npz"),
        ("images", b"P5 28 28", "not an IDX file"),
        ("images", bytes([0, 0, 8, 1, 0, 0, 0, 9, 1]), "1 values, but the shape"),
        ("images.gz", b"\x1f\x8b broken", "not a readable gzip"),
    ],
)
def test_other_files_are_reported(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        ArrayCohort.load(tmp_path / name)


def test_what_is_absent_is_reported(tmp_path, stored):
    with pytest.raises(InputError, match="no such file"):
        ArrayCohort.load(tmp_path / "absent.npz")
    with pytest.raises(InputError, match="expected train or validation"):
        ArrayCohort.load(stored).where("test")
    with pytest.raises(InputError, match="validation_fraction"):
        ArrayCohort.load(stored, validation_fraction=1.0)
