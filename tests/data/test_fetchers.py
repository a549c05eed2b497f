"""Data sets: fetched once, unpacked whole, their licence shown; CC359 by hand."""

from dataclasses import replace
import logging
import re

from dipy.workflows.base import IntrospectiveArgumentParser
import pytest

from dipy_synth.data.download import FetchError
from dipy_synth.data.fetchers import SOURCES, Source, check_cc359, fetch_t1
from dipy_synth.errors import InputError
from dipy_synth.utils.files import read_json
from dipy_synth.workflows.fetch import FetchT1Flow

QUICK = {"wait": 0.0, "timeout": 5.0, "progress": False}


def names_in(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


# ------------------------------------------------------------------------ data sets


def source_on(server, members, **changes):
    server.files["/set.tar.gz"] = server.tar(members)
    source = Source(
        name="set",
        title="A set",
        home="http://home",
        licence="CC0",
        credit="Somebody 2020",
        folder="Set",
        volumes=2,
        archive=server.file("set.tar.gz"),
    )
    return replace(source, **changes)


FLAT = {"a.nii.gz": b"1", "b.nii.gz": b"2"}
NESTED = {f"Set/sub/{name}": content for name, content in FLAT.items()}


@pytest.mark.parametrize(
    "members, expected",
    [
        (FLAT, ["a.nii.gz", "b.nii.gz", "source.json"]),
        (NESTED, ["source.json", "sub", "sub/a.nii.gz", "sub/b.nii.gz"]),
    ],
)
def test_fetch_unpacks_shows_the_licence_and_rests(server, tmp_path, members, expected):
    source = source_on(server, members)
    folder = fetch_t1(source, tmp_path, **QUICK)
    assert folder == tmp_path / "Set"
    assert names_in(folder) == expected
    assert names_in(tmp_path)[0] == "Set"  # no archive, nothing temporary
    receipt = read_json(folder / "source.json")
    assert receipt["License"] == "CC0"
    assert receipt["URL"] == server.url("/set.tar.gz")
    assert receipt["Volumes"] == 2
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert fetch_t1(source, tmp_path, **QUICK) == folder
    assert len(server.asked) == 1
    assert times == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_size_and_licence_are_shown_before_the_download(server, tmp_path, caplog):
    source = source_on(server, FLAT)
    server.files = {}
    with caplog.at_level(logging.INFO, logger="dipy"), pytest.raises(FetchError):
        fetch_t1(source, tmp_path, **QUICK)
    for word in ("CC0", "Somebody 2020", "GB", "http://home"):
        assert word in caplog.text


def test_fetch_resumes_and_keeps_the_archive_when_requested(server, tmp_path):
    source = source_on(server, FLAT)
    server.breaks = [50]
    with pytest.raises(FetchError):
        server.codes = [200, 404]
        fetch_t1(source, tmp_path, **QUICK)
    assert names_in(tmp_path) == ["set.tar.gz.part"]
    fetch_t1(source, tmp_path, keep_archive=True, **QUICK)
    assert server.asked[-1] == ("/set.tar.gz", 50)
    assert (tmp_path / "set.tar.gz").read_bytes() == server.files["/set.tar.gz"]


def test_incomplete_folder_is_refused_and_replaced_by_force(server, tmp_path):
    source = source_on(server, FLAT)
    folder = fetch_t1(source, tmp_path, **QUICK)
    (folder / "a.nii.gz").unlink()
    (folder / "notes.txt").touch()
    with pytest.raises(InputError, match=r"Set: holds 1 .nii.gz files, expected 2"):
        fetch_t1(source, tmp_path, **QUICK)
    fetch_t1(source, tmp_path, force=True, **QUICK)
    assert names_in(tmp_path / "Set") == ["a.nii.gz", "b.nii.gz", "source.json"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["Set"]


def test_folder_survives_a_failed_replacement(server, tmp_path):
    source = source_on(server, FLAT)
    fetch_t1(source, tmp_path, **QUICK)
    bad = source_on(server, {"../x": b""})
    with pytest.raises(FetchError):
        fetch_t1(bad, tmp_path, force=True, **QUICK)
    assert names_in(tmp_path / "Set") == ["a.nii.gz", "b.nii.gz", "source.json"]
    assert ".tmp-Set" not in names_in(tmp_path)


def test_folder_put_down_by_hand_is_left_alone(server, tmp_path):
    source = source_on(server, FLAT)
    for name in FLAT:
        (tmp_path / "Set" / "deep").mkdir(parents=True, exist_ok=True)
        (tmp_path / "Set" / "deep" / name).touch()
    assert fetch_t1(source, tmp_path, **QUICK) == tmp_path / "Set"
    assert server.asked == []


def test_extra_comes_along_and_its_loss_is_a_warning(server, tmp_path, caplog):
    server.files["/ages.xls"] = b"ages"
    good, lost = server.file("ages.xls"), server.file("lost.xls")
    source = source_on(server, NESTED, extras=(good, lost))
    with caplog.at_level(logging.WARNING, logger="dipy"):
        folder = fetch_t1(source, tmp_path, **QUICK)
    assert (folder / "ages.xls").read_bytes() == b"ages"
    assert "lost.xls" in caplog.text
    assert names_in(folder)[:2] == ["ages.xls", "source.json"]
    server.files["/lost.xls"], server.asked = b"", []
    fetch_t1(source, tmp_path, **QUICK)  # asks again for what was lost, only
    assert server.asked == [("/lost.xls", None)]
    assert (folder / "lost.xls").exists()


def test_default_folder_is_that_of_dipy(server, tmp_path, monkeypatch):
    monkeypatch.setenv("DIPY_HOME", str(tmp_path / "home"))
    assert fetch_t1(source_on(server, FLAT), **QUICK) == tmp_path / "home" / "Set"


def test_table_of_sources_is_sound():
    for name, source in SOURCES.items():
        assert source.name == name
        assert source.licence
        assert source.credit
        files = (source.archive, *source.extras) if source.archive else ()
        for file in files:
            assert re.fullmatch("[0-9a-f]{32}", file.md5)
            assert all(re.match("https?://", url) for url in file.urls)
            assert all(url.endswith(f"/{file.name}") for url in file.urls)


def test_unknown_name_lists_the_known(tmp_path):
    with pytest.raises(InputError, match="nfbs, ixi, cc359"):
        fetch_t1("oasis", tmp_path)


# ---------------------------------------------------------------------------- CC359


def put_cc359(folder, subjects, *, masks):
    for number in subjects:
        stem = f"CC{number:04d}_philips_15_55_M"
        images = [folder / "Original" / f"{stem}.nii.gz"]
        images += [folder / "Masks" / "STAPLE" / f"{stem}_staple.nii.gz"] * masks
        for path in images:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def test_check_cc359_lists_what_is_there_and_what_is_not(tmp_path):
    put_cc359(tmp_path, [1, 3], masks=True)
    put_cc359(tmp_path, [7], masks=False)
    put_cc359(tmp_path, [9], masks=True)
    (tmp_path / "Original" / "CC0009_philips_15_55_M.nii.gz").unlink()
    (tmp_path / "Original.zip").touch()
    (tmp_path / "readme_M.nii.gz").touch()
    found = check_cc359(tmp_path)
    assert found["images"] == ["CC0001", "CC0003", "CC0007"]
    assert found["masks"] == ["CC0001", "CC0003", "CC0009"]
    assert found["missing masks"] == ["CC0007"]
    assert len(found["missing images"]) == 356
    assert found["missing images"][:2] == ["CC0002", "CC0004"]
    assert found["packed"] == ["Original.zip"]


def test_fetch_cc359_says_where_to_register_until_all_is_there(tmp_path):
    put_cc359(tmp_path / "CC359", [1], masks=True)
    put_cc359(tmp_path / "CC359", [7], masks=False)
    words = r"Register at https://.*2 images and 1 masks.*: 357 .*masks: 1 \(CC0007\)"
    with pytest.raises(InputError, match=words):
        fetch_t1("cc359", tmp_path)
    put_cc359(tmp_path / "CC359", range(1, 360), masks=True)
    assert fetch_t1("cc359", tmp_path) == tmp_path / "CC359"


# ---------------------------------------------------------------------- the command


@pytest.fixture
def flow(server, tmp_path, monkeypatch):
    monkeypatch.setitem(SOURCES, "set", source_on(server, FLAT))
    return FetchT1Flow()


def test_flow_fetches_and_force_replaces(flow, server, tmp_path):
    flow.run("set", out_dir=str(tmp_path))
    (tmp_path / "Set" / "a.nii.gz").unlink()
    again = FetchT1Flow(force=True)
    again.run("SET", keep_archive=True, out_dir=str(tmp_path))
    assert names_in(tmp_path / "Set") == ["a.nii.gz", "b.nii.gz", "source.json"]
    assert (tmp_path / "set.tar.gz").exists()


def test_flow_fetches_to_the_current_folder_by_default(flow, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flow.run("set")
    assert (tmp_path / "Set" / "source.json").exists()


def test_flow_lists_what_there_is(flow, caplog):
    with caplog.at_level(logging.INFO, logger="dipy"):
        flow.run("list")
    for word in ("nfbs", "ixi", "cc359", "CC BY-SA 3.0"):
        assert word in caplog.text


def test_flow_has_a_command_line(flow, monkeypatch):
    monkeypatch.setattr("sys.argv", ["x", "nfbs", "--keep_archive", "--out_dir", "d"])
    parser = IntrospectiveArgumentParser()
    parser.add_workflow(flow)
    arguments = parser.get_flow_args()
    assert arguments["name"] == "nfbs"
    assert arguments["keep_archive"] is True
    assert str(arguments["out_dir"]) == "d"
