"""A small model and its data: y = 2 x, by two dense layers with a state of their own.

Also the module that the tests' subprocesses import.
"""

import os
import signal
from types import SimpleNamespace

import keras
from keras import ops
import numpy as np
import pytest

from dipy_synth.training import TrainingSettings, building, train


class Line(keras.utils.PyDataset):
    """y = 2 x, 16 rows in an order that depends on the epoch.

    `before` is called as ``before(epoch, index)`` when a batch is asked for.
    """

    def __init__(self, batch_size=4, *, scale=1.0, rows=16, shuffle=True, before=None):
        super().__init__()
        self.batch_size, self.scale, self.rows = batch_size, scale, rows
        self.epoch, self.shuffle, self.before = 0, shuffle, before

    def __len__(self):
        return -(-self.rows // self.batch_size)

    def __getitem__(self, index):
        if self.before is not None:
            self.before(self.epoch, index)
        x = np.random.default_rng(1).random((self.rows, 3)).astype("float32")
        if self.shuffle:
            x = np.random.default_rng([7, self.epoch]).permutation(x)
        x = x[index * self.batch_size :][: self.batch_size]
        return x, 2 * x[:, :1] * self.scale

    def on_epoch_end(self):
        self.epoch += 1


class Counting(keras.layers.Layer):
    """Keeps a running mean of what it sees, as a codebook does."""

    def build(self, input_shape):
        self.seen = self.add_weight(
            shape=(), trainable=False, aggregation="mean", dtype="float32"
        )

    def call(self, inputs):
        self.seen.assign(0.9 * self.seen + 0.1 * ops.mean(inputs))
        return inputs


class Forgetless(keras.metrics.Metric):
    """Counts batches over the whole run: a metric with a state."""

    def __init__(self):
        super().__init__(name="batches", dtype="float32")
        self.count = self.add_weight(shape=(), initializer="zeros", name="count")

    def update_state(self):
        self.count.assign_add(1.0)

    def result(self):
        return self.count

    def reset_state(self):
        pass


class LineModel(keras.Model):
    """Two dense layers with a state between them."""

    def __init__(self, metric=False):
        super().__init__()
        self.first = keras.layers.Dense(8, activation="silu")
        self.count = Counting(dtype="float32")
        self.last = keras.layers.Dense(1, dtype="float32")
        self.forgetless = Forgetless() if metric else None
        self.first.build((None, 3))
        self.count.build((None, 8))
        self.last.build((None, 8))
        self.built = True

    def call(self, inputs):
        return self.last(self.count(self.first(inputs)))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **kwargs):
        if self.forgetless is not None:
            self.forgetless.update_state()
        return ops.mean(ops.square(y - y_pred))

    def get_config(self):
        return {}


_EXTRA = ("callbacks", "after_epoch", "force")


def fit_line(run_dir, data=None, *, validation=None, metric=False, **options):
    """Train on a line; give the model and the history."""
    extra = {k: options.pop(k) for k in _EXTRA if k in options}
    settings = TrainingSettings(
        **{"learning_rate": 0.1, "epochs": 3, "batch_size": 4, **options}
    )
    with building(settings):
        model = LineModel(metric)
    history = train(
        model,
        data or Line(settings.batch_size),
        run_dir=run_dir,
        settings=settings,
        validation=validation,
        **extra,
    )
    return model, history


def weights_of(model):
    """Return every weight and state of a model, in one array."""
    return np.concatenate([ops.convert_to_numpy(v).ravel() for v in model.variables])


class Killed(BaseException):
    """What no handler of ours catches."""


class Kill(keras.callbacks.Callback):
    """End a run in the middle of its third epoch, or its process with it."""

    def __init__(self, *, process=False):
        super().__init__()
        self.process, self.epoch = process, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (2, 1):
            if self.process:
                os.kill(os.getpid(), signal.SIGKILL)
            raise Killed


@pytest.fixture(scope="session")
def line():
    """Return the tools above: ``line.fit(run_dir, ...)`` trains a model."""
    return SimpleNamespace(
        fit=fit_line, Data=Line, weights=weights_of, Kill=Kill, Killed=Killed
    )
