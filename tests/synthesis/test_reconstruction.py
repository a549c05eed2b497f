"""Reconstructions on disk: geometry, metrics, resuming, refusing."""

from dataclasses import replace
import json

import nibabel as nib
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
import pytest

from dipy_synth.data import preprocess
from dipy_synth.data.prepare import prepare_cohort
from dipy_synth.data.prepared import prepared_path, read_prepared
from dipy_synth.data.preprocess import prepare_t1, restore_t1
from dipy_synth.data.preprocess_config import PreprocessConfig
from dipy_synth.data.readers import read_records
from dipy_synth.errors import InputError
from dipy_synth.grid import Grid
from dipy_synth.metrics.similarity import psnr, ssim
from dipy_synth.synthesis import reconstruction
from dipy_synth.synthesis.reconstruction import reconstruct_cohort
from dipy_synth.utils.files import read_json, write_json
from dipy_synth.utils.tables import read_table

GRID = Grid((24, 32, 24), (8.0, 8.0, 8.0))
STEPS = PreprocessConfig(bias=False, align="none", scaling="minmax", order=1, grid=GRID)


class Model:
    """Stands for a VQVAE: it loses a share of the brightness."""

    network, folder = object(), None

    def __init__(self, kept=0.9, preprocessing=STEPS):
        config = None if preprocessing is None else preprocessing.to_config()
        self.config = {"grid": GRID.to_config(), "preprocessing": config}
        self.config["weights_sha256"] = f"hash of {kept}"
        self.kept, self.seen = kept, 0

    def reconstruct(self, volume):
        self.seen += 1
        return volume * np.float32(self.kept)


@pytest.fixture(scope="module")
def records(bids_folder):
    return read_records(bids_folder)


@pytest.fixture
def done(records, tmp_path):
    """Reconstruct two scans; give the folder."""
    answers = reconstruct_cohort(Model(), records[:2], tmp_path / "out")
    assert answers == [("sub-01", None), ("sub-02", None)]
    return tmp_path / "out"


def target(folder, key):
    return folder / key / "anat" / f"{key}_desc-reconstructed_T1w.nii.gz"


def times(folder):
    files = [*folder.rglob("*.nii.gz"), *folder.rglob("*.png")]
    return {path: path.stat().st_mtime_ns for path in files}


def test_a_scan_comes_back_on_its_own_voxels(done, records):
    for record in records[:2]:
        image, native = nib.load(target(done, record.key)), nib.load(record.image)
        assert_allclose(image.affine, native.affine)
        data, scan = image.get_fdata(), native.get_fdata()
        prepared = prepare_t1(scan, native.affine, preprocessing=STEPS)
        expected = restore_t1(replace(prepared, data=0.9 * prepared.data))[0]
        assert_allclose(data, expected, atol=0.01)
        moved = [np.roll(scan, step, axis) for axis in range(3) for step in (-1, 1)]
        there, *elsewhere = (
            np.corrcoef(data.flat, s.flat)[0, 1] for s in (scan, *moved)
        )
        assert there > 0.85 and there > max(elsewhere)


def test_metrics_compare_with_the_prepared_volume_and_with_the_scan(done, records):
    (row, other) = read_table(done / "reconstruction.tsv")
    assert (row["subject"], row["scan"]) == ("sub-01", "sub-01")
    assert other["scan"] == "sub-02"
    prepared = read_prepared(prepared_path(done / "prepared", "sub-01"))
    lost = np.mean((0.1 * prepared.data[prepared.mask].astype("float64")) ** 2)
    assert float(row["psnr_grid_db"]) == pytest.approx(-10 * np.log10(lost), abs=1e-3)
    expected = ssim(prepared.data, 0.9 * prepared.data, mask=prepared.mask)
    assert float(row["ssim_grid"]) == pytest.approx(expected, abs=1e-4)
    restored = nib.load(target(done, "sub-01")).get_fdata()
    scan = nib.load(records[0].image).get_fdata()
    inside, (low, high) = restored != 0, prepared.intensity_range
    expected = psnr(scan, restored, mask=inside, data_range=high - low)
    assert float(row["psnr_native_db"]) == pytest.approx(expected, abs=0.1)
    scan = np.where(inside, scan, 0)
    expected = ssim(scan, restored, mask=inside, data_range=high - low)
    assert float(row["ssim_native"]) == pytest.approx(expected, abs=0.005)


def test_shading_that_the_preparation_corrects_is_no_error(
    records, tmp_path, monkeypatch
):
    image, by_bias = nib.load(records[0].image), {}
    ramp = np.linspace(0.5, 1.5, image.shape[1], dtype="float32")[:, None]

    def divide(data, mask, affine, **kwargs):
        return data / ramp

    for module in (preprocess, reconstruction):
        monkeypatch.setattr(module, "correct_bias", divide)
    shaded = tmp_path / "sub-01_T1w.nii.gz"
    nib.save(nib.Nifti1Image(image.get_fdata() * ramp, image.affine), shaded)
    for path, bias in ((records[0].image, False), (shaded, True)):
        model = Model(preprocessing=replace(STEPS, bias=bias))
        scans, out = [replace(records[0], image=path)], tmp_path / str(bias)
        reconstruct_cohort(model, scans, out)
        (by_bias[bias],) = read_table(out / "reconstruction.tsv")
    for name in ("psnr_native_db", "ssim_native"):
        assert float(by_bias[True][name]) == pytest.approx(
            float(by_bias[False][name]), 1e-3
        )


def test_the_folder_is_a_bids_derivative_with_its_origin(done):
    description = json.loads((done / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    sidecar = read_json(str(target(done, "sub-02")).replace(".nii.gz", ".json"))
    assert sidecar["Model"]["SHA256"] == "hash of 0.9" and sidecar["SkullStripped"]
    name = "sub-02_desc-prepared_T1w.nii.gz"  # not aligned: in the scanner's space
    assert sidecar["Sources"] == [f"bids:prepared:sub-02/anat/{name}"]
    assert description["DatasetLinks"] == {"prepared": "prepared"}
    assert (done / "prepared" / "sub-02" / "anat" / name).is_file()
    assert (done / "reconstruction.png").stat().st_size > 0


def test_what_is_there_is_kept_and_the_missing_is_made(done, records):
    before, model = times(done), Model()
    reconstruct_cohort(model, records[:2], done)
    assert times(done) == before and model.seen == 0
    reconstruct_cohort(model, records[:3], done)
    after = times(done)
    changed = {path.name for path in before if after[path] != before[path]}
    assert changed == {"reconstruction.png"}
    assert model.seen == 1 + 3  # the new one, and three to draw
    target(done, "sub-01").unlink()
    (done / "reconstruction.png").unlink()
    reconstruct_cohort(model, records[1:2], done)
    assert (done / "reconstruction.png").is_file()
    reconstruct_cohort(model, records[:1], done)
    assert target(done, "sub-01").is_file()
    assert len(read_table(done / "reconstruction.tsv")) == 3


def test_a_bad_scan_is_reported_and_the_others_are_made(tmp_path, write_cohort):
    source = write_cohort(tmp_path / "source", n=3)
    bad = source / "sub-02" / "anat" / "sub-02_T1w.nii.gz"
    nib.save(nib.Nifti1Image(nib.load(bad).get_fdata() * 0, nib.load(bad).affine), bad)
    answers = reconstruct_cohort(Model(), read_records(source), tmp_path / "out")
    problems = dict(answers)
    assert problems["sub-01"] is problems["sub-03"] is None
    assert str(bad) in problems["sub-02"] and "constant" in problems["sub-02"]
    assert len(read_table(tmp_path / "out" / "reconstruction.tsv")) == 2
    (tmp_path / "bad" / "prepared").mkdir(parents=True)
    only = reconstruct_cohort(Model(), read_records(bad), tmp_path / "all_bad")
    assert only[0][1] and not (tmp_path / "all_bad" / "reconstruction.tsv").exists()


def test_a_model_that_fails_on_a_scan_does_not_stop_the_others(records, tmp_path):
    model = Model()
    whole = model.reconstruct

    def reconstruct(volume):
        if model.seen == 0:
            model.seen += 1
            raise ZeroDivisionError("ours")
        return whole(volume)

    model.reconstruct = reconstruct
    answers = reconstruct_cohort(model, records[:2], tmp_path / "out")
    assert answers == [("sub-01", "sub-01: ZeroDivisionError: ours"), ("sub-02", None)]
    assert not target(tmp_path / "out", "sub-01").exists()


def test_a_prepared_cohort_is_taken_as_it_is(records, tmp_path):
    prepare_cohort(records[:2], tmp_path / "prepared", preprocessing=STEPS)
    image = prepared_path(tmp_path / "prepared", "sub-01")
    darker = nib.load(image).get_fdata(dtype="float32") / 2
    nib.save(nib.Nifti1Image(darker, nib.load(image).affine), image)
    answers = reconstruct_cohort(Model(), tmp_path / "prepared", tmp_path / "out")
    assert answers == [("sub-01", None), ("sub-02", None)]
    assert not (tmp_path / "out" / "prepared").exists()
    prepared = read_prepared(image)
    expected = restore_t1(replace(prepared, data=darker * np.float32(0.9)))[0]
    assert_array_equal(
        nib.load(target(tmp_path / "out", "sub-01")).get_fdata(), expected
    )
    (row, _) = read_table(tmp_path / "out" / "reconstruction.tsv")
    assert row["psnr_native_db"] is None and float(row["psnr_grid_db"]) > 20


def test_a_cohort_on_another_grid_is_refused(prepared_folder, tmp_path):
    with pytest.raises(InputError, match="expected the model's"):
        reconstruct_cohort(Model(), prepared_folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_of_images_is_refused(records, tmp_path):
    model = Model()
    model.config["grid"] = None
    with pytest.raises(InputError, match="a model of images"):
        reconstruct_cohort(model, records[:1], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_was_prepared_anew_is_refused_unless_forced(records, tmp_path):
    root, out = tmp_path / "prepared", tmp_path / "out"
    prepare_cohort(records[:2], root, preprocessing=STEPS)
    reconstruct_cohort(Model(), root, out)
    path = prepared_path(root, "sub-01").with_suffix("").with_suffix(".json")
    write_json(path, read_json(path) | {"IntensityRange": [0, 2000]})
    before = times(out)
    problems = dict(reconstruct_cohort(Model(), root, out))
    assert "--force" in problems["sub-01"] and problems["sub-02"] is None
    assert times(out) == before
    problems = dict(reconstruct_cohort(Model(), root, out, force=True))
    assert set(problems.values()) == {None}
    assert times(out)[target(out, "sub-01")] != before[target(out, "sub-01")]


def test_another_models_reconstructions_are_replaced_by_force_only(done, records):
    before = times(done)
    with pytest.raises(InputError, match="ModelHash was hash of 0.9, is .*--force"):
        reconstruct_cohort(Model(0.5), records[:1], done)
    assert times(done) == before
    reconstruct_cohort(Model(0.5), records[:1], done, force=True)
    assert not target(done, "sub-02").exists()
    (row,) = read_table(done / "reconstruction.tsv")
    assert float(row["psnr_grid_db"]) < 15


def test_somebody_elses_folder_is_never_touched(records, prepared_folder, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        reconstruct_cohort(Model(), records, tmp_path, force=True)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(InputError, match="a prepared cohort"):
        reconstruct_cohort(Model(), records, prepared_folder, force=True)


def test_the_models_preprocessing_is_followed_but_for_the_mask(records, tmp_path):
    model = Model(preprocessing=replace(STEPS, brain="given", percentiles=(1, 99)))
    reconstruct_cohort(model, records[:1], tmp_path / "out")
    folder = tmp_path / "out" / "prepared"
    written = read_json(folder / "dataset_description.json")["DipySynth"][
        "Preprocessing"
    ]
    assert written == model.config["preprocessing"] | {"brain": "auto"}
    answers = reconstruct_cohort(Model(), records[:1], tmp_path / "o", brain="given")
    assert "no mask" in answers[0][1]


def test_a_model_without_preprocessing_takes_the_default(
    records, tmp_path, monkeypatch
):
    asked = []
    monkeypatch.setattr(
        "dipy_synth.synthesis.scans.prepare_cohort",
        lambda scans, root, *, preprocessing, **_: asked.append(preprocessing) or [],
    )
    reconstruct_cohort(Model(preprocessing=None), records, tmp_path / "out")
    assert asked == [PreprocessConfig(grid=GRID)]
