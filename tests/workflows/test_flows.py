"""The four commands, start to end, on phantoms; and what they refuse."""

import json
import subprocess
import sys

from dipy.workflows.flow_runner import run_flow
import nibabel as nib
from nilearn.datasets import load_mni152_template
from nilearn.image import resample_to_img
import numpy as np
import pytest

from dipy_synth.diffusion.schedules import DiscreteDiffusion, make_schedule
from dipy_synth.errors import InputError
from dipy_synth.networks.presets import UNET_PRESETS
from dipy_synth.nn.ldm import LDM
from dipy_synth.nn.predictor import CovariatePredictor
from dipy_synth.training import TrainingSettings
from dipy_synth.utils.files import read_json
from dipy_synth.utils.labels import labels_on_side
from dipy_synth.utils.tables import read_table
from dipy_synth.workflows.preprocess import PreprocessT1Flow
from dipy_synth.workflows.synth import SynthMRIFlow
from dipy_synth.workflows.train_ldm import TrainLDMFlow
from dipy_synth.workflows.train_predictor import TrainPredictorFlow
from dipy_synth.workflows.train_vqvae import TrainVQVAEFlow

QUICK = {"epochs": 1, "batch_size": 4, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def runs(bids_folder, tmp_path_factory):
    """Prepare, train and generate; give the folder of all runs."""
    root = tmp_path_factory.mktemp("runs")
    PreprocessT1Flow().run(
        [str(bids_folder)],
        grid_shape=[24, 32, 24],
        voxel_size=[8.0],
        no_bias=True,
        align="none",
        validation_fraction=0.25,
        out_dir=str(root / "prepared"),
    )
    TrainVQVAEFlow().run(
        str(root / "prepared"),
        channels=[8, 8],
        levels=[15, 15, 15, 15],
        out_dir=str(root / "vqvae"),
        **QUICK,
    )
    TrainLDMFlow().run(
        str(root / "prepared"),
        str(root / "vqvae"),
        conditions=["age", "sex"],
        preset="original",
        schedule="rectified_flow",
        widths=[8, 8],
        out_dir=str(root / "ldm"),
        **QUICK,
    )
    synthesize(root, n_samples=2)
    return root


def synthesize(root, *, force=False, **kwargs):
    SynthMRIFlow(force=force).run(
        str(root / "ldm"),
        steps=2,
        conditions=["age=60", "sex=F"],
        out_dir=str(root / "synthetic"),
        **kwargs,
    )


def volumes(root):
    return sorted((root / "synthetic").glob("sub-*/anat/*_T1w.nii.gz"))


def test_brains_come_out_on_the_cohorts_grid(runs):
    prepared = next((runs / "prepared").glob("sub-*/anat/*prepared_T1w.nii.gz"))
    assert len(volumes(runs)) == 2
    for path in volumes(runs):
        image = nib.load(path)
        data = image.get_fdata()
        assert data.shape == nib.load(prepared).shape == (24, 32, 24)
        assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
        assert data.min() == 0 and 0 < data.max() <= 1
        sidecar = json.loads(
            path.with_name(path.name.replace(".nii.gz", ".json")).read_text()
        )
        assert sidecar["Synthetic"] is True
        assert sidecar["Conditions"] == {"age": 60, "sex": "F"}
    ages = {row["age"] for row in read_table(runs / "synthetic" / "participants.tsv")}
    assert ages == {"60"}


def test_a_preset_shapes_the_unet_but_for_what_is_given(runs):
    config = LDM(runs / "ldm").network.get_config()
    assert config["widths"] == (8, 8) and config["blocks"] == (2, 2)
    assert config["attention"] == (False, False)


@pytest.mark.parametrize(
    ("words", "expected"),
    [([], None), (["--attention", "none"], "none"), (["--attention", "all"], "all")],
)
def test_none_is_an_attention_that_can_be_requested(monkeypatch, words, expected):
    """DIPY's parser turns the word into None, which must not mean the preset's."""
    asked = {}
    monkeypatch.setattr(LDM, "fit", lambda self, *args, **kwargs: asked.update(kwargs))
    monkeypatch.setattr(sys, "argv", ["dipy_train_ldm", "prepared", "vqvae", *words])
    run_flow(TrainLDMFlow())
    assert asked["network"].get("attention") == expected


def test_options_that_are_not_given_are_the_presets(monkeypatch):
    """The schedule, and training values such as precision and patience, too."""
    asked = {}
    monkeypatch.setattr(LDM, "fit", lambda self, *args, **kwargs: asked.update(kwargs))
    preset = {**UNET_PRESETS["default"]}
    preset["training"] = {"epochs": 3, "patience": 2, "precision": "mixed_bfloat16"}
    preset["training"] |= {"accumulation": 4}
    monkeypatch.setitem(UNET_PRESETS, "default", preset)

    def ask(*words):
        monkeypatch.setattr(sys, "argv", ["dipy_train_ldm", "in", "vqvae", *words])
        run_flow(TrainLDMFlow())
        return asked

    ask()
    assert asked["settings"] == TrainingSettings(**preset["training"])
    own = make_schedule(preset["schedule"]).to_config()
    assert asked["schedule"].to_config() == own
    assert asked["crop"] is None and asked["network"] == {}
    ask(
        *("--precision", "float32", "--patience", "0", "--unfold", "1", "--crop", "8"),
        *("--times", "log_snr", "--noise_range", "0.1", "7", "--widths", "8", "16"),
    )
    expected = TrainingSettings(epochs=3, accumulation=4, precision="float32")
    assert asked["settings"] == expected
    expected = {**own, "noise_range": [0.1, 7.0]}
    assert asked["schedule"].to_config() == expected
    assert asked["crop"] == 8
    assert asked["network"] == {"widths": [8, 16], "unfold": 1}
    ask("--schedule", "linear", "--diffusion_steps", "200")
    assert asked["schedule"].to_config() == DiscreteDiffusion(steps=200).to_config()


def test_the_interval_of_guidance_reaches_the_sidecars(runs, tmp_path):
    out = tmp_path / "out"
    for _ in range(2):  # the second goes on with the first
        SynthMRIFlow().run(
            str(runs / "ldm"), steps=2, guidance_interval=[0.3, 5.0], out_dir=str(out)
        )
    (sidecar,) = out.glob("sub-*/anat/*_T1w.json")
    assert read_json(sidecar)["GuidanceInterval"] == [0.3, 5.0]
    (sidecar, _) = sorted((runs / "synthetic").glob("sub-*/anat/*_T1w.json"))
    assert read_json(sidecar)["GuidanceInterval"] == [2.0, 1000.0]


def test_the_prepared_cohort_comes_with_its_quality_page(runs):
    page = (runs / "prepared" / "quality.html").read_text()
    for row in read_table(runs / "prepared" / "participants.tsv"):
        assert row["participant_id"] in page


def test_giving_the_command_again_changes_nothing_and_more_adds(runs):
    before = {path: path.stat().st_mtime_ns for path in volumes(runs)}
    synthesize(runs, n_samples=3)
    assert len(volumes(runs)) == 3
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_a_cohort_is_matched_and_a_condition_swept(runs, tmp_path):
    table = tmp_path / "cohort.tsv"
    table.write_text("participant_id\tage\nsub-a\t40\nsub-b\tn/a\n")
    SynthMRIFlow().run(
        str(runs / "ldm"),
        participants=str(table),
        sweep=["sex=F,M"],
        steps=1,
        batch_size=4,
        guidance_rescale=0.7,
        keep_ids=True,
        out_dir=str(tmp_path / "out"),
    )
    rows = read_table(tmp_path / "out" / "participants.tsv")
    assert [tuple(row.values())[1:] for row in rows] == [
        ("0", "sub-a", "40", "F"),
        ("0", "sub-a", "40", "M"),
        ("1", "sub-b", None, "F"),
        ("1", "sub-b", None, "M"),
    ]
    assert len([*(tmp_path / "out").glob("sub-*/anat/*_T1w.nii.gz")]) == 4


def test_a_predictor_is_trained_and_reads_the_columns(runs):
    TrainPredictorFlow().run(
        str(runs / "prepared"),
        conditions=["sex", "age"],
        patience=0,
        out_dir=str(runs / "predictor"),
        **QUICK,
    )
    predictor = CovariatePredictor(runs / "predictor")
    assert predictor.schema.names == ("sex", "age")
    assert set(predictor.predict(np.zeros((1, 24, 32, 24)))) == {"sex", "age"}


def test_a_qc_filter_that_is_not_there_is_reported(runs, tmp_path):
    with pytest.raises(InputError, match="this model has no QC filter"):
        SynthMRIFlow().run(str(runs / "ldm"), gate=True, out_dir=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_another_request_leaves_the_cohort_alone(runs):
    before = [path.read_bytes() for path in volumes(runs)]
    with pytest.raises(InputError, match="--force"):
        synthesize(runs, n_samples=1, seed=9)
    assert [path.read_bytes() for path in volumes(runs)] == before


def test_the_split_reaches_the_model(runs):
    rows = read_table(runs / "prepared" / "participants.tsv")
    config = json.loads((runs / "ldm" / "model" / "config.json").read_text())
    for side in ("train", "validation"):
        expected = [r["participant_id"][4:] for r in rows if r["split"] == side]
        assert labels_on_side(config["split"], expected, side) == sorted(expected)
        assert len(config["split"][side]) == len(expected)


@pytest.mark.parametrize(
    ("flow", "arguments", "message"),
    [
        (TrainVQVAEFlow, ["absent"], "absent"),
        (TrainLDMFlow, ["prepared", "absent"], "absent: no such model"),
        (TrainPredictorFlow, ["absent"], "absent"),
        (SynthMRIFlow, ["absent"], "absent: no such model"),
    ],
)
def test_what_is_absent_is_named(runs, flow, arguments, message):
    paths = [str(runs / a) for a in arguments]
    with pytest.raises(InputError, match=message):
        flow().run(*paths, out_dir=str(runs / "elsewhere"))
    assert not (runs / "elsewhere").exists()


def test_an_unknown_condition_is_refused(runs):
    with pytest.raises(InputError, match="expected one of age, sex"):
        TrainLDMFlow().run(
            str(runs / "prepared"),
            str(runs / "vqvae"),
            conditions=["weight"],
            out_dir=str(runs / "elsewhere"),
        )


def test_the_bundled_model_makes_a_brain(tmp_path):
    """As a user does it: a fresh process, the command, no model named."""
    code = "import sys; from dipy_synth.workflows.cli import run; sys.exit(run())"
    start = f"import sys; sys.argv[0] = 'dipy_synth_mri'; {code}"
    words = ["--steps", "2", "--sampler", "euler", "--out_dir", str(tmp_path / "out")]
    subprocess.run([sys.executable, "-c", start, *words], check=True)
    (path,) = (tmp_path / "out").glob("sub-*/anat/*_T1w.nii.gz")
    image, head = nib.load(path), load_mni152_template(resolution=2)
    data = image.get_fdata()
    assert data.shape == (80, 96, 80)
    # even two steps find where the brain is: as large as real ones, where the template
    # says, front to the front, grey matter darker than white (by their correlation
    # 0.81; mirrored front to back 0.71, inverted 0.65)
    assert 1.1e6 < np.count_nonzero(data) * 8 < 1.8e6
    there = resample_to_img(head, image, force_resample=True, copy_header=True)
    assert np.corrcoef(data.ravel(), there.get_fdata().ravel())[0, 1] > 0.77
    assert (tmp_path / "out" / "mid-slices.png").exists()
