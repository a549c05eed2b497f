"""The command dipy_reconstruct_mri, as it is typed."""

import sys

import nibabel as nib
import numpy as np
import pytest

from dipy_synth.data.cohort import Cohort, cohort_config
from dipy_synth.data.prepare import prepare_cohort
from dipy_synth.data.preprocess_config import PreprocessConfig
from dipy_synth.data.readers import read_records
from dipy_synth.grid import Grid
from dipy_synth.networks.patch_autoencoder import PatchAutoencoder, sample_patches
from dipy_synth.nn.vqvae import VQVAE
from dipy_synth.utils.files import read_json
from dipy_synth.utils.tables import read_table
from dipy_synth.workflows.cli import run

STEPS = PreprocessConfig(
    bias=False, align="none", grid=Grid((24, 32, 24), (8.0, 8.0, 8.0))
)


@pytest.fixture(scope="module")
def trained(bids_folder, tmp_path_factory):
    """Prepare a cohort, make a model that does as its PCA; give the folder of both."""
    root = tmp_path_factory.mktemp("trained")
    prepare_cohort(read_records(bids_folder), root / "prepared", preprocessing=STEPS)
    vqvae, cohort = VQVAE(None), Cohort.load(root / "prepared")
    vqvae.config = cohort_config(cohort)
    vqvae.network = PatchAutoencoder(cohort.grid.shape, channels=(8, 8), blocks=1)
    vqvae.network.initialize_linear(sample_patches(cohort.volumes() * 2.0 - 1.0))
    vqvae.save(root / "run" / "model")
    return root


@pytest.fixture
def command(monkeypatch, trained):
    """Type the command with the trained model; give its exit status."""

    def call(*words):
        words = [*map(str, words), "--model", str(trained / "run")]
        monkeypatch.setattr(sys, "argv", ["dipy_reconstruct_mri", *words])
        return run()

    return call


def test_a_folder_comes_back_and_a_second_run_keeps_it(command, bids_folder, tmp_path):
    words = [bids_folder, "--out_dir", tmp_path / "out"]
    assert command(*words) == 0
    found = sorted(
        (tmp_path / "out").glob("sub-*/anat/*_desc-reconstructed_T1w.nii.gz")
    )
    assert len(found) == 4
    description = read_json(tmp_path / "out" / "prepared" / "dataset_description.json")
    assert description["DipySynth"]["Preprocessing"] == STEPS.to_config()
    for path in found:
        name = path.name.split("_")[0]
        scan = nib.load(bids_folder / name / "anat" / f"{name}_T1w.nii.gz")
        image = nib.load(path)
        assert image.shape == scan.shape
        both = (a.get_fdata().ravel() for a in (image, scan))
        assert np.corrcoef(*both)[0, 1] > 0.8
    rows = read_table(tmp_path / "out" / "reconstruction.tsv")
    assert all(float(row["psnr_grid_db"]) > 15 for row in rows)
    assert all(0 < float(row["ssim_native"]) < 1 for row in rows)
    before = [path.stat().st_mtime_ns for path in found]
    assert command(*words) == 0
    assert [path.stat().st_mtime_ns for path in found] == before
    assert command(*words, "--force") == 0
    after = [path.stat().st_mtime_ns for path in found]
    assert all(a != b for a, b in zip(after, before))


def test_what_was_prepared_is_not_prepared_again(command, trained, tmp_path):
    assert command(trained / "prepared", "--out_dir", tmp_path / "out") == 0
    assert not (tmp_path / "out" / "prepared").exists()
    assert len(read_table(tmp_path / "out" / "reconstruction.tsv")) == 4


def test_masks_and_wildcards(command, write_cohort, tmp_path):
    source = write_cohort(tmp_path / "source", n=2, masks=True)
    masks = source / "derivatives" / "brainmask"
    words = [f"{source}/sub-*/anat/*.nii.gz", "--layout", "files", "--brain", "given"]
    assert command(*words, "--out_dir", tmp_path / "out") == 1
    words += ["--mask_path", masks, "--out_dir", tmp_path / "out"]
    assert command(*words) == 0
    path = next((tmp_path / "out" / "prepared").glob("sub-01/anat/*_T1w.json"))
    assert read_json(path)["Sources"][1].endswith("sub-01_desc-brain_mask.nii.gz")


def test_a_bad_scan_is_reported_and_the_exit_status_is_1(
    command, tmp_path, write_cohort, capsys
):
    source = write_cohort(tmp_path / "source", n=3)
    bad = source / "sub-02" / "anat" / "sub-02_T1w.nii.gz"
    bad.write_bytes(bad.read_bytes()[:200])
    assert command(source, "--out_dir", tmp_path / "out") == 1
    captured = capsys.readouterr().err
    assert "1 of 3 scans" in captured and str(bad) in captured
    assert len(read_table(tmp_path / "out" / "reconstruction.tsv")) == 2
