"""Label maps beside volumes: measured, compared, and on the page."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.evaluation import Volumes, evaluate, load_volumes
from dipy_synth.evaluation.label_volumes import compare_labels
from dipy_synth.evaluation.metric_tables import metric_rows, volume_rows
from dipy_synth.grid import Grid
from dipy_synth.phantom import make_phantom
from dipy_synth.report.evaluation_page import evaluation_page
from dipy_synth.utils.tables import write_table

GRID = Grid((20, 24, 20), (8.0,) * 3)
VOXEL_ML = 8.0**3 / 1000


def write(folder, sizes, *, end="_T1w", unmapped=()):
    """Write phantoms with label maps of some voxels of 7, and a table of names."""
    for number, size in enumerate(sizes):
        phantom = make_phantom(number, shape=GRID.shape, voxel_size=8.0)
        maps = np.zeros(GRID.shape, "uint8")
        maps.flat[:size] = 7
        anat = folder / f"sub-{number:02d}" / "anat"
        anat.mkdir(parents=True)
        files = {end: phantom.data, "_dseg": maps}
        for name, data in files.items():
            if not (name == "_dseg" and number in unmapped):
                image = nib.Nifti1Image(data, phantom.affine)
                nib.save(image, anat / f"sub-{number:02d}{name}.nii.gz")
    names = [{"index": "7", "name": "tumour"}, {"index": "9", "name": "edema"}]
    write_table(folder / "dseg.tsv", names)
    return folder


@pytest.mark.parametrize("end", ["_T1w", "_desc-synthetic_T1w"])
def test_the_map_beside_a_volume_is_measured_and_no_volume(tmp_path, end):
    found = load_volumes(write(tmp_path / "a", (3, 0, 5), end=end, unmapped=(2,)))
    assert len(found) == 3  # the T1s alone
    sizes = [{"tumour": n * VOXEL_ML, "edema": 0.0} for n in (3, 0)]
    assert found.labels == (pytest.approx(sizes[0]), pytest.approx(sizes[1]), None)
    assert found.take([1, 2]).labels == found.labels[1:]


def test_shared_labels_are_compared_by_name():
    volumes = np.zeros((3, *GRID.shape), "float32")
    real = Volumes(
        volumes, GRID, labels=({"a": 1.0, "b": 9.0}, {"a": 3.0, "b": 0.0}, None)
    )
    made = Volumes(volumes, GRID, labels=({"a": 5.0}, {"a": 5.0}, {"a": 2.0}))
    (found,) = compare_labels(real, made)
    assert (found.name, found.real[0], found.synthetic[0]) == ("a", 2, 4)
    assert found.difference == pytest.approx(2 / np.std([1, 3], ddof=1))
    assert compare_labels(real.take([0, 2]), made) == ()
    assert compare_labels(real, replace(made, labels=())) == ()
    with pytest.raises(InputError, match="2 of labels; expected as many"):
        Volumes(volumes, GRID, labels=(None, None))


def test_an_evaluation_shows_the_volume_of_each_label(tmp_path, read_page):
    cohorts = [
        load_volumes(write(tmp_path / name, sizes))
        for name, sizes in (("real", range(10, 22)), ("made", range(40, 50)))
    ]
    found = evaluate(*cohorts, repeats=4, pairs=4, tissues=False)
    means = {one.name: (one.real[0], one.synthetic[0]) for one in found.labels}
    assert means["tumour"] == pytest.approx((15.5 * VOXEL_ML, 44.5 * VOXEL_ML))
    metrics = {row["metric"]: row for row in metric_rows(found)}
    row = metrics["mean_dseg_tumour_ml"]
    assert float(row["floor"]) == pytest.approx(15.5 * VOXEL_ML, rel=1e-3)
    rows = volume_rows(found, cohorts[1], cohorts[0])
    sizes = [float(row["dseg_tumour_ml"]) for row in rows]
    wanted = [n * VOXEL_ML for n in (*range(40, 50), *range(10, 22))]
    assert sizes == pytest.approx(wanted, rel=1e-3)
    assert found.to_config()["labels"][1]["interval"] == [None, None]  # all are 0
    page = evaluation_page(found, *cohorts, path=tmp_path / "page.html")
    text = read_page(page).text
    assert "Tumour" in text and "by the label maps beside the volumes" in text
