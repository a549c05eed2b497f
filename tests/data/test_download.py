"""Downloads from a server that breaks off, ignores, lies, and sends other bytes."""

import shutil
import tarfile

import pytest

from dipy_synth.data import download as downloading
from dipy_synth.data.download import FetchError, RemoteFile, download, unpack

BODY = bytes(range(256)) * 4000  # what the server gives as a.bin
QUICK = {"wait": 0.0, "timeout": 5.0, "progress": False}


def names_in(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


# ------------------------------------------------------------------------ downloads


def test_file_arrives_whole_and_is_not_requested_again(server, tmp_path):
    path = download(server.file(), tmp_path / "new", **QUICK)
    assert path == tmp_path / "new" / "a.bin"
    assert path.read_bytes() == BODY
    assert names_in(tmp_path / "new") == ["a.bin"]
    assert download(server.file(), tmp_path / "new", **QUICK) == path
    assert server.asked == [("/a.bin", None)]


def test_broken_transfer_is_resumed_where_it_broke(server, tmp_path):
    server.breaks = [300_000, 200_000]
    assert download(server.file(), tmp_path, **QUICK).read_bytes() == BODY
    assert [start for _, start in server.asked] == [None, 300_000, 500_000]


def test_part_of_an_earlier_process_is_resumed(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(BODY[:1000])
    assert download(server.file(), tmp_path, **QUICK).read_bytes() == BODY
    assert server.asked == [("/a.bin", 1000)]


def test_unfinished_file_of_another_program_is_resumed(server, tmp_path):
    (tmp_path / "a.bin").write_bytes(BODY[:5000])
    assert download(server.file(), tmp_path, **QUICK).read_bytes() == BODY
    assert server.asked == [("/a.bin", 5000)]


@pytest.mark.parametrize("size", [10, len(BODY) + 10])
def test_size_alone_finds_a_wrong_file(server, tmp_path, size):
    (tmp_path / "a.bin").write_bytes((BODY + BODY)[:size])
    assert download(server.file(md5=None), tmp_path, **QUICK).read_bytes() == BODY


def test_complete_part_is_only_verified(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(BODY)
    assert download(server.file(), tmp_path, **QUICK).read_bytes() == BODY
    assert server.asked == []


@pytest.mark.parametrize("part", [b"x" * 1000, BODY + b"x", b"x" * len(BODY)])
def test_wrong_part_is_thrown_away_and_all_is_fetched_anew(server, tmp_path, part):
    (tmp_path / "a.bin.part").write_bytes(part)
    assert download(server.file(), tmp_path, **QUICK).read_bytes() == BODY
    assert server.asked[-1] == ("/a.bin", None)


def test_part_longer_than_a_file_of_unknown_size(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(BODY + b"x")
    path = download(server.file(size=None), tmp_path, **QUICK)
    assert path.read_bytes() == BODY


def test_server_that_ignores_range_is_read_from_the_start(server, tmp_path):
    server.ranges, server.breaks = False, [300_000]
    assert download(server.file(), tmp_path, **QUICK).read_bytes() == BODY
    assert [start for _, start in server.asked] == [None, None]


def test_server_that_sends_another_range_is_not_believed(server, tmp_path):
    server.wrong_range, server.breaks = True, [300_000]
    assert download(server.file(), tmp_path, **QUICK).read_bytes() == BODY
    assert [start for _, start in server.asked] == [None, 300_000, None]


@pytest.mark.parametrize("ranges", [True, False])
def test_server_that_always_breaks_off_ends_in_an_error(server, tmp_path, ranges):
    server.ranges = ranges
    server.breaks = [400_000] + [0] * 50 if ranges else [400_000, 300_000] * 25
    with pytest.raises(FetchError) as caught:
        download(server.file(), tmp_path, retries=3, **QUICK)
    kept = (tmp_path / "a.bin.part").stat().st_size
    for word in (server.url(), "a.bin", f"{kept} of {len(BODY)} bytes came", "resumed"):
        assert word in str(caught.value)
    assert len(server.asked) == 5  # one that brought something, and 1 + 3 in vain
    assert not (tmp_path / "a.bin").exists()


def test_progress_gives_new_patience(server, tmp_path):
    server.breaks = [1000] * 12
    assert download(server.file(), tmp_path, retries=1, **QUICK).read_bytes() == BODY


@pytest.mark.parametrize("lie", [-1000, 1000])
def test_other_size_than_recorded_is_refused_before_the_download(server, tmp_path, lie):
    server.announce = lie
    with pytest.raises(FetchError, match=f"announces {len(BODY) + lie} bytes"):
        download(server.file(), tmp_path, **QUICK)
    assert len(server.asked) == 1
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("lie, word", [(-1000, "MD5"), (1000, "ended after")])
def test_false_length_is_found_out_when_no_size_is_recorded(
    server, tmp_path, lie, word
):
    server.announce = lie
    with pytest.raises(FetchError, match=word):
        download(server.file(size=None), tmp_path, retries=1, **QUICK)
    assert not (tmp_path / "a.bin").exists()


def test_no_length_at_all_is_no_obstacle(server, tmp_path):
    server.silent = True
    assert download(server.file(), tmp_path, **QUICK).read_bytes() == BODY
    server.breaks = [1000]
    (tmp_path / "a.bin").unlink()
    assert download(server.file(), tmp_path, **QUICK).read_bytes() == BODY


def test_other_bytes_are_refused_and_not_requested_again(server, tmp_path):
    other = bytes(reversed(BODY))
    with pytest.raises(FetchError) as caught:
        download(server.file(md5=server.md5(other)), tmp_path, **QUICK)
    assert server.md5(other) in str(caught.value)
    assert server.md5(BODY) in str(caught.value)
    assert len(server.asked) == 1
    assert names_in(tmp_path) == []


def test_missing_file_is_not_retried_and_the_next_address_is_tried(server, tmp_path):
    missing = server.url("/gone.bin")
    with pytest.raises(FetchError, match="gone.bin: HTTP 404"):
        download(server.file(urls=(missing,)), tmp_path, **QUICK)
    assert len(server.asked) == 1
    file = server.file(urls=(missing, server.url()))
    assert download(file, tmp_path, **QUICK).read_bytes() == BODY


@pytest.mark.parametrize("code", [500, 503, 429])
def test_busy_server_is_asked_again(server, tmp_path, code):
    server.codes = [code, code]
    assert download(server.file(), tmp_path, **QUICK).read_bytes() == BODY


def test_server_that_is_not_there(tmp_path):
    file = RemoteFile("a.bin", ("http://127.0.0.1:9/a.bin",), 10)
    with pytest.raises(FetchError, match=r"127.0.0.1:9/a.bin.*after 2 attempts"):
        download(file, tmp_path, retries=1, **QUICK)


def test_waits_grow_and_have_an_end(server, tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr(downloading.time, "sleep", waits.append)
    server.codes = [503] * 9
    with pytest.raises(FetchError):
        download(server.file(), tmp_path, retries=7, progress=False)
    assert waits == [2, 4, 8, 16, 32, 60, 60]


def test_disk_space_is_checked_before_the_download(server, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=2 * len(BODY) - 1)
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(FetchError, match=f"{2 * len(BODY)} needed"):
        download(server.file(), tmp_path, room=1.0, **QUICK)
    assert names_in(tmp_path) == []
    (tmp_path / "a.bin.part").write_bytes(BODY[:1])  # one byte less to come
    assert download(server.file(), tmp_path, room=1.0, **QUICK).exists()


# ------------------------------------------------------------------------- archives


def link(name, target, kind):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "name, content",
    [
        ("../outside.txt", b"x"),
        ("data/../../outside.txt", b"x"),
        ("data/link", link("data/link", "/etc/passwd", tarfile.SYMTYPE)),
        ("data/link", link("data/link", "../../outside.txt", tarfile.SYMTYPE)),
        ("data/link", link("data/link", "../outside.txt", tarfile.LNKTYPE)),
        ("data/pipe", link("data/pipe", "", tarfile.FIFOTYPE)),
    ],
)
def test_no_member_leaves_the_folder(server, tmp_path, name, content):
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(server.tar({"data/good.txt": b"y", name: content}))
    with pytest.raises(FetchError, match="a.tar.gz: cannot be unpacked"):
        unpack(archive, tmp_path / "in" / "new", progress=False)
    assert names_in(tmp_path) == ["a.tar.gz", "in"]


@pytest.mark.parametrize("damage", [b"<html>no</html>", b""])
def test_what_is_no_archive_is_said_so(tmp_path, damage):
    (tmp_path / "a.tar").write_bytes(damage)
    with pytest.raises(FetchError, match="a.tar: cannot be unpacked"):
        unpack(tmp_path / "a.tar", tmp_path / "new", progress=False)
    assert names_in(tmp_path) == ["a.tar"]


def test_archive_that_ends_too_early_leaves_nothing(server, tmp_path):
    whole = server.tar({"a.bin": BODY, "b.bin": BODY})
    (tmp_path / "a.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FetchError, match="cannot be unpacked"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "new", progress=False)
    assert names_in(tmp_path) == ["a.tar.gz"]
