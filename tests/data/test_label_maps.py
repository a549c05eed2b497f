"""Label maps: channels and back, the way to the grid, and what is refused."""

from dataclasses import replace
import logging

import nibabel as nib
import numpy as np
from numpy.testing import assert_array_equal
import pytest

from dipy_synth.data.cohort import Cohort, cohort_config, fingerprint
from dipy_synth.data.label_maps import (
    as_label_map,
    read_label_map,
    resample_labels,
    smallest_type,
)
from dipy_synth.data.label_table import UNKNOWN, Labels, names_beside, read_names
from dipy_synth.data.laterality import labels_name_a_side
from dipy_synth.data.prepare import prepare_cohort
from dipy_synth.data.prepared import label_path, prepared_path, read_prepared
from dipy_synth.data.preprocess import prepare_t1, restore_labels
from dipy_synth.data.preprocess_config import PreprocessConfig
from dipy_synth.data.readers import read_records
from dipy_synth.errors import InputError
from dipy_synth.grid import Grid
from dipy_synth.phantom import make_phantom
from dipy_synth.utils.files import read_json
from dipy_synth.utils.tables import read_table, write_table

STEPS = PreprocessConfig(
    bias=False, align="none", grid=Grid(shape=(24, 28, 24), voxel_size=(8, 8, 8))
)
# voxels of the grid that do not fall between those of a scan at 4 mm
OBLIQUE = replace(STEPS, grid=Grid(shape=(32, 32, 24), voxel_size=(7.1, 7.3, 7.7)))
WORDS = {1: "fluid", 2: "grey", -3: "white"}


def tissues_of(image):
    """A label map of three values, one negative, by the intensity of a phantom."""
    data = np.asanyarray(image.dataobj)
    return np.select([data > 700, data > 400, data > 0], [-3, 2, 1]).astype(np.int16)


@pytest.fixture
def study(tmp_path, write_cohort):
    """Phantoms, and label maps of all but the last, with a table of names."""
    source = write_cohort(tmp_path / "source", n=4)
    for path in sorted(source.glob("sub-*/anat/*_T1w.nii.gz"))[:3]:
        image, name = nib.load(path), path.name.replace("T1w", "dseg")
        target = tmp_path / "labels" / path.parent.relative_to(source) / name
        target.parent.mkdir(parents=True)
        nib.save(nib.Nifti1Image(tissues_of(image), image.affine), target)
    rows = [{"index": str(k), "name": v} for k, v in WORDS.items()]
    write_table(tmp_path / "labels" / "dseg.tsv", [*rows, {"index": "99", "name": "x"}])
    return source, tmp_path / "labels"


def prepare(study, out_dir, **options):
    source, labels = study
    records = read_records(source, label_paths=labels)
    options = {"label_names": read_names(labels), "verbose": False, **options}
    answers = prepare_cohort(records, out_dir, preprocessing=STEPS, **options)
    return {record.key: words for record, words in answers}


def test_labels_become_channels_and_come_back():
    labels = Labels.of([5, -2, 0, 5], {5: "tumour"})
    assert labels.values == (-2, 5) and labels.names == ("label -2", "tumour")
    assert Labels.from_config(labels.to_config()) == labels
    maps = np.array([[0, 5, -2], [UNKNOWN, 5, 7]])
    channels = labels.to_channels(maps)
    assert_array_equal(channels[0], [[-1, -1], [-1, 1], [1, -1]])
    assert_array_equal(channels[1], [[0, 0], [-1, 1], [-1, -1]])
    assert_array_equal(labels.from_channels(channels), [[0, 5, -2], [0, 5, 0]])
    # the largest decides, if it is above 0
    assert_array_equal(
        labels.from_channels(np.array([[0.2, 0.3], [-0.1, -0.2]])), [5, 0]
    )


def test_more_labels_than_memory_are_refused_with_the_sizes():
    Labels.of(range(1, 101)).check_memory((80, 96, 80))
    with pytest.raises(InputError, match="400 labels on 80 x 96 x 80 .* at most 1 GiB"):
        Labels.of(range(1, 401)).check_memory((80, 96, 80))
    with pytest.raises(InputError, match="150 labels on 128 x 128 x 128"):
        Labels.of(range(1, 151)).check_memory((128, 128, 128))


def test_numbers_that_are_no_integers_are_refused():
    for bad in (np.array([0, 0.5]), np.array([0, np.nan]), np.array([0, 2.0**25])):
        with pytest.raises(InputError, match="labels"):
            as_label_map(bad)
    assert as_label_map(np.array([0.0, 3.0])).dtype == np.int32
    types = [smallest_type(np.array([0, n])).dtype for n in (255, 256, 40000, -1)]
    assert types == [np.uint8, np.int16, np.int32, np.int16]


def test_labels_go_to_the_grid_by_the_nearest_voxel_through_the_scans_matrix(tmp_path):
    phantom = make_phantom(1, shape=(40, 48, 40), voxel_size=4.0)
    turned = np.array([[0, 1, 0, 3], [0, 0, -1, 5], [1, 0, 0, 1], [0, 0, 0, 1.0]])
    affine = turned @ phantom.affine
    label_map, options = phantom.labels.astype(int), {"preprocessing": OBLIQUE}
    found = prepare_t1(phantom.data, affine, label_map=label_map, **options)
    matrix = np.linalg.solve(affine, found.prepared_to_native @ found.affine)
    index = np.moveaxis(np.indices(found.label_map.shape), 0, -1)
    source = np.rint(index @ matrix[:3, :3].T + matrix[:3, 3]).astype(int)
    inside = ((source >= 0) & (source < label_map.shape)).all(axis=-1) & found.mask
    expected = label_map[tuple(source[inside].T)]
    assert np.mean(found.label_map[inside] == expected) > 0.99
    assert not found.label_map[~found.mask].any()
    back, there = restore_labels(found)
    assert back.shape == label_map.shape
    assert_array_equal(there, affine)
    big, again = label_map == 3, back == 3
    assert 2 * (big & again).sum() / (big.sum() + again.sum()) > 0.7


def test_labels_that_the_grid_loses_are_named():
    phantom = make_phantom(1, shape=(44, 48, 44), voxel_size=4.0)
    label_map = np.where(phantom.mask, 1, 0)
    label_map[tuple(np.argwhere(phantom.mask)[5000])] = 5  # one voxel of 4 mm
    label_map[:2, :2, :2] = 6  # in a corner of the image
    found = prepare_t1(
        phantom.data, phantom.affine, label_map=label_map, preprocessing=STEPS
    )
    assert set(np.unique(found.label_map)) == {0, 1}
    (warning,) = [words for words in found.warnings if "label" in words]
    assert warning.startswith("labels lost, ") and warning.endswith(": 5, 6")
    label_map = np.where(phantom.mask, 0, 2)  # far more than reaches the grid
    found = prepare_t1(
        phantom.data, phantom.affine, label_map=label_map, preprocessing=STEPS
    )
    assert any("100% of the labelled voxels" in words for words in found.warnings)
    found = prepare_t1(
        phantom.data, phantom.affine, label_map=0 * label_map, preprocessing=STEPS
    )
    assert found.warnings == ("the label map is all zero: no voxel has a label",)


def test_an_integer_that_float32_cannot_hold_is_refused(tmp_path):
    data = np.full((3, 4, 5), 2**24 + 1, np.int32)
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(InputError, match="a.nii: expected labels below 16777216"):
        read_label_map(tmp_path / "a.nii")
    data -= 2
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "a.nii")
    assert (read_label_map(tmp_path / "a.nii")[0] == 2**24 - 1).all()


def test_resampling_by_a_whole_shift_is_exact():
    maps = np.random.default_rng(0).integers(-3, 9, (6, 7, 8))
    matrix = np.eye(4)
    matrix[:3, 3] = (1, 0, 2)
    found = resample_labels(maps, matrix, (5, 7, 6))
    assert_array_equal(found, maps[1:, :, 2:])


def test_a_label_map_of_another_shape_or_kind_is_refused():
    phantom = make_phantom(1, shape=(20, 24, 20), voxel_size=8.0)
    options = {"preprocessing": STEPS}
    with pytest.raises(InputError, match="label map of shape"):
        labels = np.zeros((3, 3, 3), int)
        prepare_t1(phantom.data, phantom.affine, label_map=labels, **options)
    with pytest.raises(InputError, match="no integers"):
        prepare_t1(phantom.data, phantom.affine, label_map=phantom.data, **options)


def test_a_cohort_keeps_its_labels_and_names_the_scan_without(study, tmp_path, caplog):
    root = tmp_path / "prepared"
    with caplog.at_level(logging.WARNING, logger="dipy"):
        assert set(prepare(study, root).values()) == {None}
    lacking = [r.getMessage() for r in caplog.records if "label map" in r.getMessage()]
    assert len(lacking) == 1 and "1 of 4 scans" in lacking[0] and "sub-04" in lacking[0]
    cohort = Cohort.load(root)
    assert cohort.label_table == Labels((-3, 1, 2), ("white", "fluid", "grey"))
    rows = read_table(root / "dseg.tsv")
    assert rows[0] == {"index": "0", "name": "Background"} and len(rows) == 4
    maps = cohort.label_maps()
    assert (maps[3] == UNKNOWN).all() and set(np.unique(maps[0])) == {-3, 0, 1, 2}
    for index, path in enumerate(cohort.paths[:3]):
        assert_array_equal(read_prepared(path).label_map, maps[index])
        assert nib.load(label_path(path)).get_data_dtype() == np.int16
        sidecar = read_json(str(label_path(path)).replace(".nii.gz", ".json"))
        assert sidecar["Labels"] == [-3, 0, 1, 2] and len(sidecar["Sources"]) == 2
    sides = [len(cohort.label_maps(side)) for side in ("train", "validation")]
    assert sides == [3, 1]
    assert cohort_config(cohort)["labels"] == cohort.label_table.to_config()


def test_a_second_run_keeps_labels_and_another_map_is_noticed(study, tmp_path):
    root = tmp_path / "prepared"
    prepare(study, root)
    path = label_path(prepared_path(root, "sub-01"))
    before, known = path.stat().st_mtime_ns, fingerprint(Cohort.load(root))
    assert set(prepare(study, root).values()) == {None}
    assert path.stat().st_mtime_ns == before
    source = study[1] / "sub-01" / "anat" / "sub-01_dseg.nii.gz"
    image = nib.load(source)
    data = np.where(np.asanyarray(image.dataobj) == 2, 1, 0).astype(np.uint8)
    nib.save(nib.Nifti1Image(data, image.affine), source)
    assert "prepared from other files" in prepare(study, root)["sub-01"]
    assert set(prepare(study, root, force=True).values()) == {None}
    assert fingerprint(Cohort.load(root)) != known


def test_bad_label_maps_stop_their_own_scan_alone(study, tmp_path):
    first, second, third = sorted(study[1].glob("sub-*/anat/*.nii.gz"))
    image = nib.load(first)
    data = np.asanyarray(image.dataobj)
    nib.save(nib.Nifti1Image(data[1:], image.affine), first)
    shifted = image.affine.copy()
    shifted[0, 3] += 5
    nib.save(nib.Nifti1Image(data, shifted), second)
    nib.save(nib.Nifti1Image(data / np.float32(2), image.affine), third)
    found = prepare(study, tmp_path / "prepared")
    assert "a label map of shape (19, 24, 20)" in found["sub-01"]
    assert "the label map's affine differs" in found["sub-02"]
    assert "no integers" in found["sub-03"] and third.name in found["sub-03"]
    assert found["sub-04"] is None


def test_labels_of_no_scan_are_an_error(study, tmp_path):
    other = tmp_path / "other" / "sub-77" / "anat" / "sub-77_dseg.nii.gz"
    other.parent.mkdir(parents=True)
    other.write_bytes(next(study[1].glob("sub-*/anat/*.nii.gz")).read_bytes())
    with pytest.raises(InputError, match="none of the 1 label maps"):
        read_records(study[0], label_paths=tmp_path / "other")


def test_names_are_read_from_the_folder(tmp_path):
    assert read_names(tmp_path) == {}
    write_table(tmp_path / "a_dseg.tsv", [{"index": "1.5", "name": "half"}])
    with pytest.raises(InputError, match="index '1.5'"):
        read_names(tmp_path)
    write_table(tmp_path / "dseg.tsv", [{"index": "4.0", "name": "lesion"}])
    assert read_names(tmp_path) == {4: "lesion"}


def test_tables_of_labels_that_are_not_read_are_named(tmp_path, caplog):
    (tmp_path / "FreeSurferColorLUT.txt").write_text("1 Left-Cerebral 0 0 0 0\n")
    assert names_beside([tmp_path]) == {}
    assert "FreeSurferColorLUT.txt: not read, so that labels have no" in caplog.text


def test_names_of_wildcards_and_of_several_folders_are_read(tmp_path):
    (tmp_path / "a/sub-1").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    write_table(tmp_path / "a/dseg.tsv", [{"index": "4", "name": "lesion"}])
    write_table(tmp_path / "b/dseg.tsv", [{"index": "7", "name": "oedema"}])
    both = [f"{tmp_path}/a/sub-*/*_dseg.nii.gz", tmp_path / "b/x_dseg.nii.gz"]
    assert names_beside(both) == {4: "lesion", 7: "oedema"}
    assert names_beside([]) == {}
    write_table(tmp_path / "b/dseg.tsv", [{"index": "4", "name": "oedema"}])
    with pytest.raises(InputError, match="b: 4 is lesion and oedema"):
        names_beside(both)


def test_labels_of_sides_are_known_by_their_names():
    assert labels_name_a_side(Labels((1, 2), ("Left-Hippocampus", "Brain-Stem")))
    assert not labels_name_a_side(Labels((1,), ("tumour",)))
    assert not labels_name_a_side(None)


def test_one_label_has_one_name(tmp_path, caplog):
    rows = [{"index": 3, "name": "a"}, {"index": 3, "name": "b"}]
    write_table(tmp_path / "x_dseg.tsv", rows)
    with pytest.raises(InputError, match="x_dseg.tsv: index 3 is a and b"):
        read_names(tmp_path)
    write_table(tmp_path / "y_dseg.tsv", rows[:1])
    assert read_names(tmp_path) == {}
    assert "2 tables of labels, none of them dseg.tsv" in caplog.text
