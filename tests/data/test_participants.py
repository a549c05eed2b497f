"""Tables of participants: whose row is whose, and what its columns mean."""

import json
import logging
from pathlib import Path

import pytest

from dipy_synth.data.columns import describe_table, normalize_columns
from dipy_synth.data.participants import Participants, add_covariates, fold
from dipy_synth.data.records import Record
from dipy_synth.errors import InputError

HEAD = "participant_id\tage\tsex\n"


@pytest.fixture
def study(tmp_path, caplog):
    """Return a function: table and scans -> covariates by key, and what was logged."""

    def read(table, *subjects, name="participants.tsv", files=()):
        (tmp_path / name).write_text(table)
        for path, text in dict(files).items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        records = [_record(tmp_path, subject) for subject in subjects or ["01"]]
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="dipy"):
            found = add_covariates(records)
        return {r.key.removeprefix("sub-"): r.covariates for r in found}, caplog.text

    return read


def _record(root, label):
    subject, _, session = label.partition("/")
    return Record(
        subject,
        root / f"sub-{subject}" / "anat" / f"sub-{subject}_T1w.nii.gz",
        session=session or None,
    )


@pytest.mark.parametrize(
    ("label", "subject"),
    [
        ("sub-01 ", "01"),
        ("01", "01"),
        ("1", "01"),
        ("1.0", "01"),
        ("SUB-01", "01"),
        ("sub-0001", "01"),
        ("sub01", "01"),
        ("Subject 1", "01"),
        ("s01", "S1"),
        ("sub-S_01", "S01"),
        ("S-1", "S01"),
    ],
)
def test_a_label_is_found_in_other_spellings(study, label, subject):
    found, _ = study(f"{HEAD}{label}\t25\tF\n", subject)
    assert found == {subject: {"age": "25", "sex": "F"}}


def test_accents_may_be_written_in_two_ways(study, tmp_path):
    record = Record("Jose", tmp_path / "Jose\u0301.nii.gz", name="Jose\u0301")
    (tmp_path / "participants.tsv").write_text(f"{HEAD}Jos\u00e9\t25\tF\n")
    assert add_covariates([record])[0].covariates == {"age": "25", "sex": "F"}


@pytest.mark.parametrize("label", ["01.2", "012", "10", "01b", "1-2"])
def test_a_label_is_not_cut(study, label):
    found, log = study(f"{HEAD}sub-{label}\t25\tF\n", "01")
    assert found == {"01": {}}
    assert "1 row without a scan" in log and "no row for sub-01" in log


def test_labels_alike_are_taken_only_where_there_is_no_doubt(study):
    found, _ = study(f"{HEAD}1\t20\tF\n", "01", "1")
    assert found == {"01": {}, "1": {"age": "20", "sex": "F"}}
    found, _ = study(f"{HEAD}1\t20\tF\n001\t30\tM\n", "01")
    assert found == {"01": {}}


def test_what_was_understood_is_one_line(study):
    rows = "sub-01\t20\tF\nsub-02\t81\tM\nsub-03\tn/a\tF\n"
    _, log = study(HEAD + rows, "01", "02", "03", "07")
    assert "age: number, 20 to 81 (2 missing); sex: F 2, M 1 (1 missing)" in log
    assert "no row for sub-07" in log


def test_each_session_has_its_row(study):
    table = "participant_id\tsession_id\tage\tsex\n"
    rows = "sub-01\tses-a\t20\tF\nsub-01\tB\t25\tF\nsub-02\tses-a\t50\tM\n"
    found, log = study(table + rows, "01/a", "01/b", "02", "01/c", "01")
    assert found["01_ses-a"] == {"age": "20", "sex": "F"}
    assert found["01_ses-b"] == {"age": "25", "sex": "F"}
    assert found["02"] == {"age": "50", "sex": "M"}
    assert found["01_ses-c"] == found["01"] == {"age": None, "sex": "F"}
    assert "sub-01 has no row for ses-c" in log


@pytest.mark.parametrize("name", ["Session", "SES", "ses_id", "Visit", "Timepoint"])
def test_the_column_of_sessions_is_known_by_its_name(study, name):
    table = f"participant_id\t{name}\tage\nsub-01\t1\t20\nsub-01\t02\t25\n"
    found, _ = study(table, "01/01", "01/2")
    assert found == {"01_ses-01": {"age": "20"}, "01_ses-2": {"age": "25"}}


def test_a_row_without_session_is_of_all(study):
    table = "participant_id\tsession\tage\tsex\nsub-01\tn/a\tn/a\tF\nsub-01\ta\t20\t\n"
    assert study(table, "01/a")[0] == {"01_ses-a": {"age": "20", "sex": "F"}}


def test_rows_that_differ_are_reported_and_their_value_is_left_out(study):
    rows = "sub-01\t20\tF\nsub-01\t30\tfemale\nsub-02\t40\tM\nsub-02\t40.0\t\n"
    found, log = study(HEAD + rows, "01", "02")
    assert found["01"] == {"age": None, "sex": "F"}
    assert float(found["02"]["age"]) == 40 and found["02"]["sex"] == "M"
    assert "sub-01 has age 20 and 30; it is taken as missing" in log


@pytest.mark.parametrize("name", ["participants.csv", "Participants.TSV"])
def test_the_table_may_be_named_otherwise(study, name):
    text = "participant_id,age\nsub-01,25\n"
    assert study(text, name=name)[0] == {"01": {"age": "25"}}


def test_a_table_that_is_not_read_is_named(study):
    _, log = study("PK", name="participants.xlsx")
    assert "participants.xlsx: not read" in log


def test_a_table_without_participant_id_is_refused(study):
    with pytest.raises(InputError, match="no column participant_id; .* subject, age"):
        study("subject\tage\n01\t20\n")


def test_levels_of_sex_are_those_of_the_data_dictionary(study):
    table, rows = HEAD, "sub-01\t25\t0\nsub-02\t25\t1\n"
    found, log = study(table + rows, "01", "02")
    assert [row["sex"] for row in found.values()] == ["0", "1"]
    assert "sex: 0, 1 are codes of unknown meaning" in log
    dictionary = {
        "Sex": {"Levels": {"0": "female subjects", "1": {"Description": "Male"}}}
    }
    found, log = study(
        table + rows, "01", "02", files={"participants.json": json.dumps(dictionary)}
    )
    assert [row["sex"] for row in found.values()] == ["F", "M"]
    assert "codes" not in log


def test_units_of_age_are_those_of_the_data_dictionary(study):
    dictionary = json.dumps({"age": {"Units": "months"}})
    found, _ = study(f"{HEAD}sub-01\t240\tF\n", files={"participants.json": dictionary})
    assert found["01"]["age"] == "20"


def test_a_broken_data_dictionary_is_reported_and_not_used(study):
    found, log = study(f"{HEAD}sub-01\t24\tF\n", files={"participants.json": "{"})
    assert found["01"]["age"] == "24" and "participants.json: not valid JSON" in log


def test_a_row_without_a_label_is_counted(study):
    _, log = study(f"{HEAD}n/a\t25\tF\nsub-01\t20\tF\n")
    assert "1 row without a participant_id" in log


def test_tables_around_a_folder_that_was_given_are_read(tmp_path):
    (tmp_path / "participants.csv").write_text("participant_id,age\np1,20\n")
    image = tmp_path / "p1" / "T1.nii.gz"
    record = Record("p1T1", image, name="p1")
    (found,) = add_covariates([record], {image: tmp_path})
    assert found.covariates == {"age": "20"}
    (found,) = add_covariates([record])
    assert found.covariates == {}


def test_a_subject_that_is_matched_by_name_is_not_by_its_label(tmp_path):
    table = Participants(Path("t"), [{"participant_id": "012", "age": "30"}])
    table.match({"012": "01.2"})
    assert table.row(Record("012", tmp_path / "01.2.nii.gz", name="01.2")) == {}


@pytest.mark.parametrize(
    ("values", "expected", "note"),
    [
        (["25Y", "30,5", "40"], ["25", "30.5", "40"], ""),
        (["25", "999", "-1", "-1"], ["25", None, None, None], "-1 (2 times), 999"),
        ([">89", "89+", "20"], ["89", "89", "20"], "taken as the number itself"),
        (["0", "25", "30"], [None, "25", "30"], "0 cannot be an age"),
        (["0", "1.5"], ["0", "1.5"], ""),
        (["None", "25"], [None, "25"], "None cannot be an age"),
        (["thirty", "25"], ["thirty", "25"], "thirty not understood among numbers"),
        (["20-25", "25-30"], ["20-25", "25-30"], "20-25, 25-30 not understood; kept"),
        (["25.50", "+3", "007"], ["25.50", "3", "007"], ""),
        (["\u0662\u0665", "30"], ["25", "30"], ""),  # Arabic digits
    ],
)
def test_ages_are_understood(values, expected, note):
    rows, notes = normalize_columns([{"age": value} for value in values])
    assert [row["age"] for row in rows] == expected
    assert note in " ".join(notes) and bool(note) == bool(notes)


@pytest.mark.parametrize("name", ["age_at_scan", "Age (years)", "AgeAtMRI", "age_yrs"])
def test_columns_of_ages_are_known_by_their_names(name):
    values = ["25,5", "018M", "999", "-9"]
    rows, notes = normalize_columns([{name: value} for value in values])
    assert [row[name] for row in rows] == ["25.5", "1.5", None, None]
    assert notes == [f"{name}: 999, -9 cannot be an age in years, taken as missing"]


@pytest.mark.parametrize(
    "name", ["age_group", "age_months", "age2", "age_at_scan_days"]
)
def test_other_columns_are_no_ages(name):
    assert normalize_columns([{name: "300"}]) == ([{name: "300"}], [])


def test_codes_among_numbers_are_named_and_kept():
    rows = [
        {"age": a, "mmse": m} for a, m in (("25", "28"), ("99", "30"), ("28", "888"))
    ]
    same, notes = normalize_columns(rows)
    assert same == rows
    assert notes == [
        f"{w} may stand for missing; kept" for w in ("age: 99", "mmse: 888")
    ]


def test_codes_of_a_data_dictionary_are_named_where_they_are_numbers():
    rows, levels = [{"site": "1"}, {"site": "2"}], {"1": "Rome", "2": "Oslo"}
    same, (note,) = normalize_columns(rows, {"site": {"Levels": levels}})
    assert same == rows and note.startswith("site: 1, 2 are codes")
    assert normalize_columns(rows, {"site": {"Levels": "see below"}}) == (rows, [])


@pytest.mark.parametrize(
    ("entry", "noted"),
    [
        ({"Description": "age in months at scan"}, True),
        ({"Description": "age in months at scan", "Units": "years"}, False),
        ({"Description": "age in years, 3 months before"}, False),
        ({"Description": "age of the participant"}, False),
    ],
)
def test_a_unit_in_words_alone_is_named(entry, noted):
    _, notes = normalize_columns([{"age": "25"}], {"age": entry})
    assert ("without Units, taken as years" in " ".join(notes)) == noted


def test_codes_for_missing_are_no_sexes():
    rows, (note,) = normalize_columns(
        [{"sex": v} for v in ("-9", "m", "999", "none", "f")]
    )
    assert [row["sex"] for row in rows] == [None, "M", None, None, "F"]
    assert note == "sex: -9, 999 taken as missing"


def test_words_that_are_no_sexes_are_named():
    rows, (note,) = normalize_columns([{"sex": v} for v in ("F", "weiblich", "M")])
    assert [row["sex"] for row in rows] == ["F", "weiblich", "M"]
    assert note == "sex: weiblich neither F nor M, kept as they are"


def test_other_columns_keep_what_they_say():
    rows = [
        {"height": "1,75", "site": "Guys", "n": "1", "score": "a"},
        {"height": "1,80", "site": "guys", "n": "-999", "score": "2"},
        {"height": None, "site": None, "n": "3", "score": "3"},
    ]
    found, notes = normalize_columns(rows)
    assert [row["height"] for row in found] == ["1.75", "1.8", None]
    assert [row["score"] for row in found] == ["a", "2", "3"]
    assert [row["n"] for row in found] == ["1", "-999", "3"]
    assert "site: Guys and guys differ in case alone" in notes[0]
    assert "n: -999 may stand for missing" in notes[1]
    assert "number, 2 to 3, but a" in describe_table(found)


def test_many_names_are_counted_not_listed():
    assert (
        describe_table([{"id": f"x{i}"} for i in range(40)]) == "id: 40 different names"
    )


def test_folding_keeps_what_makes_two_labels_two():
    different = ["01.2", "012", "0102", "100", "10", "1b"]
    assert len({fold(label) for label in different}) == len(different)


def test_a_sessions_table_has_its_own_data_dictionary(study):
    sessions = {
        "sub-01/sub-01_sessions.tsv": "session_id\tage\tsex\nses-1\t30\t2\n",
        "sub-01/sub-01_sessions.json": json.dumps(
            {"age": {"Units": "months"}, "sex": {"Levels": {"2": "female"}}}
        ),
    }
    found, _ = study("participant_id\nsub-01\n", "01/1", files=sessions)
    assert found == {"01_ses-1": {"age": "2.5", "sex": "F"}}


@pytest.mark.parametrize(
    ("unit", "age"),
    [("months", "20"), ("mo", "20"), ("Month(s)", "20"), (["months"], "20")]
    + [("wks", "4.6"), ("d", "0.657"), ("age in weeks", "4.6"), ("a", "240")]
    + [("years old", "240"), ("yr", "240"), (None, "240"), ("n/a", "240")],
)
def test_units_of_age_are_understood(unit, age):
    for key in ("Units", "units", "Unit"):
        rows, notes = normalize_columns([{"age": "240"}], {"age": {key: unit}})
        assert (rows[0]["age"] or "240") == age  # 240 years cannot be
        assert not any("unit" in note for note in notes)


@pytest.mark.parametrize("unit", ["quarters", "decades", "seconds", "years or months"])
def test_other_units_of_age_are_named_and_taken_as_years(unit):
    rows, notes = normalize_columns([{"age": "24"}], {"age": {"Units": unit}})
    assert rows[0]["age"] == "24"
    assert notes == [f"age: Units {unit!r} not understood, taken as years"]


def test_a_value_that_is_missing_in_a_nearer_table_is_filled(study):
    files = {
        "sub-01/sub-01_sessions.tsv": "session_id\tage\tsex\nses-1\tn/a\tn/a\n",
        "sub-02/sub-02_sessions.tsv": "session_id\tage\tsex\nses-1\t27\tM\n",
        "sub-03/sub-03_sessions.tsv": "session_id\tage\tsex\nses-2\t27\tM\n",
    }
    rows = "sub-01\t25\tF\nsub-02\t25\tF\nsub-03\t25\tM\n"
    found, log = study(HEAD + rows, "01/1", "02/1", "03/1", files=files)
    assert [*found.values()] == [
        {"age": "25", "sex": "F"},
        {"age": "27", "sex": "M"},
        {"age": "25", "sex": "M"},
    ]
    assert "sub-02 has sex F in one table and M in a nearer one; M is taken" in log
    assert "has age" not in log  # ages differ by session


def test_a_value_that_a_table_contradicts_is_not_that_of_another(study):
    files = {"sub-01/sub-01_sessions.tsv": "session_id\tage\n1\t27\n1\t28\n"}
    found, log = study(f"{HEAD}sub-01\t25\tF\n", "01/1", files=files)
    assert found["01_ses-1"] == {"age": None, "sex": "F"}
    assert "has age 27 and 28; it is taken as missing" in log
    head = HEAD.replace("\t", "\tsession_id\t", 1)
    rows = "sub-01\t1\t27\tF\nsub-01\t1\t28\tF\nsub-01\tn/a\t25\tF\n"
    found, _ = study(head + rows, "01/1")
    assert found["01_ses-1"] == {"age": None, "sex": "F"}


def test_tables_that_disagree_are_said_to(tmp_path, caplog):
    (tmp_path / "site").mkdir()
    (tmp_path / "participants.tsv").write_text(f"{HEAD}anna\t25\tF\n")
    (tmp_path / "site" / "participants.tsv").write_text(f"{HEAD}anna\t80\tF\n")
    image = tmp_path / "site" / "anna.nii.gz"
    (found,) = add_covariates([Record("anna", image)], {image: tmp_path})
    assert found.covariates == {"age": "80", "sex": "F"}
    assert "sub-anna has age 25 in one table and 80 in a nearer one" in caplog.text


def test_tables_in_other_places_are_named_not_read(study):
    files = {
        "sub-01/sub-01_sessions.tsv": "session_id\tage\nses-1\t25\n",
        "sub-02/sub-02_sessions.csv": "session_id,age\nses-1,25\n",
        "phenotype/demographics.tsv": "participant_id\tage\nsub-01\t25\n",
    }
    oasis = "ID,M/F,Hand,Age\nOAS1_0001_MR1,F,R,74\n"
    files |= {"oasis_cross-sectional.csv": oasis, "notes.csv": "a,b\n1,2\n"}
    _, log = study("", "01", "02/1", name="README", files=files)
    assert "oasis_cross-sectional.csv" in log and "notes.csv" not in log
    assert log.count("expected participants.tsv") == 1
    assert "sub-01_sessions.tsv: not read, the scan has no session" in log
    assert "sub-02_sessions.csv: not read; expected .tsv" in log
    assert "demographics.tsv: not read; expected participants.tsv" in log
