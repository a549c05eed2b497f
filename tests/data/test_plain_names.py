"""Files of any name: T1 scans found among what else lies in a folder."""

from pathlib import Path

import pytest

from dipy_synth.data.plain_names import choose_scans, person


def chosen(*names, keep=()):
    scans, left_out = choose_scans([Path(n) for n in names], keep=map(Path, keep))
    assert len(scans) + sum(map(len, left_out.values())) == len(names)
    return [str(path) for path in scans]


@pytest.mark.parametrize(
    "name",
    [
        "anna_T2.nii.gz",
        "anna_T2w.nii.gz",
        "annaT2.nii",
        "anna-FLAIR.nii.gz",
        "anna_task-rest_bold.nii.gz",
        "anna_T1_seg.nii.gz",
        "anna_gfc_fseg.nii.gz",
        "anna_aparc+aseg.nii.gz",
        "anna_label.nii.gz",
        "anna_brainmask.nii.gz",
        "anna_T1_mask_final.nii.gz",
        "anna_dwi.nii",
        "anna_T2_to_T1.nii.gz",
        "anna_t1ce.nii.gz",
        "anna_lesion.nii.gz",
        "T2_anna.nii.gz",
        "anna-t2f.nii.gz",
        "anna_pet_suv.nii.gz",
        "MNI152_T1_1mm.nii.gz",
        "mni_icbm152_t1_tal_nlin_asym_09c.nii",
    ],
)
def test_other_contrasts_and_labels_are_no_scans(name):
    assert chosen("bob.nii.gz", name) == ["bob.nii.gz"]
    assert chosen("bob.nii.gz", name, keep=[name]) == sorted(["bob.nii.gz", name])


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("x/masks/001.nii", True),
        ("x/labelsTr/case_001.nii", True),
        ("x/anna/T2/scan.nii", True),
        ("x/anna/FLAIR_3/s5.nii", True),
        ("x/anna/rest_1/rest.nii", True),
        ("x/masks/anna_T1.nii", False),
        ("x/T1_and_T2/anna.nii", False),
        ("x/AD/anna.nii", False),
    ],
)
def test_the_folder_of_a_file_may_say_what_it_is(name, left):
    assert chosen("x/images/bob.nii", name) == sorted(
        ["x/images/bob.nii", *([] if left else [name])]
    )
    assert chosen(name) == [name]  # a folder above all says nothing


@pytest.mark.parametrize(
    "name",
    [
        "anna.nii.gz",
        "anna_T1_to_T2.nii.gz",
        "anna_MPRAGE.nii",
        "PD_01.nii.gz",
        "MD.nii.gz",
        "mary.nii",
        "rest.nii.gz",
        "flairton.nii",
    ],
)
def test_scans_are_scans(name):
    assert chosen(name) == [name]


def test_short_words_count_where_the_name_is_there_without_them():
    assert chosen("a_T1.nii", "a_PD.nii", "b_PD.nii") == ["a_T1.nii", "b_PD.nii"]
    assert chosen("a.nii", "a_FA.nii") == ["a.nii"]


def test_versions_of_one_scan_are_one_the_least_processed():
    assert chosen("a_T1.nii", "a_T1_brain.nii", "a_brain.nii", "b_brain.nii") == [
        "a_T1.nii",
        "b_brain.nii",
    ]
    assert chosen("x/T1.nii", "x/brain.nii", "y/brain.nii") == [
        "x/T1.nii",
        "y/brain.nii",
    ]
    assert chosen("a.nii", "a.nii.gz") == ["a.nii"]
    assert chosen("sub-1_T1w.nii", "sub-1_acq-b_T1w.nii") == ["sub-1_T1w.nii"]
    both = ["sub-1_ses-1_T1w.nii", "sub-1_ses-2_T1w.nii"]
    assert chosen(*both) == both


@pytest.mark.parametrize(
    ("scan", "other"),
    [
        ("anna_T1.nii", "anna_qsi.nii"),
        ("anna_T1.nii", "anna_T1_1Warp.nii"),
        ("anna_T1.nii", "anna_T1_2.nii"),
        ("anna_T1_1mm.nii", "anna_BrainExtractionBrain.nii"),
        ("anna.nii", "anna_to_MNI.nii"),
        ("anna.nii", "anna_brain_mixeltype.nii"),
        ("x/T1.nii", "x/qsi.nii"),
        ("BraTS-1-t1n.nii", "BraTS-1-t9.nii"),
        ("x/T1.nii", "x/T1_fullfov.nii"),
        ("x/T1.nii", "x/reg/T1_to_MNI_lin.nii"),
        ("x/anna_T1.nii", "x/dti/anna_qsi.nii"),
    ],
)
def test_what_is_named_after_a_scan_is_none(scan, other):
    assert chosen(scan, other) == [scan]
    assert chosen(other) == [other]
    assert chosen(scan, other, keep=[other]) == sorted([scan, other])


@pytest.mark.parametrize(
    "names",
    [
        ["a.nii", "a_1.nii", "a_2.nii"],
        ["smith_T1.nii", "smith_john_T1.nii"],
        ["T1_anna.nii", "bob.nii"],
        ["anna_T1.nii", "annabel.nii"],
        ["x/anna.nii", "y/anna_left.nii"],
        ["x/T1.nii", "x/y/bob.nii"],
        ["x/anna.nii", "x/y/anna_left.nii"],
    ],
)
def test_scans_of_similar_names_are_all_scans(names):
    assert chosen(*names) == sorted(names)


def test_what_spm_made_beside_a_scan_is_none():
    made = "c1anna manna wmanna mwp1anna swc1anna s8manna mri/p0anna mri/wmanna".split()
    scans = ["x/anna.nii", "x/mary.nii"]
    assert chosen(*scans, *(f"x/{name}.nii" for name in made)) == scans


@pytest.mark.parametrize(
    ("name", "who"),
    [
        ("anna_T1_brain.nii.gz", "anna"),
        ("annaT1.nii", "anna"),
        ("anna-mprage.nii", "anna"),
        ("T1.nii.gz", ""),
        ("anna_2.nii", "anna_2"),
    ],
)
def test_persons(name, who):
    assert person(Path(name)) == who
