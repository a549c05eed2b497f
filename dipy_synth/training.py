"""One way to train every model: seeded, averaged, checkpointed, resumable.

A run lives in a folder: ``settings.json`` (what was asked for), ``state.npz`` (all
that is needed to go on), ``history.csv`` and ``curves.png``. Calling `train` again
with the same folder goes on where the last whole epoch ended, and gives the weights
an uninterrupted run would have given.
"""

from contextlib import contextmanager
import csv
from dataclasses import asdict, dataclass
import logging
import math
from pathlib import Path
import time

import keras
from keras import ops
import numpy as np
from tqdm import tqdm

from dipy_synth.errors import InputError
from dipy_synth.files import atomic_path, read_json, write_json

logger = logging.getLogger("dipy_synth")

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclass(frozen=True)
class TrainingSettings:
    """How a model is trained.

    Attributes
    ----------
    epochs : int
        Passes over the training set.
    learning_rate : float
        Peak of the learning rate, reached after `warmup` and left along a cosine.
    warmup : float
        Share of all steps spent in warming up.
    weight_decay : float
        Decoupled weight decay of AdamW.
    clip_norm : float
        Largest global norm of the gradient.
    average : float
        Largest momentum of the exponential moving average of the weights.
    precision : str
        ``float32``, ``mixed_bfloat16`` or ``mixed_float16``.
    batch_size : int
        Images a step.
    seed : int
        Seed of weights, order, noise and augmentation.

    References
    ----------
    Loshchilov & Hutter (2019). Decoupled weight decay regularization. ICLR.
    """

    epochs: int = 20
    learning_rate: float = 3e-4
    warmup: float = 0.03
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    average: float = 0.999
    precision: str = "float32"
    batch_size: int = 1
    seed: int = 0

    def __post_init__(self):
        if self.precision not in PRECISIONS:
            raise InputError(
                f"precision {self.precision!r}: expected one of {', '.join(PRECISIONS)}"
            )
        for name in ("epochs", "batch_size", "learning_rate", "clip_norm"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} {getattr(self, name)}: expected above 0")


@contextmanager
def building(settings):
    """Make networks with the seed and the precision of some settings.

    Parameters
    ----------
    settings : TrainingSettings
        The run's settings.
    """
    keras.utils.set_random_seed(settings.seed)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(settings.precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


class AveragingAdamW(keras.optimizers.AdamW):
    """AdamW that keeps an average of the weights, short at first and long later.

    The momentum at step k is ``min(average, (1 + k) / (10 + k))``, so that a short
    run is not averaged with its own first weights. The live weights are left alone;
    `averaged` gives the average.
    """

    def __init__(self, *args, average=0.999, **kwargs):
        super().__init__(*args, use_ema=True, ema_momentum=average, **kwargs)

    @property
    def ema_momentum(self):
        """Momentum at the present step."""
        step = ops.cast(self.iterations, "float32")
        return ops.minimum(self._longest, (1 + step) / (10 + step))

    @ema_momentum.setter
    def ema_momentum(self, value):
        self._longest = value

    def finalize_variable_values(self, var_list):
        """Leave the live weights: a run that goes on needs them."""

    def averaged(self):
        """Give the averages of the trainable weights, as arrays in their order."""
        return [
            np.asarray(ops.convert_to_numpy(average))
            for average in self._model_variables_moving_average
        ]


def train(
    model,
    data,
    *,
    run_dir,
    settings,
    validation=None,
    loss=None,
    about=None,
    after_epoch=None,
):
    """Train a model in a run folder, or go on with a run that was stopped.

    Parameters
    ----------
    model : keras.Model
        A built model, made within `building`.
    data : keras.utils.PyDataset
        Training batches. Its ``epoch`` is set to the epoch the run goes on from.
    run_dir : str or Path
        The run's folder.
    settings : TrainingSettings
        How to train.
    validation : keras.utils.PyDataset, optional
        Batches of subjects not trained on, for the validation loss.
    loss : str or callable, optional
        A Keras loss; None when the model has its own ``compute_loss``.
    about : dict, optional
        What else makes a run another run (JSON), kept and compared with the settings.
    after_epoch : callable, optional
        Called as ``after_epoch(epoch)`` when an epoch has been saved (pictures).

    Returns
    -------
    list of dict
        The history, one row an epoch. The model holds the averaged weights.

    Raises
    ------
    InputError
        If the folder holds a run with other settings.
    FloatingPointError
        If the loss is not finite; the last whole epoch is kept.
    """
    run_dir = Path(run_dir)
    _check_settings(run_dir, model, settings, about or {})
    optimizer = _optimizer(settings, total=settings.epochs * len(data))
    model.compile(optimizer=optimizer, loss=loss)
    model.optimizer.build(model.trainable_variables)
    keeper = _Keeper(run_dir, data, settings.epochs, after_epoch)
    done = data.epoch = keeper.restore(model)
    if done < settings.epochs:
        model.fit(
            data,
            epochs=settings.epochs,
            initial_epoch=done,
            shuffle=False,
            validation_data=validation,
            callbacks=[keeper],
            verbose=0,
        )
    for variable, value in zip(model.trainable_variables, optimizer.averaged()):
        variable.assign(value)
    return keeper.history


def start_anew(run_dir):
    """Remove what a run would go on from; its model and pictures stay until replaced.

    Parameters
    ----------
    run_dir : str or Path
        The run's folder, which may be absent.
    """
    for name in ("state.npz", "settings.json", "history.csv"):
        (Path(run_dir) / name).unlink(missing_ok=True)


def _optimizer(settings, *, total):
    """AdamW with warm-up and cosine over `total` steps."""
    warmup = max(1, math.ceil(settings.warmup * total))
    rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, total - warmup),
        alpha=0.02,
        warmup_target=settings.learning_rate,
        warmup_steps=warmup,
    )
    return AveragingAdamW(
        rate,
        weight_decay=settings.weight_decay,
        global_clipnorm=settings.clip_norm,
        average=settings.average,
    )


def _check_settings(run_dir, model, settings, about):
    """Refuse to mix two runs in one folder; write down the settings of a new one."""
    path = run_dir / "settings.json"
    wanted = _as_json(
        {
            "network": model.get_config(),
            "training": asdict(settings),
            "about": about,
        }
    )
    if not path.exists():
        write_json(path, wanted)
        return
    found = read_json(path)
    changed = [
        f"{group}.{name}: {found.get(group, {}).get(name)} there, {value} asked for"
        for group, values in wanted.items()
        for name, value in values.items()
        if found.get(group, {}).get(name) != value
    ]
    if changed:
        raise InputError(
            f"{run_dir}: holds a run with other settings ({'; '.join(changed)}). "
            "Use the same settings to go on with it, another output folder, or --force "
            "to start anew."
        )


def _as_json(value):
    """Turn tuples into lists, as JSON does."""
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(item) for item in value]
    return value


class _Keeper(keras.callbacks.Callback):
    """Progress bar, checkpoint, history and curves of a run."""

    def __init__(self, run_dir, data, epochs, after_epoch):
        super().__init__()
        self.run_dir, self.data, self.epochs = run_dir, data, epochs
        self.after_epoch, self.history = after_epoch, []

    def restore(self, model):
        """Load the last whole epoch, if there is one; give the epochs done."""
        path = self.run_dir / "state.npz"
        if not path.exists():
            return 0
        with np.load(path, allow_pickle=False) as state:
            for i, variable in enumerate(_state(model)):
                variable.assign(state[str(i)])
            done = int(state["epochs"])
        self.history = _read_history(self.run_dir / "history.csv")[:done]
        logger.info("%s: goes on after epoch %d", self.run_dir, done)
        return done

    def on_train_begin(self, logs=None):
        done, steps = len(self.history), len(self.data)
        self.bar = tqdm(
            total=self.epochs * steps, initial=done * steps, unit="step", mininterval=1
        )

    def on_train_end(self, logs=None):
        self.bar.close()

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        loss = logs["loss"]
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"{self.run_dir}: the loss is {loss} at batch {batch}. The last whole "
                "epoch is kept. Lower the learning rate, or use float32."
            )
        self.bar.update()
        self.bar.set_postfix(loss=f"{loss:.4f}", refresh=False)

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self.started
        row = {"epoch": epoch + 1, **logs, "seconds": round(seconds, 2)}
        self.history.append({name: float(value) for name, value in row.items()})
        self._write(epoch + 1)
        if self.after_epoch is not None:
            self.after_epoch(epoch + 1)

    def _write(self, done):
        # the history first: a kill between the two leaves one row too many, which
        # `restore` drops, and never one too few
        _write_history(self.run_dir / "history.csv", self.history)
        with atomic_path(self.run_dir / "state.npz") as temporary:
            values = {
                str(i): ops.convert_to_numpy(variable)
                for i, variable in enumerate(_state(self.model))
            }
            np.savez(temporary, epochs=done, **values)
        _plot_history(self.run_dir / "curves.png", self.history)


def _state(model):
    """Everything that changes in training, in a fixed order."""
    return [*model.variables, *model.optimizer.variables]


def _write_history(path, history):
    with atomic_path(path) as temporary:
        with open(temporary, "w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(history[0]))
            writer.writeheader()
            writer.writerows(history)


def _read_history(path):
    with open(path, newline="", encoding="utf-8") as stream:
        return [
            {name: float(value) for name, value in row.items()}
            for row in csv.DictReader(stream)
        ]


def _plot_history(path, history):
    """Draw the losses over the epochs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name in ("loss", "val_loss"):
        values = [row[name] for row in history if name in row]
        axes.plot(range(1, len(values) + 1), values, label=name)
    axes.set(xlabel="epoch", ylabel="loss", yscale="log")
    axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)
