"""Plain files: whose scans they are, by names and folders."""

import pytest

from dipy_synth.data.readers import read_records
from dipy_synth.errors import InputError
from dipy_synth.utils.files import write_json
from dipy_synth.utils.tables import write_table


def questions(caplog):
    """Return the warnings that scans may be of one person."""
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    return [words for words in warnings if "is that one person?" in words]


@pytest.mark.parametrize(
    "first",
    [
        "anna_20200131_T1",
        "anna_2020-01-31_T1",
        "anna_20200131_101010_T1",
        "anna_31012020_T1",
        "anna_01-31-2020_T1",
        "anna_t1_mprage_20200131101010_5",
        "anna_T1",
        "2020/anna_20200131_T1",
        "anna/20200131/T1",
        "anna/31.01.2020/mprage",
        "20200131/anna/T1",
        "anna/MPRAGE/2006-05-02_12_31_52.0/I45/anna_20200131_S13_I45",
    ],
)
def test_names_that_differ_by_a_date_may_be_of_one_person(touch, first, caplog):
    root = touch(f"{first}.nii", "anna_20210101_T1.nii", "bob_20210101_T1.nii")
    assert len(read_records(root)) == 3
    (warning,) = questions(caplog)
    assert "as 2 subjects" in warning
    assert first in warning and "bob" not in warning


def test_other_numbers_and_dates_alone_are_no_reason_to_warn(touch, caplog):
    root = touch("a_20209999.nii", "a_20208888.nii", "20200101.nii", "20210101.nii")
    assert len(read_records(root)) == 4
    assert not questions(caplog)


@pytest.mark.parametrize(
    "two",
    [
        ("OAS1_0061_MR1", "OAS1_0061_MR2"),
        ("OAS1_0061_mpr-1_anon", "OAS1_0061_mpr-2_anon"),
        ("anna/session_1/anat/mprage", "anna/session_2/anat/mprage"),
        ("1000011_20252_2_0/T1/T1", "1000011_20252_3_0/T1/T1"),
        ("anna_bl", "anna_m06"),
        ("case_001_0000", "case_001_0001"),
        ("anna_3T_T1", "anna_7T_T1"),
        ("anna_T1_pre", "anna_T1_post"),
        ("wave1/anna_T1", "wave2/anna_T1"),
    ],
)
def test_names_that_differ_by_a_visit_may_be_of_one_person(touch, two, caplog):
    root = touch(*(f"{name}.nii" for name in two))
    read_records(root)
    assert not questions(caplog)  # a word of all scans may be any
    touch("carl_T1.nii")
    read_records(root)
    (warning,) = questions(caplog)
    assert all(name in warning for name in two) and "carl" not in warning


@pytest.mark.parametrize(
    "names",
    [
        ("study_scan01", "study_scan02", "study_scan03"),
        ("T1_001", "T1_002"),
        ("a/visit1/T1", "b/visit1/T1"),
        ("20210304/anna", "20210305/bob"),
    ],
)
def test_numbers_of_subjects_are_no_visits(touch, names, caplog):
    assert len(read_records(touch(*(f"{name}.nii" for name in names)))) == len(names)
    assert not questions(caplog)


def test_plain_files_of_one_name_are_named_after_their_folders(touch):
    root = touch("p1/T1.nii.gz", "p2/T1.nii.gz")
    assert [r.subject for r in read_records(root)] == ["p1T1", "p2T1"]


def test_they_are_named_after_all_folders_where_the_nearest_do_not_tell(touch, caplog):
    root = touch("bert/mri/T1.nii", "ernie/mri/T1.nii")
    rows = [{"participant_id": name, "age": len(name)} for name in ("bert", "ernie")]
    write_table(root / "participants.tsv", rows)
    found = {r.subject: r.covariates["age"] for r in read_records(root)}
    assert found == {"bertT1": "4", "ernieT1": "5"} and not questions(caplog)
    touch("bert/T1w/T1.nii")
    found = [record.subject for record in read_records(root)]
    assert found == ["bertT1wT1", "bertmriT1", "erniemriT1"]
    (warning,) = questions(caplog)
    assert "bert/mri" in warning and "bert/T1w" in warning and "ernie" not in warning


def test_a_table_names_the_folder_where_files_have_one_name(touch):
    root = touch("p1/struct.nii", "p2/struct.nii")
    write_table(root / "participants.tsv", [{"participant_id": "p2", "age": 30}])
    assert [r.covariates.get("age") for r in read_records(root)] == [None, "30"]


def test_collisions_are_refused(touch):
    root = touch("a-b.nii.gz", "a_b.nii.gz")
    with pytest.raises(InputError, match="a-b.nii.gz and .*a_b.nii.gz .* sub-ab"):
        read_records(root)
    touch("p_q/c/T1.nii", "pq/c/T1.nii")
    with pytest.raises(InputError, match="would both be sub-pqT1"):
        read_records([root / "p_q", root / "pq"])


def test_the_json_of_dcm2niix_excludes_other_series(touch, caplog):
    root = touch(*(f"anna/{n}.nii" for n in ("s3", "s4", "s5", "s6", "T1_7")))
    series = {
        "s3": "t1_mprage_sag",
        "s4": "AX T2 FRFSE",
        "s5": "ep2d_bold",
        "T1_7": "T2",
    }
    for name, words in series.items():
        write_json(root / f"anna/{name}.json", {"SeriesDescription": words})
    (root / "anna/s6.json").write_text("no JSON")
    assert [r.image.stem for r in read_records(root)] == ["T1_7", "s3", "s6"]
    assert "1 t2 by its JSON (s4.nii)" in caplog.text
    assert [r.image.stem for r in read_records(root / "anna/s5.nii")] == ["s5"]
