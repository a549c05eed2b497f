"""The command dipy_preprocess_t1, as it is typed."""

import sys

import nibabel as nib
from numpy.testing import assert_allclose
import pytest

from dipy_synth.data.cohort import Cohort
from dipy_synth.data.preprocess_config import GRIDS
from dipy_synth.errors import InputError
from dipy_synth.grid import Grid, make_grid
from dipy_synth.utils.files import read_json
from dipy_synth.utils.tables import read_table, write_table
from dipy_synth.workflows.cli import run
from dipy_synth.workflows.preprocess import PreprocessT1Flow

QUICK = ["--no_bias", "--align", "none", "--voxel_size", "8"]


@pytest.fixture
def command(monkeypatch):
    """Type the command; give its exit status."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["dipy_preprocess_t1", *map(str, words)])
        return run()

    return call


def test_a_folder_is_prepared_and_a_second_run_keeps_it(command, bids_folder, tmp_path):
    words = [bids_folder, *QUICK, "--out_dir", tmp_path / "out"]
    assert command(*words) == 0
    written = read_json(tmp_path / "out" / "dataset_description.json")["DipySynth"]
    assert written["Grid"]["shape"] == [24, 24, 24]
    preprocessing = written["Preprocessing"]
    assert (preprocessing["align"], preprocessing["bias"], preprocessing["order"]) == (
        "none",
        False,
        3,
    )
    assert len(read_table(tmp_path / "out" / "participants.tsv")) == 4
    before = [
        p.stat().st_mtime_ns for p in sorted((tmp_path / "out").rglob("sub-*.gz"))
    ]
    assert command(*words) == 0
    after = [p.stat().st_mtime_ns for p in sorted((tmp_path / "out").rglob("sub-*.gz"))]
    assert after == before
    assert command(*words, "--order", 1) == 1
    assert command(*words, "--order", 1, "--force") == 0


def test_every_option_reaches_its_step(command, tmp_path, write_cohort):
    source = write_cohort(tmp_path / "source", n=4, masks=True)
    masks = source / "derivatives" / "brainmask"
    words = [f"{source}/sub-*/anat/*.nii.gz", "--mask_path", masks, "--brain", "given"]
    words += ["--scaling", "minmax", "--grid_shape", 24, 32, 24, "--layout", "files"]
    words += ["--engine", "joblib", "--n_jobs", 2, "--validation_fraction", "0.5"]
    words += ["--percentiles", 1, 99, "--stratify", "age", "sex", "--seed", 3]
    assert command(*words, *QUICK, "--out_dir", tmp_path / "out") == 0
    preprocessing = read_json(tmp_path / "out" / "dataset_description.json")[
        "DipySynth"
    ]["Preprocessing"]
    assert preprocessing["brain"] == "given" and preprocessing["scaling"] == "minmax"
    assert preprocessing["percentiles"] == [1, 99]
    assert preprocessing["grid"] == Grid((24, 32, 24), (8, 8, 8)).to_config()
    rows = read_table(tmp_path / "out" / "participants.tsv")
    assert [row["split"] for row in rows].count("validation") == 2


def test_dipys_way_gives_a_cohort_like_any(command, bids_folder, tmp_path, capsys):
    words = [
        bids_folder,
        "--no_bias",
        "--regrid",
        "dipy",
        "--out_dir",
        tmp_path / "out",
    ]
    assert command(*words) == 1
    assert "align='none'" in capsys.readouterr().err
    size = ["--align", "none", "--voxel_size", "8", "--grid_shape", 32, 32, 32]
    assert command(*words, *size) == 0
    cohort = Cohort.load(tmp_path / "out")
    assert cohort.grid.shape == (32, 32, 32)
    assert cohort.volumes().shape == (4, 32, 32, 32)
    assert (tmp_path / "out" / "quality.html").is_file()


def test_a_bad_scan_is_reported_and_the_exit_status_is_1(
    command, tmp_path, write_cohort, capsys
):
    source = write_cohort(tmp_path / "source", n=3)
    bad = source / "sub-02" / "anat" / "sub-02_T1w.nii.gz"
    nib.save(nib.Nifti1Image(nib.load(bad).get_fdata() * 0, nib.load(bad).affine), bad)
    assert command(source, *QUICK, "--out_dir", tmp_path / "out") == 1
    captured = capsys.readouterr().err
    assert (
        "1 of 3 scans" in captured and str(bad) in captured and "constant" in captured
    )
    assert len(read_table(tmp_path / "out" / "participants.tsv")) == 2


def test_no_input_is_reported(command, tmp_path, capsys):
    assert command(tmp_path / "absent", "--out_dir", tmp_path / "out") == 1
    assert "no such file or folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_from_python(bids_folder, tmp_path):
    flow = PreprocessT1Flow()
    options = {"no_bias": True, "align": "none", "voxel_size": [8.0]}
    flow.run([str(bids_folder)], **options, out_dir=tmp_path / "out")
    assert flow.last_generated_outputs == {"out_dir": str(tmp_path / "out")}
    with pytest.raises(InputError, match="align"):
        flow.run([str(bids_folder)], align="warp", out_dir=tmp_path / "out")


@pytest.mark.parametrize(
    "voxel_size, shape",
    [
        (None, (80, 96, 80)),
        ([2.0], (80, 96, 80)),
        ([1.0], (160, 192, 160)),
        ([4.0, 2.0, 3.0], (40, 96, 56)),
    ],
)
def test_the_grid_keeps_its_extent(voxel_size, shape):
    grid = make_grid(None, voxel_size)
    assert grid.shape == shape
    assert all(grid.extent >= Grid().extent - 1e-6)
    assert_allclose(grid.center, Grid().center)
    assert make_grid(None, None, GRIDS["dipy"]).shape == (128, 128, 128)


def test_a_grid_of_nonsense_is_reported():
    for shape, size in (([8, 8], None), (None, [1.0, 2.0]), (None, [0.0])):
        with pytest.raises(InputError, match="grid"):
            make_grid(shape, size)


def test_label_maps_are_prepared_with_their_names(command, bids_folder, tmp_path):
    first, *_ = sorted(bids_folder.glob("sub-*/anat/*_T1w.nii.gz"))
    image = nib.load(first)
    data = (image.get_fdata() > 700).astype("uint8") * 5
    labels = tmp_path / "labels"
    labels.mkdir()
    name = first.name.replace("T1w", "dseg")
    nib.save(nib.Nifti1Image(data, image.affine), labels / name)
    write_table(labels / "dseg.tsv", [{"index": "5", "name": "white matter"}])
    maps = labels / "*_dseg.nii.gz"
    words = [bids_folder, "--labels", maps, *QUICK, "--out_dir", tmp_path / "out"]
    assert command(*words) == 0
    cohort = Cohort.load(tmp_path / "out")
    assert cohort.label_table.to_config() == [{"index": 5, "name": "white matter"}]
    assert len(list((tmp_path / "out").glob("sub-*/anat/*_dseg.nii.gz"))) == 1
    nib.save(nib.Nifti1Image(data / 2.0, image.affine), labels / name)
    words[-1] = tmp_path / "other"
    assert command(*words) == 1  # that scan alone
    assert len(Cohort.load(tmp_path / "other").keys) == 3
