"""Output folders: whose they are, in what two requests differ, what describes them."""

import pytest

from dipy_synth.errors import InputError
from dipy_synth.utils.derivative import (
    OutputFolder,
    SourceLink,
    describe_columns,
    differences,
)
from dipy_synth.utils.files import read_json, write_json


def describe(root, request, **options):
    folder = OutputFolder(root, "synthetic cohort")
    folder.describe(request, name="Brains", readme="Made up.", **options)
    return folder


def test_a_new_folder_has_no_request(tmp_path):
    for root in (tmp_path, tmp_path / "absent"):
        folder = OutputFolder(root, "synthetic cohort")
        assert folder.read() is None and folder.check({"Seed": 1}) == []


def test_the_request_is_read_back_and_another_is_refused(tmp_path):
    folder = describe(tmp_path, {"Seed": 1, "Conditions": {"age": 70}})
    assert folder.read() == {"Seed": 1, "Conditions": {"age": 70}}
    other = {"Seed": 2, "Conditions": {}}
    words = ["Seed was 1, is 2", "Conditions.age was 70, is None"]
    with pytest.raises(InputError) as error:
        folder.check(other)
    assert all(word in str(error.value) for word in (*words, "--force", str(tmp_path)))
    assert folder.check(other, force=True) == words


@pytest.mark.parametrize(
    "content, message",
    [
        ({}, "of another dataset"),
        ({"DipySynth": {"Kind": "prepared cohort"}}, "a prepared cohort"),
        ({"DipySynth": {"Seed": 1}}, "earlier version of dipy_synth"),
        (["cut short"], "a list, expected .*; expected a new folder for out_dir"),
    ],
)
def test_a_folder_of_something_else_is_refused_even_by_force(
    tmp_path, content, message
):
    write_json(tmp_path / "dataset_description.json", content)
    with pytest.raises(InputError, match=message):
        OutputFolder(tmp_path, "synthetic cohort").check({}, force=True)


def test_what_may_be_in_a_folder_without_a_record(tmp_path):
    (tmp_path / ".tmp-1-images.npz").touch()
    for name in ("README.md", "CITATION.cff"):  # a killed run wrote these first
        (tmp_path / name).write_text("mine")
    assert OutputFolder(tmp_path, "reconstruction").read() is None
    (tmp_path / "prepared").mkdir()
    free = OutputFolder(tmp_path, "reconstruction", besides=("prepared",))
    assert free.read() is None
    with pytest.raises(InputError, match="not empty, and no reconstruction"):
        OutputFolder(tmp_path, "reconstruction").read()
    with pytest.raises(InputError, match="not empty"):
        OutputFolder(tmp_path / ".tmp-1-images.npz", "reconstruction").read()


def test_a_record_may_be_a_whole_file(tmp_path):
    folder = OutputFolder(tmp_path, "run", record="settings.json", group=None)
    write_json(tmp_path / "settings.json", {"training": {"seed": 0}})
    with pytest.raises(InputError, match="holds a run .*training.seed was 0, is 1"):
        folder.check({"training": {"seed": 1}})


def test_a_table_may_grow_and_not_change():
    rows = [{"age": 30}, {"age": 40}]
    for before, now in ((rows[:1], rows), (rows, rows[:1])):
        assert differences({"Rows": before}, {"Rows": now}) == []
    other = [{"age": 30}, {"age": 41}]
    assert differences({"Rows": rows}, {"Rows": other}) == [
        "Rows row 2.age was 40, is 41"
    ]
    assert differences({"Rows": []}, {"Rows": rows}) == ["Rows was [], is 2 rows"]


def test_what_people_wrote_into_the_readme_stays(tmp_path):
    describe(tmp_path, {"Seed": 1}, ignored=("a.png", "b/"))
    assert (tmp_path / ".bidsignore").read_text() == "a.png\nb/\n"
    (tmp_path / "README.md").write_text("Ours")
    describe(tmp_path, {"Seed": 2}, License=None, SourceDatasets=[{"URL": "x"}])
    assert (tmp_path / "README.md").read_text() == "Ours"
    written = read_json(tmp_path / "dataset_description.json")
    assert "License" not in written and written["SourceDatasets"] == [{"URL": "x"}]


def test_sources_are_linked_and_earlier_links_are_kept(tmp_path):
    root, study = tmp_path / "out" / "prepared", tmp_path / "study"
    first = SourceLink.to(study, root=root)
    assert (first.name, first.address) == ("raw", "../../study")
    assert first.uri(study / "sub-1" / "a.nii") == "bids:raw:sub-1/a.nii"
    describe(root, {}, DatasetLinks=first.links)
    assert SourceLink.to(study, root=root) == first
    other = SourceLink.to(tmp_path / "more", root=root)
    assert other.name == "raw2"
    assert other.links == {"raw": "../../study", "raw2": "../../more"}


def test_columns_are_described_by_the_source_before_the_usual_words():
    known = {"age": {"Description": "At scan", "Units": "month"}}
    described = describe_columns(["participant_id", "age", "sex", "iq"], known)
    assert described["age"]["Units"] == "month"
    assert described["sex"]["Levels"]["F"] == "female"
    assert list(described) == ["age", "sex", "iq"] and described["iq"]["Description"]
