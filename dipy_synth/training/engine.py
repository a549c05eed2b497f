"""Building and training of a model in a run folder."""

from contextlib import contextmanager
import importlib.util
from pathlib import Path

import keras

from dipy_synth.errors import InputError
from dipy_synth.networks.network import default_precision
from dipy_synth.training.checkpoint import CheckpointCallback
from dipy_synth.training.devices import (
    EqualShares,
    count_devices,
    count_replicas,
    placement,
    placement_of,
    resolve_precision,
    share_loss,
)
from dipy_synth.training.optimizer import make_optimizer
from dipy_synth.training.run_folder import reserve_folder

# TensorFlow's, PyTorch's, NumPy's; by name, since none need be installed
_EXHAUSTED = ("ResourceExhaustedError", "OutOfMemoryError", "_ArrayMemoryError")


@contextmanager
def building(settings):
    """Make networks with the seed, the precision and the devices of some settings."""
    keras.utils.set_random_seed(settings.seed % 2**32)
    with default_precision(resolve_precision(settings.precision)), placement(settings):
        yield


def train(
    model,
    data,
    *,
    run_dir,
    settings,
    validation=None,
    about=None,
    force=False,
    after_epoch=None,
    callbacks=(),
    monitored_from=0,
    desc="training",
):
    """Train a model in a run folder, or resume an interrupted run.

    Parameters
    ----------
    model : keras.Model
        A built model with its own ``compute_loss``, made within `building`.
    data : keras.utils.PyDataset
        Training batches. Its ``epoch`` is set to the number of each epoch, from 0.
        With several devices, a batch they cannot share is padded with its own rows.
    run_dir : str or Path
        The run's folder.
    settings : TrainingSettings
        The settings of the training.
    validation : keras.utils.PyDataset, optional
        Batches of validation subjects, for the loss of the averaged weights.
    about : dict, optional
        Further identity of the run (JSON), stored and compared with the settings.
    force : bool, optional
        Overwrite an existing run.
    after_epoch : callable, optional
        Called as ``after_epoch(epoch)`` after an epoch was saved (pictures).
    callbacks : sequence of keras.callbacks.Callback, optional
        Run before an epoch is saved. Their state outside of model and optimizer is not
        saved.
    monitored_from : int, optional
        First epochs, which patience ignores: their metrics are not comparable with
        later ones.
    desc : str, optional
        Name of the progress bar.

    Returns
    -------
    list of dict
        The history, one row an epoch. The model holds the averaged weights: the last,
        or with patience those of the best epoch.

    Raises
    ------
    InputError
        If the folder holds a run with other settings, or there is no such metric.
    FloatingPointError
        If the loss is not finite; the last complete epoch is kept.
    MemoryError
        If memory runs out, with advice; the last complete epoch is kept.
    """
    run_dir = Path(run_dir)
    extra = [*callbacks]
    if settings.tensorboard:
        extra.append(tensorboard(run_dir / "tensorboard"))
    validates = validation is not None
    reserve_output(
        run_dir, model, settings, about=about, validates=validates, force=force
    )
    checkpoint = CheckpointCallback(
        run_dir,
        data,
        settings,
        after_epoch,
        monitored_from=monitored_from,
        desc=desc,
    )
    with _memory_advice(run_dir, settings), placement_of(model, settings):
        _compile(model, settings, batches=settings.epochs * len(data))
        checkpoint.restore(model)
        if not checkpoint.ended:
            _fit(model, data, validation, settings, [*extra, checkpoint])
    checkpoint.finish(model)
    return checkpoint.history


def reserve_output(
    run_dir, model, settings, *, about=None, validates=True, force=False
):
    """Reserve a run folder, as `train` does first, before long computations.

    Arguments are those of `train`; `validates` is whether there are validation
    subjects. `force` removes the state of an existing run after all checks; its model
    stays until it is replaced.
    """
    _check_monitor(settings, validates)
    reserve_folder(run_dir, model, settings, about or {}, force=force)


def _check_monitor(settings, validates):
    needs = settings.patience and settings.monitor.startswith("val_")
    if needs and not validates:
        raise InputError(
            f"patience {settings.patience} with monitor {settings.monitor!r}: expected "
            "validation subjects, and there are none"
        )


def tensorboard(folder):
    """Make the callback that writes the history for TensorBoard to a folder.

    It is an InputError if its packages are not installed.
    """
    missing = [
        name
        for name in ("tensorflow", "tensorboard")
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise InputError(
            f"TensorBoard needs {' and '.join(missing)}: install what is missing, or "
            "leave tensorboard out (history.csv holds the same metrics)"
        )
    return keras.callbacks.TensorBoard(str(folder), write_graph=False)


def _compile(model, settings, *, batches):
    """Compile a model with its optimizer, built."""
    if count_replicas() > 1:
        share_loss(model)
    model.compile(optimizer=make_optimizer(settings, batches=batches))
    model.optimizer.build(model.trainable_variables)


def _fit(model, data, validation, settings, callbacks):
    """Train the remaining epochs; the last callback is the checkpoint."""
    n = count_devices(settings)
    if n > 1:
        data = EqualShares(data, n)
        validation = validation and EqualShares(validation, n)
    model.fit(
        data,
        epochs=settings.epochs,
        initial_epoch=len(callbacks[-1].history),
        shuffle=False,
        validation_data=validation,
        callbacks=callbacks,
        verbose=0,
    )


@contextmanager
def _memory_advice(run_dir, settings):
    """Raise a MemoryError with advice when memory runs out, on any backend."""
    try:
        yield
    except Exception as error:
        if not _out_of_memory(error):
            raise
        raise MemoryError(
            f"{run_dir}: out of memory. The last complete epoch is kept. "
            + _advice(settings)
        ) from error


def _out_of_memory(error):
    message = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ in _EXHAUSTED
        or "RESOURCE_EXHAUSTED" in message  # JAX
        or "can't allocate memory" in message  # PyTorch on a CPU
    )


def _advice(settings):
    """Return what to lower; the effective batch size is kept if possible."""
    size, n = settings.batch_size, settings.accumulation
    words = []
    if size > 1:
        words.append(
            f"lower batch_size (now {size}) to {-(-size // 2)} with accumulation "
            f"{2 * n} instead of {n}, which learns nearly the same"
        )
    if resolve_precision(settings.precision) == "float32":
        words.append("use precision mixed_bfloat16")
    words.append("use a smaller network, or prepare the cohort on a coarser grid")
    return f"Restart with less memory: {'; or '.join(words)}."
