"""The callback of a run: progress, checkpoint, early stopping."""

from contextlib import ExitStack
import logging
import time

import keras
from keras import ops
import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.training import run_folder
from dipy_synth.training.optimizer import assign_weights, averaged_weights
from dipy_synth.utils.progress import progress_bar

logger = logging.getLogger("dipy")


class CheckpointCallback(keras.callbacks.Callback):
    """Progress bar, checkpoint, history, curves and early stopping of a run.

    The validation metrics are those of the averaged weights, the result of a run.
    Arguments are those of `dipy_synth.training.train`.
    """

    def __init__(
        self,
        run_dir,
        data,
        settings,
        after_epoch=None,
        *,
        monitored_from=0,
        desc="training",
    ):
        super().__init__()
        self.desc = desc
        self.monitored_from = monitored_from
        self.run_dir, self.data, self.settings = run_dir, data, settings
        self.after_epoch, self.history = after_epoch, []
        self._averaged = ExitStack()

    def restore(self, model):
        """Restore the last complete epoch, if there is one."""
        done = run_folder.read_state(self.run_dir, model)
        if done:
            self.history = run_folder.read_history(self.run_dir, done)
            logger.info("%s: resumes after epoch %d", self.run_dir, done)

    @property
    def best(self):
        """Number of the epoch with the lowest monitored metric; 0 before the first."""
        monitored = self.history[self.monitored_from :]
        values = [
            np.nan_to_num(r[self.settings.monitor], nan=np.inf) for r in monitored
        ]
        return self.monitored_from + int(np.argmin(values)) + 1 if values else 0

    @property
    def ended(self):
        """Whether all epochs are done, or training stopped early."""
        done, patience = len(self.history), self.settings.patience
        waited = done - self.best if patience and self.best else 0
        return done >= self.settings.epochs or waited > 0 and waited >= patience

    def finish(self, model):
        """Set the model to the final weights of the run."""
        if self.settings.patience:
            for variable, value in zip(
                _kept(model), run_folder.read_best(self.run_dir)
            ):
                variable.assign(value)
        else:
            assign_weights(model, model.optimizer.averaged())

    def on_train_begin(self, logs=None):
        steps = len(self.data)
        self.bar = progress_bar(
            total=self.settings.epochs * steps,
            initial=len(self.history) * steps,
            desc=self.desc,
            unit="step",
            mininterval=1,
        )
        self.shown = {}

    def on_train_end(self, logs=None):
        self.bar.close()

    def on_epoch_begin(self, epoch, logs=None):
        # set, not counted: backends differ in calls before the first epoch
        self.data.epoch = epoch
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        loss = logs["loss"]
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"{self.run_dir}: the loss is {loss} at batch {batch}. The last "
                "complete epoch is kept. Lower the learning rate, or use float32."
            )
        self.bar.update()
        self._show(loss=loss)

    def _show(self, **metrics):
        """Show metrics at the end of the progress bar."""
        self.shown.update({k: f"{v:.4f}" for k, v in metrics.items()})
        self.bar.set_postfix(self.shown, refresh=False)

    def on_test_begin(self, logs=None):
        self._averaged.enter_context(averaged_weights(self.model))

    def on_test_end(self, logs=None):
        self._averaged.close()

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self.started
        row = {"epoch": epoch + 1, **logs, "seconds": round(seconds, 2)}
        self.history.append({name: float(value) for name, value in row.items()})
        self._show(**{k: v for k, v in logs.items() if k == "val_loss"})
        self._watch(logs)
        self._write()
        if self.after_epoch is not None:
            self.after_epoch(epoch + 1)

    def _watch(self, logs):
        """Save the weights when they are the best so far; stop after `patience`."""
        settings = self.settings
        if not settings.patience:
            return
        if settings.monitor not in logs:
            raise InputError(
                f"monitor {settings.monitor!r}: expected one of {', '.join(logs)}"
            )
        if self.best == len(self.history):
            run_folder.write_best(self.run_dir, _to_keep(self.model))
        self.model.stop_training |= self.ended

    def _write(self):
        # the history first: a kill between the two leaves one row too many, which
        # `restore` drops, and never one too few
        run_folder.write_history(self.run_dir, self.history)
        run_folder.write_state(self.run_dir, self.model, len(self.history))
        run_folder.draw_curves(self.run_dir, self.history)


def _kept(model):
    """Return the variables of the result: weights, and learned state beside them."""
    return [*model.trainable_variables, *model.non_trainable_variables]


def _to_keep(model):
    """Return the values for `_kept`: averaged weights, a codebook as it is."""
    others = [ops.convert_to_numpy(v) for v in model.non_trainable_variables]
    return [*model.optimizer.averaged(), *others]
