"""The command dipy_synth_doctor, as it is typed."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from dipy_synth.conditions import ConditionSchema
from dipy_synth.diffusion.normalizer import LatentNormalizer
from dipy_synth.diffusion.sampling_settings import DEFAULT_SAMPLING
from dipy_synth.diffusion.schedules import DiscreteDiffusion, RectifiedFlow
from dipy_synth.networks.patch_autoencoder import PatchAutoencoder
from dipy_synth.networks.unet import UNet
from dipy_synth.nn.ldm import LDM
from dipy_synth.nn.vqvae import VQVAE
from dipy_synth.utils.files import read_json
from dipy_synth.workflows.cli import run


@pytest.fixture
def model(tmp_path):
    """Return a function that writes a model, never trained, with a schedule."""

    def write(schedule, seed=0):
        keras.utils.set_random_seed(seed)
        ldm = LDM(None)
        ldm.vqvae, ldm.schedule = VQVAE(None), schedule
        ldm.vqvae.network = PatchAutoencoder((8, 8), channels=(8, 8), blocks=1)
        shape = ldm.vqvae.network.latent_shape
        ldm.network = UNet(shape, widths=(8,), blocks=1, attention=(False,))
        ldm.schema = ConditionSchema(())
        ldm.normalizer = LatentNormalizer(
            np.zeros(shape), np.eye(shape[-1]), np.ones(shape)
        )
        split = {"train": ["a", "b"], "validation": ["c"]}
        ldm.config = {"grid": None, "sampling": dict(DEFAULT_SAMPLING), "split": split}
        return ldm.save(tmp_path / "model")

    return write


def command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["dipy_synth_doctor", *map(str, words)])
    return run()


def test_nothing_wrong_is_status_0_and_what_lacks_is_reported(
    model, monkeypatch, tmp_path, capsys
):
    words = [model(RectifiedFlow()), "--quick", "--out_dir", tmp_path / "out"]
    assert command(monkeypatch, *words) == 0
    written = read_json(tmp_path / "out" / "doctor.json")
    assert written["verdicts"] == {"fail": 0, "warn": 0, "pass": 4, "skipped": 10}
    shown = capsys.readouterr().out
    assert "-> pass the cohort it was trained on (--prepared)" in shown
    assert "run it without --quick" in shown
    assert str(tmp_path / "out" / "doctor.html") in shown


def test_what_is_wrong_is_status_1_and_reported_in_one_line(
    model, monkeypatch, tmp_path, capsys
):
    out = tmp_path / "out"
    words = [model(DiscreteDiffusion(steps=200)), "--quick", "--out_dir", out]
    assert command(monkeypatch, *words) == 1
    (line,) = [s for s in capsys.readouterr().err.splitlines() if "ERROR" in s]
    assert "failed: noise where sampling starts; see" in line
    assert (out / "doctor.html").is_file()


def test_another_diagnosis_is_replaced_by_force_only(
    model, monkeypatch, tmp_path, capsys
):
    out = ["--quick", "--out_dir", tmp_path / "out"]
    words = [model(RectifiedFlow()), *out]
    assert command(monkeypatch, *words) == 0
    assert command(monkeypatch, *words) == 0  # the same again
    before = (tmp_path / "out" / "doctor.html").read_bytes()
    assert command(monkeypatch, *words, "--seed", 1) == 1
    assert "seed was 0, is 1" in capsys.readouterr().err
    words[0] = model(RectifiedFlow(), seed=1)
    assert command(monkeypatch, *words) == 1
    assert "model was" in capsys.readouterr().err
    assert (tmp_path / "out" / "doctor.html").read_bytes() == before
    assert command(monkeypatch, *words, "--force") == 0
    assert command(monkeypatch, words[0], "--out_dir", tmp_path / "model") == 1
    assert "not empty, and no diagnosis" in capsys.readouterr().err


def test_a_command_that_starts_keras_shows_nothing_of_its_start(model, tmp_path):
    code = "import sys; from dipy_synth.workflows.cli import run; sys.exit(run())"
    start = f"import sys; sys.argv[0] = 'dipy_synth_doctor'; {code}"
    words = [model(RectifiedFlow()), "--quick", "--out_dir", tmp_path / "out"]
    command = [sys.executable, "-c", start, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "\r" not in done.stderr and len(done.stderr.splitlines()) < 4
    assert all("%|" in line for line in done.stderr.splitlines())
