"""Files are whole or absent, and a broken one is named in the error."""

import errno
import hashlib
import json

import pytest

from dipy_synth.errors import InputError
from dipy_synth.utils.files import (
    atomic_path,
    file_hash,
    read_json,
    read_object,
    read_optional_object,
    write_json,
    write_text,
)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_atomic_path_makes_the_folder_and_leaves_no_temporary_file(tmp_path):
    path = tmp_path / "new" / "deep" / "volume.nii.gz"
    with atomic_path(path) as temporary:
        assert temporary.parent == path.parent
        assert not path.exists()
        temporary.write_bytes(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert names_in(path.parent) == ["volume.nii.gz"]


@pytest.mark.parametrize("name", ["volume.nii.gz", "model.weights.h5", "a.npz", "x"])
def test_temporary_name_keeps_the_suffixes(tmp_path, name):
    with atomic_path(tmp_path / name) as temporary:
        assert temporary.name != name
        assert temporary.name.endswith(name)
        temporary.touch()


def test_atomic_path_keeps_the_old_file_when_writing_fails(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="disk"):
        with atomic_path(path) as temporary:
            temporary.write_text("half of the n")
            raise RuntimeError("disk full")
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["table.tsv"]


def test_a_full_disk_is_named_by_the_file_that_was_to_be_written(tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device")  # as a write raises it
    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path / 'a'}'"):
        with atomic_path(tmp_path / "a"):
            raise full


def test_atomic_path_removes_the_half_on_ctrl_c(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        with atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt
    assert names_in(tmp_path) == []


def test_atomic_path_does_not_hide_that_nothing_was_written(tmp_path):
    with pytest.raises(FileNotFoundError):
        with atomic_path(tmp_path / "a.txt"):
            pass


def test_write_text_replaces_and_encodes_as_utf8(tmp_path):
    path = tmp_path / "card.md"
    write_text(path, "first")
    write_text(str(path), "Fréchet ≤ 1\n")
    assert path.read_bytes() == "Fréchet ≤ 1\n".encode()


def test_json_round_trip_ends_with_a_newline(tmp_path):
    content = {"shape": [80, 96, 80], "name": "Fréchet", "none": None, "x": 0.1}
    path = tmp_path / "config.json"
    write_json(path, content)
    assert read_json(path) == content
    assert list(read_json(path)) == list(content)
    assert path.read_text(encoding="utf-8").endswith("}\n")


def test_write_json_keeps_the_old_file_when_the_content_is_not_json(tmp_path):
    path = tmp_path / "config.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert names_in(tmp_path) == ["config.json"]


@pytest.mark.parametrize("content", [None, b'{"a": 1', b"", b"\xff\xfe"])
def test_read_json_names_an_absent_or_broken_file(tmp_path, content):
    path = tmp_path / "config.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="config.json: no"):
        read_json(path)


def test_file_hash_is_sha256_of_the_files_in_their_order(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"x" * (1 << 20) + b"y")  # more than one block
    b.write_bytes(b"z")
    whole = a.read_bytes() + b.read_bytes()
    assert file_hash(a, str(b)) == hashlib.sha256(whole).hexdigest()
    assert file_hash(a, b) != file_hash(b, a)


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[1, 2]", "a list, expected a JSON object"),
        ('"x"', "a str, expected"),
        ("null", "a NoneType, expected"),
        ('{"b": 1}', "no a; the names are b"),
        ('{"a": null}', "a is a NoneType, expected int"),
        ("{bro", "not valid JSON"),
        ('{"a": 1, "bro": {"b": 1, "b": 2}}', "not valid JSON .b is there twice"),
        (LFS, "pointer of Git LFS"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_an_object_of_json_is_one(tmp_path, caplog, text, match):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InputError, match=f"a.json: .*{match}"):
        read_object(path, needed={"a": int})
    read_optional_object(path)
    assert ("it is not used" in caplog.text) == ("{" not in text or "bro" in text)


def test_json_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "a.json").write_text('\ufeff{"a": 1}', encoding="utf-8")
    assert read_object(tmp_path / "a.json", needed=["a"]) == {"a": 1}
    assert read_optional_object(tmp_path / "b.json") == {}
