"""The folder of a run: its settings, state, best weights, history and curves."""

from contextlib import contextmanager
import csv
from dataclasses import asdict
import json
from pathlib import Path
import zipfile

from keras import ops
import numpy as np

from dipy_synth.errors import InputError, remedy
from dipy_synth.utils.architecture import arguments_of
from dipy_synth.utils.derivative import OutputFolder
from dipy_synth.utils.files import atomic_path, write_json

# They change the output or the duration of a run, not its result (to rounding, and but
# for a last batch that several devices pad with its own rows)
_FREE = ("tensorboard", "devices")
_STATE = "state.npz"
# Errors of files that are missing, truncated or damaged.
_BROKEN = (
    FileNotFoundError,
    EOFError,
    KeyError,
    TypeError,
    ValueError,
    csv.Error,
    zipfile.BadZipFile,
)


def is_fresh(run_dir, *, force=False):
    """Return whether a run is new or, by `force`, overwritten, not resumed: bool."""
    return force or not (Path(run_dir) / _STATE).exists()


def reserve_folder(run_dir, model, settings, about, *, force=False):
    """Reserve a folder: that of this run, a new one or, by `force`, that of another.

    The settings of a new run are written. `force` removes the state of an existing one,
    even if its settings are damaged; its model and pictures stay until they are
    replaced.
    """
    run_dir = Path(run_dir)
    training = {k: v for k, v in asdict(settings).items() if k not in _FREE}
    wanted = {"network": arguments_of(model), "training": training, "about": about}
    wanted = json.loads(json.dumps(wanted))  # as it is read: lists, no tuples
    folder = OutputFolder(run_dir, "run", record="settings.json", group=None)
    before = None
    if is_fresh(run_dir) or not force:
        before = _read_settings(folder)
        folder.check(wanted, before=before, force=force)
    if force:  # before the settings change: a state is always that of the settings
        for name in (_STATE, "best.npz", "history.csv"):
            (run_dir / name).unlink(missing_ok=True)
    if force or before is None:
        write_json(run_dir / "settings.json", wanted)


def _read_settings(folder):
    """Read the settings of a run, or None; say what helps where they are damaged."""
    if is_fresh(folder.root):
        return folder.read()
    with remedy("--force trains this run anew"):
        return folder.read()


@contextmanager
def _intact(path):
    """Raise an InputError, with what helps, where a file of a run cannot be read."""
    try:
        yield
    except _BROKEN as error:
        raise InputError(
            f"{path}: missing or damaged ({error}); without "
            f"{path.with_name(_STATE)} the same command trains this network anew, with "
            "--force the whole run"
        ) from error


def write_state(run_dir, model, epochs):
    """Write the state of training, and the number of epochs done."""
    arrays = [ops.convert_to_numpy(variable) for variable in _variables(model)]
    arrays += model.optimizer.state()
    values = {str(i): array for i, array in enumerate(arrays)}
    with atomic_path(run_dir / _STATE) as temporary:
        np.savez(temporary, epochs=epochs, **values)


def read_state(run_dir, model):
    """Restore a model and its optimizer; return the complete epochs, or 0: int."""
    path = run_dir / _STATE
    if not path.exists():
        return 0
    with _intact(path), np.load(path, allow_pickle=False) as state:
        arrays = [state[str(i)] for i in range(len(state.files) - 1)]
        epochs = int(state["epochs"])
    variables = _variables(model)
    for variable, array in zip(variables, arrays):
        variable.assign(array)
    model.optimizer.set_state(arrays[len(variables) :])
    return epochs


def _variables(model):
    """Return the variables of training besides the optimizer, in a fixed order."""
    return [*model.variables, *model.metrics_variables]


def write_best(run_dir, weights):
    """Write the averaged weights of the best epoch so far."""
    with atomic_path(run_dir / "best.npz") as temporary:
        np.savez(temporary, *weights)


def read_best(run_dir):
    """Read the averaged weights of the best epoch: list of ndarray."""
    path = run_dir / "best.npz"
    with _intact(path), np.load(path, allow_pickle=False) as best:
        return [best[name] for name in best.files]


def write_history(run_dir, history):
    """Write history.csv, one row per epoch."""
    with atomic_path(run_dir / "history.csv") as temporary:
        with open(temporary, "w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(history[0]))
            writer.writeheader()
            writer.writerows(history)


def read_history(run_dir, epochs):
    """Read the first epochs of history.csv: list of dict."""
    path = run_dir / "history.csv"
    with _intact(path), open(path, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))[:epochs]
        if len(rows) < epochs:
            raise ValueError(f"{len(rows)} rows, expected {epochs}")
        return [{name: float(value) for name, value in row.items()} for row in rows]


def draw_curves(run_dir, history):
    """Plot the losses over the epochs to curves.png."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name in ("loss", "val_loss"):
        values = [row[name] for row in history if name in row]
        axes.plot(range(1, len(values) + 1), values, marker=".", label=name)
    axes.set(xlabel="epoch", ylabel="loss", yscale="log")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend()
    with atomic_path(run_dir / "curves.png") as temporary:
        figure.savefig(temporary, dpi=100)
