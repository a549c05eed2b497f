"""Benchmarks: each script is imported, and explains its options."""

from pathlib import Path
import runpy
import sys

import keras
import pytest

from dipy_synth.training import TrainingSettings

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = sorted(FOLDER.glob("*.py"))


@pytest.fixture
def as_script(monkeypatch):
    """Let scripts import each other, and forget them afterwards."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())  # one sets torch
    yield lambda path: runpy.run_path(str(path), run_name="__main__")
    for path in SCRIPTS:
        sys.modules.pop(path.stem, None)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_benchmark_explains_its_options(path, as_script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    if "__main__" not in path.read_text():
        assert as_script(path)["__doc__"]
        return
    with pytest.raises(SystemExit) as end:
        as_script(path)
    words = capsys.readouterr().out
    assert not end.value.code and f"usage: {path.name}" in words


def test_batch_normalisation_takes_the_place_of_every_norm(as_script):
    make_unet = as_script(FOLDER / "faults.py")["make_unet"]
    network = make_unet((4, 4, 3), "batch", TrainingSettings())
    names = [weight.name for weight in network.weights]
    assert names.count("gamma") == names.count("moving_mean") > 2
