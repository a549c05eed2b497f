"""Layouts, by empty files of the right names: readers open no image."""

from pathlib import Path

import pytest

from dipy_synth.data.readers import Record, read_records
from dipy_synth.errors import InputError
from dipy_synth.utils.tables import write_table


@pytest.fixture
def touch(tmp_path):
    """Make empty files below a folder; give the folder."""

    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


def told(records):
    return {r.key: (r.image.name, r.mask and r.mask.name) for r in records}


def test_bids_with_sessions_runs_tables_and_masks(touch):
    root = touch(
        "sub-01/ses-a/anat/sub-01_ses-a_run-1_T1w.nii.gz",
        "sub-01/ses-a/anat/sub-01_ses-a_run-2_T1w.nii.gz",
        "sub-01/ses-a/anat/sub-01_ses-a_T2w.nii.gz",
        "sub-02/anat/sub-02_T1w.nii",
        "derivatives/brainmask/sub-02/anat/sub-02_desc-brain_mask.nii.gz",
        "derivatives/brainmask/sub-01/ses-a/anat/"
        "sub-01_ses-a_run-2_desc-brain_mask.nii.gz",
        "derivatives/other/sub-02/anat/sub-02_desc-lesion_mask.nii.gz",
        "derivatives/other/sub-02/anat/sub-02_space-MNI_desc-brain_mask.nii.gz",
        "derivatives/fmriprep/sub-02/anat/sub-02_desc-preproc_T1w.nii.gz",
    )
    rows = [
        {"participant_id": "sub-01", "age": 30, "hand": "left"},
        {"participant_id": "sub-02", "age": None, "hand": "right"},
    ]
    write_table(root / "participants.tsv", rows)
    visits = [{"session_id": "ses-a", "weight": "70", "age": "31"}]
    write_table(root / "sub-01" / "sub-01_sessions.tsv", visits)
    records = read_records(root)
    assert told(records) == {
        "sub-01_ses-a_run-1": ("sub-01_ses-a_run-1_T1w.nii.gz", None),
        "sub-01_ses-a_run-2": (
            "sub-01_ses-a_run-2_T1w.nii.gz",
            "sub-01_ses-a_run-2_desc-brain_mask.nii.gz",
        ),
        "sub-02": ("sub-02_T1w.nii", "sub-02_desc-brain_mask.nii.gz"),
    }
    assert records[0].covariates == {"age": "31", "hand": "left", "weight": "70"}
    assert records[2].covariates == {"age": None, "hand": "right"}


def test_bids_derivatives_are_taken_where_there_is_nothing_else(touch):
    root = touch(
        "sub-01/anat/sub-01_desc-brain_T1w.nii.gz",
        "sub-02/anat/sub-02_desc-preproc_T1w.nii.gz",
        "sub-02/anat/sub-02_desc-brain_mask.nii.gz",
        "sub-02/anat/sub-02_space-MNI_desc-preproc_T1w.nii.gz",
    )
    assert told(read_records(root)) == {
        "sub-01": ("sub-01_desc-brain_T1w.nii.gz", None),
        "sub-02": ("sub-02_desc-preproc_T1w.nii.gz", "sub-02_desc-brain_mask.nii.gz"),
    }


def test_wildcards_tell_which_derivative_to_take(touch):
    root = touch(
        "sub-01/anat/sub-01_T1w.nii.gz",
        "derivatives/x/sub-01/anat/sub-01_desc-brain_T1w.nii.gz",
    )
    write_table(root / "participants.tsv", [{"participant_id": "sub-01", "age": 3}])
    (record,) = read_records(f"{root}/**/*desc-brain_T1w.nii.gz")
    assert record.image.name == "sub-01_desc-brain_T1w.nii.gz"
    assert record.covariates == {"age": "3"}  # of the dataset around the derivative


def test_what_was_prepared_inside_the_dataset_is_left_alone(touch):
    root = touch(
        "sub-01/anat/sub-01_T1w.nii.gz",
        "derivatives/p/sub-01/anat/sub-01_desc-prepared_T1w.nii.gz",
        "derivatives/p/sub-01/anat/sub-01_desc-brain_mask.nii.gz",
        "derivatives/p/sub-09/anat/sub-09_desc-prepared_T1w.nii.gz",
    )
    assert told(read_records(root)) == {"sub-01": ("sub-01_T1w.nii.gz", None)}
    with pytest.raises(InputError, match="no T1 scan"):
        read_records(root / "derivatives" / "p")


def test_two_scans_for_one_place_are_refused(touch):
    root = touch(
        "sub-01/anat/sub-01_acq-a_T1w.nii.gz", "sub-01/anat/sub-01_acq-b_T1w.nii.gz"
    )
    with pytest.raises(InputError, match="2 T1 scans .*acq-a.*acq-b.*wildcards"):
        read_records(root)
    assert len(read_records(f"{root}/sub-*/anat/*acq-b*")) == 1


def test_nfbs(touch):
    stem = "A00028185/sub-A00028185_ses-NFB3_T1w"
    root = touch(*(f"{stem}{end}.nii.gz" for end in ("", "_brain", "_brainmask")))
    expected = {
        "sub-A00028185_ses-NFB3": (
            "sub-A00028185_ses-NFB3_T1w.nii.gz",
            "sub-A00028185_ses-NFB3_T1w_brainmask.nii.gz",
        )
    }
    assert told(read_records(root)) == expected
    assert told(read_records(f"{root}/*/*_T1w.nii.gz", layout="nfbs")) == expected


def test_cc359(touch):
    root = touch(
        "Original/CC0001_philips_15_55_M.nii.gz",
        "Original/CC0002_siemens_3_61_F.nii.gz",
        "Skull-stripping-masks/STAPLE/CC0001_philips_15_55_M_staple.nii.gz",
    )
    for where in (root, root / "Original"):
        first, second = read_records(where)
        assert first.covariates == {
            "age": "55",
            "sex": "M",
            "vendor": "philips",
            "field": "1.5",
        }
        assert first.mask.name == "CC0001_philips_15_55_M_staple.nii.gz"
        assert second.covariates["field"] == "3" and second.mask is None


def test_ixi(touch):
    root = touch("IXI002-Guys-0828-T1.nii.gz", "IXI012-HH-1211-T1.nii.gz")
    records = read_records(root)
    assert [r.covariates for r in records] == [{"site": "Guys"}, {"site": "HH"}]
    table = 'IXI_ID,"SEX_ID (1=m, 2=f)",AGE\n2,2,35.80\n12,1,\n,,\n'
    (root / "IXI.csv").write_text(table)
    records = read_records(root)
    assert records[0].covariates == {"age": "35.80", "sex": "F", "site": "Guys"}
    assert records[1].covariates == {"age": None, "sex": "M", "site": "HH"}


def test_plain_files(touch):
    root = touch("a_b-1.nii.gz", "c.nii", "notes.txt", "c_mask.nii.gz")
    assert told(read_records(root)) == {
        "sub-ab1": ("a_b-1.nii.gz", None),
        "sub-c": ("c.nii", None),
    }
    assert len(read_records(f"{root}/a*.nii.gz")) == 1
    assert len(read_records([root / "c.nii", str(root / "a_b-1.nii.gz")])) == 2


def test_plain_files_of_one_name_are_named_after_their_folders(touch):
    root = touch("p1/T1.nii.gz", "p2/T1.nii.gz")
    assert [r.subject for r in read_records(root)] == ["p1T1", "p2T1"]


def test_collisions_are_refused(touch):
    root = touch("a-b.nii.gz", "a_b.nii.gz")
    with pytest.raises(InputError, match="a-b.nii.gz and .*a_b.nii.gz .* sub-ab"):
        read_records(root)
    touch("x/c.nii", "y/x/c.nii.gz")
    with pytest.raises(InputError, match="would both be sub-xc"):
        read_records([root / "x", root / "y"])


def test_masks_by_entities_by_name_or_alone(touch):
    root = touch(
        "in/sub-01_T1w.nii.gz",
        "in/sub-02_T1w.nii.gz",
        "m/sub-01_mask.nii.gz",
        "m/sub-02_mask.nii.gz",
        "plain/a.nii.gz",
        "plain/ab.nii.gz",
        "n/a_brainmask.nii.gz",
        "n/ab_brainmask.nii.gz",
    )
    found = read_records(root / "in", mask_paths=[root / "m"])
    assert [r.mask.name for r in found] == ["sub-01_mask.nii.gz", "sub-02_mask.nii.gz"]
    found = read_records(root / "plain", mask_paths=f"{root}/n/*mask.nii.gz")
    assert [r.mask.name for r in found] == ["a_brainmask.nii.gz", "ab_brainmask.nii.gz"]
    (one,) = read_records(
        root / "plain/a.nii.gz", mask_paths=root / "m/sub-01_mask.nii.gz"
    )
    assert one.mask.name == "sub-01_mask.nii.gz"
    with pytest.raises(InputError, match="sub-01_T1w.nii.gz: .* none belongs"):
        read_records(root / "in", mask_paths=root / "n")


def test_a_mask_in_the_folder_of_one_scan(touch):
    root = touch(*(f"{p}/{n}.nii.gz" for p in ("p1", "p2") for n in ("T1", "mask")))
    scans, masks = f"{root}/*/T1.nii.gz", f"{root}/*/mask.nii.gz"
    found = read_records(scans, mask_paths=masks)
    assert [r.mask.relative_to(root).as_posix() for r in found] == [
        "p1/mask.nii.gz",
        "p2/mask.nii.gz",
    ]
    touch("p2/T1b.nii.gz")  # whose mask is it now?
    with pytest.raises(InputError, match="p2/T1.nii.gz: .* none belongs"):
        read_records([scans, f"{root}/p2/T1b.nii.gz"], mask_paths=masks)


def test_nothing_there_is_told(touch):
    root = touch("empty/notes.txt", "other/sub-01_bold.nii.gz")
    with pytest.raises(InputError, match="no such file or folder"):
        read_records(root / "absent.nii.gz")
    with pytest.raises(InputError, match="no NIfTI image there"):
        read_records(root / "empty")
    with pytest.raises(InputError, match="no T1 scan in the layout 'bids'"):
        read_records(root / "other", layout="bids")
    with pytest.raises(InputError, match="expected auto, bids"):
        read_records(root, layout="dicom")
    with pytest.raises(InputError, match="no input"):
        read_records([])


def test_key_names_subject_session_and_run():
    record = Record("01", Path("x"), session="a", run="2")
    assert record.key == "sub-01_ses-a_run-2"
    assert Record("01", Path("x"), run="2").key == "sub-01_run-2"
