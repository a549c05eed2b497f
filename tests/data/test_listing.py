"""Which files are images of a study: folders, links, wildcards, and what is aside."""

import os

import pytest

from dipy_synth.data.listing import find_images, images_below, list_images
from dipy_synth.errors import InputError
from dipy_synth.utils.files import write_json


@pytest.fixture
def study(tmp_path):
    """Return a function that makes empty files in a study, and returns its folder."""

    def make(*names):
        for name in names:
            path = tmp_path / "study" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / "study"

    return make


def names(paths):
    return sorted(path.name for path in paths)


def test_what_is_beside_the_data_is_not_read(study):
    root = study(
        "a.nii.gz",
        "._a.nii.gz",
        ".git/annex/objects/x/x.nii.gz",
        "__MACOSX/a.nii.gz",
        "sourcedata/sub-01/b.nii.gz",
    )
    listing = find_images(root)
    assert names(listing.images) == ["a.nii.gz"]
    assert names(*listing.left_out.values()) == [".git", "__MACOSX", "sourcedata"]
    assert names(list_images(root / "sourcedata")) == ["b.nii.gz"]
    assert names(list_images(f"{root}/**/*.nii.gz")) == ["a.nii.gz"]
    assert names(list_images(f"{root}/sourcedata/**/*.nii.gz")) == ["b.nii.gz"]


@pytest.mark.parametrize(
    "description", [{"GeneratedBy": [{"Name": "dipy_synth"}]}, {"DipySynth": {}}]
)
def test_what_dipy_synth_wrote_is_not_read_unless_it_is_given(study, description):
    root = study("sub-01_T1w.nii.gz", "out/sub-9/anat/sub-9_desc-synthetic_T1w.nii.gz")
    write_json(root / "out" / "dataset_description.json", description)
    synthetic = ["sub-9_desc-synthetic_T1w.nii.gz"]
    for inputs in (root, f"{root}/**/*.nii.gz"):
        assert names(list_images(inputs)) == ["sub-01_T1w.nii.gz"]
    assert names(list_images(root / "out")) == synthetic
    assert names(list_images(f"{root}/*/**/*desc-synthetic_T1w.nii.gz")) == synthetic


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"GeneratedBy": "fMRIPrep"}', '{"GeneratedBy": 5}']
)
def test_other_descriptions_are_no_reason_to_leave_a_folder_out(study, text):
    root = study("out/a.nii.gz")
    (root / "out" / "dataset_description.json").write_text(text)
    assert names(list_images(root)) == ["a.nii.gz"]


def test_links_are_followed_and_loops_are_not(study, tmp_path):
    root = study("sub-02/b.nii.gz")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "a.nii.gz").touch()
    (root / "sub-01").symlink_to(tmp_path / "store")
    (root / "sub-02" / "up").symlink_to("../..")
    (root / "sub-02" / "root").symlink_to("..")
    (root / "self").symlink_to("self")
    (root / "sub-03").symlink_to(tmp_path / "gone")
    (root / "gone.nii.gz").symlink_to(".git/annex/objects/none")
    listing = find_images(root)
    assert names(listing.images) == ["a.nii.gz", "b.nii.gz", "gone.nii.gz"]
    links = listing.left_out["links to what is not there"]
    assert names(links) == ["self", "sub-03"]


def test_endings_in_any_case_and_pairs(study):
    root = study("a.NII.GZ", "b.Nii", "c.img", "c.hdr", "d.IMG", "d.HDR", "e.img")
    root = study("f.hdr", "a.nii.json")
    listing = find_images(root)
    assert names(listing.images) == ["a.NII.GZ", "b.Nii", "c.img", "d.IMG"]
    assert names(listing.left_out["without .hdr beside"]) == ["e.img"]
    assert names(listing.left_out["without .img beside"]) == ["f.hdr"]
    assert len(listing.left_out) == 2


def test_other_images_are_counted_and_named(study):
    more = ["IXI-T1.tar", "e.nii.gz.gz", "f.nii.gz~", "g.nii.gz.part", "h.nii (1).gz"]
    root = study("a.nii.gz", "b.mgz", "c.nrrd", "d.nii.bz2", *more)
    left_out = find_images(root).left_out
    assert names(path for paths in left_out.values() for path in paths) == [
        *more[:1],
        "b.mgz",
        "c.nrrd",
        "d.nii.bz2",
        *more[1:],
    ]
    (root / "a.nii.gz").unlink()
    with pytest.raises(InputError, match="1 .mgz, which is not read: nib-convert"):
        find_images(root)


def test_folders_that_may_not_be_read_are_named(study):
    root = study("a.nii.gz", "shut/b.nii.gz")
    (root / "shut").chmod(0)
    if os.access(root / "shut", os.R_OK):
        pytest.skip("root may read everything")
    assert names(find_images(root).left_out["in folders that may not be read"]) == [
        "shut"
    ]
    (root / "shut").chmod(0o755)


def test_a_folder_may_have_brackets_in_its_name(study):
    root = study("[1]/a.nii.gz")
    assert names(list_images(root / "[1]")) == ["a.nii.gz"]
    assert names(images_below(root)) == ["a.nii.gz"]


def test_a_file_that_is_spelled_in_two_ways_is_one(study, monkeypatch):
    root = study("x/a.nii.gz", "y/b.nii.gz")
    monkeypatch.chdir(root)
    given = ["x", root / "x", "y/../x/a.nii.gz", "./x/a.nii.gz", f"{root}/x/*.nii.gz"]
    listing = find_images(given)
    assert names(listing.images) == ["a.nii.gz"]
    assert listing.named == set(listing.images)
