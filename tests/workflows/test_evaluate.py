"""The command dipy_evaluate_mri, as it is typed, and the page it writes."""

import re
import sys

import nibabel as nib
import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.evaluation import evaluate
from dipy_synth.evaluation.extractors import make_extractors
from dipy_synth.grid import Grid
from dipy_synth.nn.predictor import CovariatePredictor
from dipy_synth.phantom import make_phantom
from dipy_synth.training import TrainingSettings
from dipy_synth.utils.files import read_json
from dipy_synth.utils.tables import read_table, write_table
from dipy_synth.workflows.cli import run

GRID = Grid((20, 24, 20), (8.0,) * 3)
FILES = ["evaluation.html", "evaluation.json", "metrics.tsv", "volumes.tsv"]
MADE = "synthetic <i>&$x"


def write(folder, seeds):
    """Write phantoms as plain files with a table."""
    folder.mkdir()
    rows = []
    for seed in seeds:
        phantom = make_phantom(seed, shape=GRID.shape, voxel_size=8.0)
        label = f"sub-{seed}"
        rows.append({"participant_id": label, **phantom.covariates})
        image = nib.Nifti1Image(phantom.data, phantom.affine)
        nib.save(image, folder / f"{label}_T1w.nii.gz")
    write_table(folder / "participants.tsv", rows)
    return folder


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohorts")
    write(root / "real", range(10))
    write(root / MADE, range(20, 30))
    write(root / "train", range(40, 56))
    return root


@pytest.fixture(scope="module")
def call(cohorts):
    """Type the command; give its exit status."""

    def typed(*words, synthetic=MADE):
        words = [cohorts / "real", cohorts / synthetic, "--no_tissues", *words]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["dipy_evaluate_mri", *map(str, words)])
            patch.setitem(evaluate.__kwdefaults__, "repeats", 8)  # of 100, for time
            return run()

    return typed


@pytest.fixture(scope="module")
def written(cohorts, call):
    out = cohorts / "out"
    words = ["--train", cohorts / "train", "--downstream", "--out_dir", out]
    assert call(*words) == 0
    return out


def test_numbers_tables_and_page_are_written_and_agree(written, read_page):
    assert sorted(path.name for path in written.iterdir()) == FILES
    numbers = read_json(written / "evaluation.json")
    assert [f["question"] for f in numbers["findings"]] == [
        *("not noise", "alike", "diverse", "not copied", "as asked", "of use")
    ]
    metrics = {row["metric"]: row for row in read_table(written / "metrics.tsv")}
    kid = numbers["distribution"]["voxel noise"][1]
    assert float(metrics["kid"]["value"]) == pytest.approx(kid["value"], rel=1e-3)
    (downstream,) = numbers["downstream"]
    arms = {arm["trained_on"]: arm for arm in downstream["arms"]}
    assert [arm["n"] for arm in arms.values()] == [16, 10, 26]
    row = metrics["age_mae_trained_on_both"]
    assert float(row["value"]) == pytest.approx(arms["both"]["score"], rel=1e-3)
    assert metrics["age_mae_gain"]["question"] == "of use"
    row, more = metrics["age_mae_gain_beside_half"], downstream["ceiling"]
    assert float(row["ceiling"]) == pytest.approx(more["real_gain"], rel=1e-3)
    assert metrics["age_mae_trained_on_half_and_real"]["note"].startswith("16 training")
    rows = read_table(written / "volumes.tsv")
    assert [row["cohort"] for row in rows] == ["synthetic"] * 10 + ["real"] * 10
    assert all(float(row["voxels_similarity"]) > 0 for row in rows)
    assert all(row["read_age"] for row in rows[:10])
    text = read_page(written / "evaluation.html").text
    for finding in numbers["findings"]:
        assert finding["words"] in text


def test_training_brains_are_named_only_if_requested(
    cohorts, call, written, read_page, tmp_path
):
    label = re.compile(r"sub-(4\d|5[0-5])\b")  # those of the training brains
    for path in written.iterdir():
        assert not label.search(path.read_text(encoding="utf-8")), path.name
    words = ("--train", cohorts / "train", "--show_nearest", "--out_dir", tmp_path)
    assert call(*words) == 0
    rows = read_table(tmp_path / "volumes.tsv")
    assert all(label.fullmatch(row["voxels_nearest"][:6]) for row in rows)
    shown, hidden = (read_page(x / "evaluation.html").text for x in (tmp_path, written))
    assert "Above the sample" in shown
    assert "Above the sample" not in hidden
    assert "similarity" in hidden


def test_the_page_stands_alone_and_is_well_formed(written, read_page):
    path = written / "evaluation.html"
    page, source = read_page(path), path.read_text()
    page.check()
    without = re.sub(r"data:image/jpeg;base64,[^\"]*", "", source)
    assert not re.search(r"https?:|url\(|@import|//\w+\.\w+|src=\"(?!\")", without)
    assert page.count("script") == 1
    assert path.stat().st_size < 5e6


def test_requested_and_predicted_ages_of_both_cohorts_are_drawn(written, read_page):
    page, label = (
        read_page(written / "evaluation.html"),
        "age: requested, and predicted",
    )
    labels = [a.get("aria-label", "") for tag, a in page.tags if tag == "svg"]
    at = next(i for i, words in enumerate(labels) if words.startswith(label))
    tags = page.tags[[i for i, (tag, _) in enumerate(page.tags) if tag == "svg"][at] :]
    stop = next(i for i, (tag, _) in enumerate(tags[1:]) if tag == "svg")
    drawn = [a.get("class") for _, a in tags[:stop]]
    assert drawn.count("real") == drawn.count("synthetic") == 10
    assert drawn.count("line reference") == 1
    asked = read_json(written / "evaluation.json")["asked"]
    assert asked and not any(name.startswith("real_") for one in asked for name in one)


def test_the_page_shows_both_cohorts_and_the_nearest_pairs(written, read_page):
    page = read_page(written / "evaluation.html")
    volumes = [a for tag, a in page.tags if a.get("class") == "volume"]
    assert {a["data-side"] for a in volumes} == {"real", "synthetic"}
    assert all(a["data-shape"] == "20 24 20" for a in volumes)
    assert page.count("article") == 8
    assert page.count("canvas") == 6  # the viewer, and what its script looks for
    controls = {"x", "y", "z", "black", "white", "swap", "difference"}
    assert controls <= {*page.values("name")}
    text = page.text
    for words in ("Sagittal, x = ", "Standard deviation of synthetic", "Audits"):
        assert words in text
    assert MADE in text  # a name is only text, whatever is in it


def test_the_same_again_is_done_and_another_needs_force(written, call, cohorts, capsys):
    same = ["--train", cohorts / "train", "--downstream", "--out_dir", written]
    before = (written / "volumes.tsv").read_bytes()
    assert call(*same) == 0
    assert (written / "volumes.tsv").read_bytes() == before
    assert call("--out_dir", written) == 1
    assert (
        "holds an evaluation made by another request (cohorts"
        in capsys.readouterr().err
    )
    assert call(*same, "--seed", 1) == 1
    assert (written / "volumes.tsv").read_bytes() == before
    assert call("--seed", 1, "--out_dir", written, "--force") == 0
    assert "copies" not in read_json(written / "evaluation.json")["copies"]


def test_a_folder_of_somebody_else_is_left_alone(call, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert call("--out_dir", tmp_path) == 1
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_bad_input_is_one_line_and_nothing_is_written(call, cohorts, tmp_path, capsys):
    out = tmp_path / "out"
    (cohorts / "nobody").mkdir()
    assert call("--out_dir", out, synthetic="nobody") == 1
    assert "nobody" in capsys.readouterr().err
    bad = write(cohorts / "bad", [1, 2])
    path = bad / "sub-2_T1w.nii.gz"
    nib.save(nib.Nifti1Image(np.full(GRID.shape, np.nan), GRID.affine), path)
    assert call("--out_dir", out, synthetic="bad") == 1
    assert str(path) in capsys.readouterr().err
    assert call("--features", "charm", "--out_dir", out) == 1
    assert "expected one of pca, inception, predictor" in capsys.readouterr().err
    assert not out.exists()


def test_a_trained_predictor_gives_the_features(call, write_prepared, tmp_path):
    cohort = write_prepared(tmp_path / "c", shape=GRID.shape, voxel_size=(8.0,) * 3)
    settings = TrainingSettings(epochs=1, batch_size=2)
    CovariatePredictor(None).fit(
        cohort, run_dir=tmp_path / "predictor", settings=settings, conditions=["age"]
    )
    out = tmp_path / "out"
    options = ["--features", "predictor", "--weights", tmp_path / "predictor"]
    assert call(*options, "--out_dir", out) == 0
    found = read_json(out / "evaluation.json")
    assert found["about"]["reader"] == "predictor"
    assert found["about"]["extractor"]["sha256"]
    assert found["asked"][0]["column"] == "age"


def test_the_bundled_predictor_is_the_default_with_its_grid(call, tmp_path, capsys):
    assert make_extractors("predictor")["predictor"].config["weights_sha256"]
    assert call("--features", "predictor", "--out_dir", tmp_path) == 1
    assert "expected the predictor's" in capsys.readouterr().err


def test_absent_weights_are_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(InputError, match="no weights at"):
        make_extractors("inception")
    with pytest.raises(InputError, match="expected features predictor"):
        make_extractors("pca", "weights.h5")
