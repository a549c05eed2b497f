"""What a trained model's folder holds, and does not."""

from dataclasses import replace
import json
import shutil

import numpy as np
import pytest

from dipy_synth.data.cohort import Cohort
from dipy_synth.errors import InputError
from dipy_synth.nn.base import privacy_card, warn_of_few
from dipy_synth.nn.ldm import LDM
from dipy_synth.nn.vqvae import VQVAE
from dipy_synth.store import config_hash, read_config
from dipy_synth.synthesis.qc_filter import QCFilter
from dipy_synth.training import TrainingSettings
from dipy_synth.utils.labels import labels_on_side

ONE = TrainingSettings(epochs=1, batch_size=8, learning_rate=1e-3)


@pytest.fixture(scope="module")
def cohort(write_prepared, tmp_path_factory):
    """12 phantoms, 8 to train; their ages are not whole."""
    folder = tmp_path_factory.mktemp("folder") / "cohort"
    write_prepared(folder, 12)
    table = folder / "participants.tsv"
    table.write_text(table.read_text().replace(".0\t", ".3\t"))
    return Cohort.load(folder)


@pytest.fixture(scope="module")
def runs(cohort, tmp_path_factory):
    """Two runs: by default, and with what finds copies."""
    root = tmp_path_factory.mktemp("runs")
    small = {"channels": (8, 8), "blocks": 1}
    VQVAE(None).fit(cohort, run_dir=root / "vqvae", settings=ONE, network=small)
    options = {"settings": ONE, "conditions": ("age", "sex")}
    options["network"] = {"widths": (8,), "blocks": 1, "attention": (False,)}
    LDM(None).fit(cohort, root / "vqvae", run_dir=root / "default", **options)
    shutil.copytree(root / "default", root / "gate")
    options |= {"run_dir": root / "gate", "with_gate": True}
    LDM(None).fit(cohort, root / "vqvae", **options)  # only the model is written
    return root


def test_a_model_folder_holds_nothing_of_a_subject(cohort, runs):
    for run, kind in ((runs / "default", "ldm"), (runs / "vqvae", "vqvae")):
        folder, config = read_config(run, kinds=(kind,))
        text = (folder / "config.json").read_text()
        for subject, row in zip(cohort.subjects, cohort.rows):
            assert f'"{subject}"' not in text and f"sub-{subject}" not in text
            assert row["age"] not in text
        for side in ("train", "validation"):
            there = {s for s, ok in zip(cohort.subjects, cohort.where(side)) if ok}
            found = labels_on_side(config["split"], cohort.subjects, side)
            assert found == sorted(there)
    files = {p.name.split("-")[0] for p in (runs / "default" / "model").iterdir()}
    assert files == {"README.md", "config.json", "guide", "qc_filter", "weights"}
    default = QCFilter.load(runs / "default")
    assert default.search is None
    assert set(default.to_arrays()) == {"metrics", "limits", "mean", "power", "n"}


def test_training_brains_are_there_when_requested_and_a_copy_keeps_them(runs, tmp_path):
    asked = QCFilter.load(runs / "gate")
    assert len(asked.to_arrays()["train"]) == 8
    LDM(runs / "gate").save(tmp_path, dtype="float16")
    assert QCFilter.load(tmp_path).threshold == asked.threshold


def test_a_model_says_what_it_holds_of_its_subjects(cohort, runs, tmp_path, caplog):
    LDM(runs / "gate").save(tmp_path)
    for folder, brains in (
        (runs / "vqvae" / "model", False),
        (runs / "default" / "model", False),
        (runs / "gate" / "model", True),
        (tmp_path, True),  # a copy says the same
    ):
        text = (folder / "README.md").read_text()
        assert "8 training subjects" in text and "do not share" not in text
        assert ("holds the training brains" in text) == brains
    few = replace(cohort, split=np.array(["train"] * 7 + ["validation"] * 5))
    assert "7 training subjects: the means" in privacy_card(few)
    warn_of_few(few)
    assert "do not share it where the scans may not be shared" in caplog.text
    caplog.clear()
    warn_of_few(cohort)
    assert not caplog.text


def test_models_of_one_cohort_know_each_other_s_subjects(runs):
    splits = [
        read_config(runs / n, kinds=("vqvae", "ldm"))[1] for n in ("vqvae", "gate")
    ]
    assert splits[0]["split"] == splits[1]["split"]


def test_a_configuration_that_does_not_fit_is_refused(runs, tmp_path):
    ldm = LDM(runs / "default")
    ldm.save(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    turned = {
        **config,
        "conditions": {"columns": config["conditions"]["columns"][::-1]},
    }
    path.write_text(json.dumps(turned))
    with pytest.raises(InputError, match="changed since it was saved"):
        LDM(tmp_path)
    path.write_text(json.dumps({**turned, "config_sha256": config_hash(turned)}))
    with pytest.raises(InputError, match="conditions age, sex|conditions sex, age"):
        LDM(tmp_path)
    shape = [*np.add(config["grid"]["shape"], 4).tolist()]
    other = {**config, "grid": {**config["grid"], "shape": shape}}
    path.write_text(json.dumps({**other, "config_sha256": config_hash(other)}))
    with pytest.raises(InputError, match="a grid of"):
        LDM(tmp_path)
