"""A run that was killed ends as one that was not."""

from pathlib import Path
import signal
import subprocess
import sys

import numpy as np
import pytest

from dipy_synth.errors import InputError
from dipy_synth.training import run_folder


@pytest.fixture
def same(line):
    """Return a function that compares two runs to the bit, but for the seconds."""

    def compare(*runs):
        np.testing.assert_array_equal(*(line.weights(model) for model, _ in runs))
        here, there = (
            [{k: v for k, v in row.items() if k != "seconds"} for row in history]
            for _, history in runs
        )
        assert here == there

    return compare


def epochs_of(run):
    """Count the epochs in the history of a run."""
    return len((run / "history.csv").read_text().splitlines()) - 1


# What a run must remember between two epochs, beside weights and moments. Groups of 3
# batches go over the ends of epochs of 4; a large learning rate stops early.
EARLY = {"patience": 2, "learning_rate": 3.0, "epochs": 9, "average": 0.1}
KINDS = {
    "accumulation, metric": {"accumulation": 3, "metric": True},
    "early stop": EARLY,
    "float16, accumulation, early stop": {
        **EARLY,
        "accumulation": 3,
        "precision": "mixed_float16",
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_ends_as_an_uninterrupted_one(kind, line, same, tmp_path):
    def fit(folder, **more):
        validation = line.Data(4, rows=8, shuffle=False)
        options = {"epochs": 4, **KINDS[kind], **more}
        return line.fit(tmp_path / folder, validation=validation, **options)

    straight = fit("straight")
    with pytest.raises(line.Killed):
        fit("killed", callbacks=[line.Kill()])
    assert epochs_of(tmp_path / "killed") == 2
    same(fit("killed"), straight)


def test_a_process_killed_by_the_system_goes_on(line, same, tmp_path):
    """The real thing: SIGKILL in the middle of an epoch, then the same again."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from conftest import *\n"
        f"run = {str(tmp_path / 'killed')!r}\n"
        "fit_line(run, epochs=4, callbacks=[Kill(process=True)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert epochs_of(tmp_path / "killed") == 2
    same(line.fit(tmp_path / "killed", epochs=4), line.fit(tmp_path / "new", epochs=4))


def test_a_kill_between_the_files_of_an_epoch_is_mended(
    line, same, tmp_path, monkeypatch
):
    def dies(run_dir, model, epochs):
        if epochs == 2:
            raise line.Killed
        write_state(run_dir, model, epochs)

    write_state = run_folder.write_state
    options = {"patience": 1, "monitor": "loss"}
    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "write_state", dies)
        with pytest.raises(line.Killed):
            line.fit(tmp_path / "killed", **options)
    assert epochs_of(tmp_path / "killed") == 2
    same(
        line.fit(tmp_path / "killed", **options), line.fit(tmp_path / "new", **options)
    )


def test_a_run_that_stopped_early_is_not_trained_again(line, same, tmp_path):
    options = {"monitor": "loss", "patience": 1, "learning_rate": 9.0, "epochs": 30}
    first, history = line.fit(tmp_path, **options)
    assert len(history) < 30
    before = (tmp_path / "state.npz").stat().st_mtime_ns
    again = line.fit(tmp_path, **options)
    assert (tmp_path / "state.npz").stat().st_mtime_ns == before
    same(again, (first, history))


@pytest.mark.parametrize("size", [None, 0, 60])
@pytest.mark.parametrize("name", ["state.npz", "best.npz", "history.csv"])
def test_a_damaged_run_says_how_to_start_anew(line, same, tmp_path, name, size):
    options = {"monitor": "loss", "patience": 3}
    first, path = line.fit(tmp_path, **options), tmp_path / name
    if size is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:size])
    if path.exists() or name != "state.npz":
        with pytest.raises(InputError, match=f"{name}: missing or damaged") as error:
            line.fit(tmp_path, **options)
        assert f"without {tmp_path / 'state.npz'} the same" in str(error.value)
        (tmp_path / "state.npz").unlink()
    same(line.fit(tmp_path, **options), first)


def test_damaged_settings_of_a_run_are_replaced_by_force(line, same, tmp_path):
    first, path = line.fit(tmp_path), tmp_path / "settings.json"
    settings = path.read_text()
    path.write_text(settings[:60])
    with pytest.raises(InputError, match="settings.json.*--force trains this run anew"):
        line.fit(tmp_path)
    same(line.fit(tmp_path, force=True), first)
    assert path.read_text() == settings
