"""Layouts, by empty files of the right names: readers open no image."""

from collections import Counter
from pathlib import Path

import pytest

from dipy_synth.data import layouts, participants
from dipy_synth.data.readers import Record, read_records
from dipy_synth.errors import InputError
from dipy_synth.utils.tables import write_table


def files_of(records):
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
    assert files_of(records) == {
        "sub-01_ses-a_run-1": ("sub-01_ses-a_run-1_T1w.nii.gz", None),
        "sub-01_ses-a_run-2": (
            "sub-01_ses-a_run-2_T1w.nii.gz",
            "sub-01_ses-a_run-2_desc-brain_mask.nii.gz",
        ),
        "sub-02": ("sub-02_T1w.nii", "sub-02_desc-brain_mask.nii.gz"),
    }
    assert records[0].covariates == {"age": "31", "hand": "left", "weight": "70"}
    assert records[2].covariates == {"age": None, "hand": "right"}


def test_a_session_without_a_row_in_its_table_is_named(touch, caplog):
    root = touch("sub-01/ses-b/anat/sub-01_ses-b_T1w.nii.gz")
    write_table(root / "participants.tsv", [{"participant_id": "sub-01", "age": 30}])
    visits = [{"session_id": "ses-a", "age": 31}]
    write_table(root / "sub-01" / "sub-01_sessions.tsv", visits)
    assert read_records(root)[0].covariates == {"age": "30"}
    assert "sub-01_sessions.tsv: no row for ses-b" in caplog.text


def test_bids_derivatives_are_taken_where_there_is_nothing_else(touch):
    root = touch(
        "sub-01/anat/sub-01_desc-brain_T1w.nii.gz",
        "sub-02/anat/sub-02_desc-preproc_T1w.nii.gz",
        "sub-02/anat/sub-02_desc-brain_mask.nii.gz",
        "sub-02/anat/sub-02_space-MNI_desc-preproc_T1w.nii.gz",
    )
    assert files_of(read_records(root)) == {
        "sub-01": ("sub-01_desc-brain_T1w.nii.gz", None),
        "sub-02": ("sub-02_desc-preproc_T1w.nii.gz", "sub-02_desc-brain_mask.nii.gz"),
    }


def test_a_derivative_among_raw_scans_is_named(touch, caplog):
    root = touch(
        "sub-01/anat/sub-01_T1w.nii.gz",
        "derivatives/x/sub-02/anat/sub-02_desc-preproc_T1w.nii.gz",
    )
    assert len(read_records(root)) == 2
    assert "one of derivatives was taken: " in caplog.text


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
    assert files_of(read_records(root)) == {"sub-01": ("sub-01_T1w.nii.gz", None)}
    with pytest.raises(InputError, match="no T1 scan"):
        read_records(root / "derivatives" / "p")


def test_of_several_scans_of_a_subject_a_rule_takes_one(touch, caplog):
    root = touch(
        *(f"sub-0{i}/anat/sub-0{i}_acq-b_T1w.nii.gz" for i in (1, 2, 3)),
        "sub-01/anat/sub-01_acq-a_T1w.nii.gz",
        "sub-02/anat/sub-02_acq-b_ce-gad_T1w.nii.gz",
        "sub-04/anat/sub-04_rec-norm_T1w.nii.gz",
        "sub-04/anat/sub-04_T1w.nii",
        "sub-04/anat/sub-04_T1w.nii.gz",
    )
    assert [r.image.name for r in read_records(root)] == [
        *(f"sub-0{i}_acq-b_T1w.nii.gz" for i in (1, 2, 3)),
        "sub-04_T1w.nii",
    ]
    assert "3 have several T1 scans; taken: " in caplog.text
    assert "sub-01_acq-b_T1w.nii.gz of 2" in caplog.text
    (record,) = read_records(f"{root}/sub-*/anat/*acq-a*")
    assert record.key == "sub-01"


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("sub-01.2/anat/sub-01.2_T1w.nii.gz", "'sub-01.2' is no entity"),
        ("sub-S_01_T1w.nii.gz", "'01' is no entity"),
        ("sub-01_ses-a.b_T1w.nii.gz", "'ses-a.b' is no entity"),
        ("sub-01_sub-02_T1w.nii.gz", "sub- is there twice"),
        ("sub-02/anat/sub-01_T1w.nii.gz", "a folder of another sub-, sub-02"),
        ("sub-01/ses-1/anat/sub-01_ses-2_T1w.nii.gz", "a folder of another ses-"),
        ("sub-S_01/anat/sub-S01_T1w.nii.gz", "a folder of another sub-"),
        ("sub-01/ses-a.b/anat/sub-01_T1w.nii.gz", "the label 'a.b', of its folder"),
    ],
)
@pytest.mark.parametrize("layout", ["auto", "files"])
def test_labels_are_understood_as_a_whole_or_refused(touch, name, match, layout):
    root = touch(name, "sub-09_T1w.nii.gz")
    with pytest.raises(InputError, match=f"{name}: .*{match}"):
        read_records(root, layout=layout)


def test_a_folder_that_names_a_subject_is_understood_or_refused(touch):
    root = touch("sub-01/anat/T1.nii.gz", "sub-02/ses-a/T1.nii.gz")
    assert [r.key for r in read_records(root)] == ["sub-01", "sub-02_ses-a"]
    touch("sub-01.2/anat/T1.nii.gz")
    with pytest.raises(InputError, match="the label '01.2', of its folder"):
        read_records(root)


def test_a_session_may_be_named_by_its_folder(touch):
    root = touch(*(f"sub-01/ses-{s}/anat/sub-01_T1w.nii.gz" for s in "ab"))
    assert [r.key for r in read_records(root)] == ["sub-01_ses-a", "sub-01_ses-b"]


@pytest.mark.parametrize(
    "name",
    [
        "CC0001_philips_15_55_M.nii.gz",
        "IXI002-Guys-0828-T1.nii.gz",
        "old_scan.nii.gz",
        "sub-01/anat/sub-01_T1w_brainmask.nii.gz",
    ],
)
def test_one_name_of_another_kind_does_not_change_the_layout(touch, name, caplog):
    root = touch(*(f"sub-0{i}/anat/sub-0{i}_T1w.nii.gz" for i in (1, 2)), name)
    write_table(root / "participants.tsv", [{"participant_id": "sub-01", "age": 3}])
    first, second = read_records(root)
    assert (first.covariates, second.key) == ({"age": "3"}, "sub-02")
    assert "brainmask" in name or Path(name).name in caplog.text


def test_one_bids_name_among_plain_ones_is_one_more(touch):
    root = touch("anna.nii.gz", "bob.nii.gz", "sub-01_T1w.nii.gz")
    assert [r.subject for r in read_records(root)] == ["01", "anna", "bob"]


def test_a_subject_without_t1w_is_named(touch, caplog):
    root = touch("sub-01/anat/sub-01_T1w.nii.gz", "sub-02/anat/sub-02_T1.nii.gz")
    assert len(read_records(root)) == 1
    assert "no T1w: sub-02" in caplog.text


def test_what_is_left_out_of_a_plain_folder_is_named(touch, caplog):
    root = touch("a_T1.nii.gz", "a_T2.nii.gz", "a_seg.nii.gz", "a.mgz")
    assert files_of(read_records(root)) == {"sub-a": ("a_T1.nii.gz", None)}
    for words in (
        "1 t2 (a_T2.nii.gz)",
        "1 seg (a_seg.nii.gz)",
        "FreeSurfer's format (a.mgz)",
    ):
        assert words in caplog.text
    (root / "a_T1.nii.gz").unlink()
    with pytest.raises(InputError, match="no T1 scan in the layout 'files'; left out"):
        read_records(root)


def test_synthetic_brains_inside_a_study_are_no_scans(touch):
    root = touch(
        "sub-01/anat/sub-01_T1w.nii.gz",
        "derivatives/x/sub-synth1/anat/sub-synth1_desc-synthetic_T1w.nii.gz",
        "derivatives/y/sub-01/anat/sub-01_desc-reconstructed_T1w.nii.gz",
    )
    root = touch(
        "derivatives/z/sub-02/anat/sub-02_desc-edited_T1w.nii.gz",
        "derivatives/z/sub-02/anat/sub-02_desc-difference_T1w.nii.gz",
    )
    assert [r.key for r in read_records(root)] == ["sub-01"]
    assert len(read_records(root / "derivatives" / "x")) == 1
    (record,) = read_records(root / "derivatives" / "z")
    assert "desc-edited" in record.image.name


def test_a_synthetic_brain_among_plain_files_is_none_of_them(touch, caplog):
    root = touch("anna_T1.nii.gz", "sub-synth1_desc-synthetic_T1w.nii.gz")
    with caplog.at_level("INFO"):
        assert [r.key for r in read_records(root)] == ["sub-anna"]
    assert "1 made by dipy_synth (sub-synth1" in caplog.text
    assert len(read_records(sorted(root.iterdir()))) == 2  # by their names


def test_two_datasets_with_one_label_are_refused(touch):
    root = touch("A/sub-01/anat/sub-01_T1w.nii", "B/sub-01/anat/sub-01_T1w.nii")
    with pytest.raises(InputError, match="A/sub-01.* and .*B/sub-01.* two datasets"):
        read_records(root)
    root.joinpath("C").symlink_to(root / "A")
    assert len(read_records([root / "A", root / "C"])) == 1


def test_a_phase_is_no_scan(touch, caplog):
    root = touch("sub-01/anat/sub-01_T1w.nii", "sub-02/anat/sub-02_part-phase_T1w.nii")
    assert [r.key for r in read_records(root)] == ["sub-01"]
    assert "images and no T1w: sub-02" in caplog.text
    with pytest.raises(InputError, match="no T1 scan.* 1 part-phase"):
        read_records(root / "sub-02")


def test_masks_of_several_programs_are_named(touch, caplog):
    mask = "sub-01/anat/sub-01_desc-brain_mask.nii"
    root = touch(
        "sub-01/anat/sub-01_T1w.nii", *(f"derivatives/{n}/{mask}" for n in "ab")
    )
    assert read_records(root)[0].mask == root / "derivatives" / "a" / mask
    assert "1 scans have several brain masks; taken:" in caplog.text
    caplog.clear()
    touch(mask)
    assert read_records(root)[0].mask == root / mask
    assert "several" not in caplog.text


def test_labels_that_differ_in_zeros_alone_are_named(touch, caplog):
    root = touch("sub-1_T1w.nii", "sub-001_T1w.nii", "sub-10_T1w.nii")
    assert len(read_records(root)) == 3
    assert "sub-001 and sub-1 differ in case or zeros alone" in caplog.text


def test_scans_that_are_not_on_this_disk_are_read_and_reported(touch, caplog):
    root = touch("sub-01/anat/sub-01_T1w.nii.gz", "sub-02/anat/x.txt")
    (root / "sub-02/anat/sub-02_T1w.nii.gz").symlink_to("../.git/annex/objects/x")
    pointer = "version https://git-lfs.github.com/spec/v1"
    (root / "sub-01/anat/sub-01_T1w.nii.gz").write_text(pointer)
    assert len(read_records(root)) == 2
    assert "2 of the scans are not on this disk" in caplog.text
    assert "git lfs pull" in caplog.text


def test_one_content_under_two_subjects_is_reported(touch, caplog):
    root = touch("a.nii", "b.nii", "c.nii")
    for name in "ab":
        (root / f"{name}.nii").write_bytes(b"x" * 999)
    (root / "c.nii").write_bytes(b"y" * 999)
    assert len(read_records(root)) == 3
    assert f"{root}/a.nii and {root}/b.nii have one content" in caplog.text


def test_a_table_beside_plain_files_names_them_as_they_are(touch):
    root = touch("01.2.nii.gz", "S_01_T1.nii.gz", "p1/T1.nii.gz", "sub-03/T1.nii.gz")
    ids = ("01.2", "012", "S_01", "p1", "3")
    rows = [{"participant_id": name, "age": 20 + i} for i, name in enumerate(ids)]
    write_table(root / "participants.tsv", rows)
    found = {r.subject: r.covariates.get("age") for r in read_records(root)}
    assert found == {"012": "20", "S01": "22", "T1": "23", "03": "24"}


def test_reading_looks_at_each_table_and_mask_once(touch, monkeypatch):
    names = [f"sub-{i:03d}/anat/sub-{i:03d}" for i in range(60)]
    root = touch(
        *(f"{name}_T1w.nii.gz" for name in names),
        *(f"derivatives/m/{name}_desc-brain_mask.nii.gz" for name in names),
    )
    rows = [{"participant_id": n[:7], "age": i} for i, n in enumerate(names)]
    write_table(root / "participants.tsv", rows)
    counts = Counter()

    def count(module, name):
        function = getattr(module, name)

        def counting(*args, **kwargs):
            counts[name] += 1
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, counting)

    count(participants, "read_columns")
    count(layouts, "entities")
    records = read_records(root)
    assert all(r.mask and r.covariates for r in records)
    assert counts["read_columns"] == 1
    assert counts["entities"] <= 10 * len(names) * 2  # some a file, not one a pair


def test_nfbs(touch):
    stem = "A00028185/sub-A00028185_ses-NFB3_T1w"
    root = touch(*(f"{stem}{end}.nii.gz" for end in ("", "_brain", "_brainmask")))
    expected = {
        "sub-A00028185_ses-NFB3": (
            "sub-A00028185_ses-NFB3_T1w.nii.gz",
            "sub-A00028185_ses-NFB3_T1w_brainmask.nii.gz",
        )
    }
    assert files_of(read_records(root)) == expected
    assert files_of(read_records(f"{root}/*/*_T1w.nii.gz", layout="nfbs")) == expected


def test_the_mask_beside_a_scan_of_nfbs_is_taken_and_several_are_named(touch, caplog):
    name = "sub-A1_ses-NFB3_T1w"
    root = touch(
        f"A1/{name}.nii", f"A1/{name}_brainmask.nii", f"z/{name}_brainmask.nii"
    )
    assert read_records(root)[0].mask == root / f"A1/{name}_brainmask.nii"
    assert "several" not in caplog.text
    (root / f"A1/{name}_brainmask.nii").rename(root / f"{name}_brainmask.nii")
    assert read_records(root)[0].mask == root / f"{name}_brainmask.nii"
    assert "1 scans have several brain masks; taken:" in caplog.text


def test_several_masks_of_cc359_are_named(touch, caplog):
    name, masks = "CC0001_philips_15_55_M", "Skull-stripping-masks"
    staple = f"{masks}/STAPLE/{name}_staple.nii"
    root = touch(f"Original/{name}.nii", staple, f"{masks}/old/{name}_mask.nii")
    assert read_records(root)[0].mask == root / staple
    assert f"{root / staple} of 2" in caplog.text


def test_strays_of_nfbs_and_cc359_are_named(touch, caplog):
    read, lost = "n/sub-A1_ses-NFB3_T1w", "n/sub-A2_ses-NFB3_T1w"
    names = [read, f"{read}_brain", f"{read}_brainmask", f"{lost} (1)", "n/anna_T1"]
    root = touch(*(f"{name}.nii" for name in (*names, "n/sub-A3_ses-NFB3_T1w_brain")))
    assert [r.subject for r in read_records(root / "n", layout="nfbs")] == ["A1"]
    (said,) = [
        r.getMessage() for r in caplog.records if "not named as" in r.getMessage()
    ]
    for name in ("A2_ses-NFB3_T1w (1).nii", "A3_ses-NFB3_T1w_brain.nii", "anna_T1.nii"):
        assert name in said
    assert "3 not named as in the layout nfbs" in said and "A1" not in said
    caplog.clear()
    names = [
        "1_ge_3_40_F",
        "1_ge_3_40_F_brain",
        "1_ge_3_40_F_staple",
        "2_ge_3_41_F (1)",
    ]
    names += ["3_ge_3_41_F_T1", "4_ge_3_40_F_staple"]
    root = touch(*(f"c/CC000{name}.nii" for name in names))
    assert [r.subject for r in read_records(root / "c")] == ["CC0001"]
    (said,) = [
        r.getMessage() for r in caplog.records if "not named as" in r.getMessage()
    ]
    assert "2 not named as in the layout cc359 (CC0002_ge_3_41_F (1).nii" in said
    assert "CC0003_ge_3_41_F_T1.nii" in said


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


def test_an_age_in_a_name_of_cc359_is_one_or_missing(touch, caplog):
    root = touch("CC0001_philips_15_399_M.nii.gz", "CC0002_siemens_3_61_F.nii.gz")
    assert [r.covariates["age"] for r in read_records(root)] == [None, "61"]
    assert "CC359: age: 399 cannot be an age in years, taken as missing" in caplog.text


def test_ixi(touch):
    root = touch("IXI002-Guys-0828-T1.nii.gz", "IXI012-HH-1211-T1.nii.gz")
    records = read_records(root)
    assert [r.covariates for r in records] == [{"site": "Guys"}, {"site": "HH"}]
    table = 'IXI_ID,"SEX_ID (1=m, 2=f)",AGE\n2,2,35.80\n12,1,\n,,\n'
    (root / "IXI.csv").write_text(table)
    records = read_records(root)
    assert records[0].covariates == {"age": "35.80", "sex": "F", "site": "Guys"}
    assert records[1].covariates == {"age": None, "sex": "M", "site": "HH"}


def test_the_table_of_ixi_is_named_where_scans_are_named_otherwise(touch, caplog):
    root = touch("IXI002-Guys-0828-T1_brain.nii.gz")
    (root / "IXI.csv").write_text("IXI_ID,SEX_ID,AGE\n2,2,35.80\n")
    assert read_records(root)[0].covariates == {}
    assert "IXI.csv: not read" in caplog.text
    caplog.clear()
    touch("IXI002-Guys-0828-T1.nii.gz")
    assert read_records(root)[0].covariates["age"] == "35.80"
    assert "not read" not in caplog.text


def test_plain_files(touch):
    root = touch("a_b-1.nii.gz", "c.nii", "notes.txt", "c_mask.nii.gz")
    assert files_of(read_records(root)) == {
        "sub-ab1": ("a_b-1.nii.gz", None),
        "sub-c": ("c.nii", None),
    }
    assert len(read_records(f"{root}/a*.nii.gz")) == 1
    assert len(read_records([root / "c.nii", str(root / "a_b-1.nii.gz")])) == 2


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


def test_of_several_masks_or_label_maps_that_with_equal_entities_is_taken(touch):
    other = "sub-01_space-MNI152NLin2009cAsym_"
    names = ["sub-01_desc-brain_mask", "sub-01_label-lesion_mask", "sub-01_dseg"]
    names += [f"{other}desc-brain_mask", f"{other}dseg", "sub-01_desc-aseg_dseg"]
    root = touch("sub-01_acq-a_T1w.nii", *(f"d/{name}.nii" for name in names))
    scan, masks, maps = root / "sub-01_acq-a_T1w.nii", "d/*mask.nii", "d/*dseg.nii"
    options = {"mask_paths": str(root / masks), "label_paths": str(root / maps)}
    with pytest.raises(InputError, match="of the 3 masks given, .* belong to it"):
        read_records(scan, **options)  # none has its acq
    scan = scan.rename(root / "sub-01_T1w.nii")
    (record,) = read_records(scan, **options)
    assert record.mask.name == "sub-01_desc-brain_mask.nii"
    assert record.label_map.name == "sub-01_dseg.nii"
    touch("d/sub-01_mask.nii")
    with pytest.raises(InputError, match="sub-01_desc-brain_mask.nii, .* belong to"):
        read_records(scan, **options)


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


@pytest.mark.parametrize(
    ("scan", "mask"),
    [
        ("sub-01_T1w.nii", "sub-02_desc-brain_mask.nii"),
        ("sub-01_ses-1_T1w.nii", "sub-01_ses-2_mask.nii"),
        ("sub-01_run-1_T1w.nii", "sub-01_run-2_mask.nii"),
        ("sub-01/T1.nii", "sub-02/mask.nii"),
    ],
)
def test_a_mask_of_another_subject_session_or_run_is_refused(touch, scan, mask):
    root = touch(f"s/{scan}", f"m/{mask}")
    with pytest.raises(InputError, match=f"{scan}: of the 1 masks .* none belongs"):
        read_records(root / "s", mask_paths=root / "m")


def test_a_label_map_of_another_is_not_taken_for_being_alone_with_a_scan(touch):
    root = touch(
        *(f"sub-0{i}/anat/sub-0{i}_run-1_T1w.nii" for i in (1, 2, 3)),
        "sub-01/anat/sub-02_run-1_dseg.nii",
        "sub-03/anat/sub-03_run-2_dseg.nii",
    )
    found = [
        r.label_map and r.label_map.name for r in read_records(root, label_paths=root)
    ]
    assert found == [None, "sub-02_run-1_dseg.nii", None]


def test_a_mask_named_after_a_longer_name_is_of_that_scan_alone(touch):
    root = touch("s/p1.nii", "s/p1_2.nii", "m/p1_2_mask.nii", "t/q.nii", "t/p1_seg.nii")
    with pytest.raises(InputError, match="p1.nii: of the 1 masks .* none belongs"):
        read_records(root / "s", mask_paths=root / "m")
    found = read_records(
        [root / "s", root / "t/q.nii"], label_paths=[root / "t", root / "m"]
    )
    names = {r.subject: r.label_map and r.label_map.name for r in found}
    assert names == {"p1": "p1_seg.nii", "p12": "p1_2_mask.nii", "q": None}


def test_a_name_too_long_for_the_files_to_write_is_refused(touch):
    root = touch(f"{'a' * 240}.nii", "bob.nii")
    with pytest.raises(InputError, match="aaa.nii: a name of 244 letters .* 128"):
        read_records(root)


def test_nothing_there_is_reported(touch):
    root = touch("empty/notes.txt", "other/sub-01_bold.nii.gz")
    with pytest.raises(InputError, match="no such file or folder"):
        read_records(root / "absent.nii.gz")
    with pytest.raises(InputError, match="no NIfTI image there"):
        read_records(root / "empty")
    with pytest.raises(InputError, match="no T1 scan in the layout 'bids'"):
        read_records(root / "other", layout="bids")
    with pytest.raises(InputError, match="expected auto, bids"):
        read_records(root, layout="dicom")
    for empty in ([], "", [""]):  # "" would be the current folder
        with pytest.raises(InputError, match="no input"):
            read_records(empty)


def test_key_names_subject_session_and_run():
    record = Record("01", Path("x"), session="a", run="2")
    assert record.key == "sub-01_ses-a_run-2"
    assert Record("01", Path("x"), run="2").key == "sub-01_run-2"
