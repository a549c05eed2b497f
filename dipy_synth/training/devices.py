"""Devices of one machine: precision, placement of a model, averaging of gradients."""

from contextlib import nullcontext
from functools import wraps
import os
from pathlib import Path

import keras
import numpy as np

from dipy_synth.errors import InputError

CPUINFO = Path("/proc/cpuinfo")  # of Linux


def resolve_precision(precision="auto"):
    """Return the Keras dtype policy, str, for a precision of `TrainingSettings`.

    ``auto`` is ``mixed_bfloat16`` on processors with AMX, where convolutions take a
    quarter of the time, and on those of AMD with AVX-512 in bfloat16, where they take
    six tenths; else ``float32``: on others with AVX-512 in bfloat16 they took longer.
    The environment variable ``DIPY_SYNTH_PRECISION`` sets what ``auto`` is; in
    ``float32``, volumes of different batch sizes and processors agree to rounding.
    """
    if precision != "auto":
        return precision
    if chosen := os.environ.get("DIPY_SYNTH_PRECISION"):
        if chosen not in ("float32", "mixed_bfloat16"):
            raise InputError(
                f"DIPY_SYNTH_PRECISION {chosen!r}: expected float32 or mixed_bfloat16"
            )
        return chosen
    try:
        words = set(CPUINFO.read_text(encoding="ascii", errors="ignore").split())
    except OSError:
        return "float32"
    faster = "amx_bf16" in words or {"AuthenticAMD", "avx512_bf16"} <= words
    return "mixed_bfloat16" if faster else "float32"


def count_devices(settings):
    """Count the devices of a run, which must exist and share a batch equally: int."""
    if settings.devices == 1:
        return 1
    if keras.backend.backend() not in ("tensorflow", "jax"):
        raise InputError(
            f"devices {settings.devices}: expected 1 on the {keras.backend.backend()} "
            "backend; several devices are for TensorFlow and JAX"
        )
    there = keras.distribution.list_devices()
    n = len(there) if settings.devices == -1 else settings.devices
    if n > len(there):
        raise InputError(f"devices {n}: there are {len(there)} ({', '.join(there)})")
    if n > 1 and settings.accumulation > 1 and _mirrors():
        raise InputError(
            f"accumulation {settings.accumulation}: expected 1 on {n} devices with "
            "TensorFlow, whose replicas cannot skip an update; JAX can"
        )
    if settings.batch_size % n:
        raise InputError(
            f"batch_size {settings.batch_size}: expected a multiple of the {n} devices"
        )
    return n


def placement(settings):
    """Return the context in which a model is made on the devices of some settings."""
    n = count_devices(settings)
    if n == 1:
        return nullcontext()
    devices = keras.distribution.list_devices()[:n]
    if keras.backend.backend() == "jax":
        return keras.distribution.DataParallel(devices=devices).scope()
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(devices).scope()


def placement_of(model, settings):
    """Return the context in which an existing model is trained."""
    if not _mirrors():
        return placement(settings)
    if model.distribute_strategy.num_replicas_in_sync != count_devices(settings):
        raise InputError(
            f"devices {settings.devices}: the model lives on "
            f"{model.distribute_strategy.num_replicas_in_sync}; make it in `building`"
        )
    return model.distribute_strategy.scope()


def count_replicas():
    """Return the number of replicas that share a batch in the current context.

    1 on JAX, where a batch on several devices is still one array.
    """
    if not _mirrors():
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def average_over_replicas(gradients):
    """Average the gradients of a replica, tensors or None, over all replicas.

    Keras sums over replicas after clipping, and checks overflow in each alone: here all
    replicas clip and check the same gradient.
    """
    if not _mirrors():
        return gradients
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return gradients
    known = [gradient for gradient in gradients if gradient is not None]
    means = iter(context.all_reduce(tf.distribute.ReduceOp.MEAN, known))
    return [None if gradient is None else next(means) for gradient in gradients]


def share_loss(model):
    """Divide a model's loss by the number of replicas, as Keras does with its losses.

    The sum of losses, and of gradients, is then the mean over the whole batch.
    """
    whole, replicas = model.compute_loss, count_replicas()

    @wraps(whole)
    def share(*args, **kwargs):
        return whole(*args, **kwargs) / replicas

    model.compute_loss = share


class EqualShares(keras.utils.PyDataset):
    """Batches whose rows, padded with their own, are multiples of `shares`.

    `data` are the batches of a PyDataset: arrays, or tuples and dicts of them.
    """

    def __init__(self, data, shares):
        super().__init__(
            workers=data.workers,
            use_multiprocessing=data.use_multiprocessing,
            max_queue_size=data.max_queue_size,
        )
        self.data, self.shares = data, shares

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        return keras.tree.map_structure(self._fill, self.data[index])

    def _fill(self, rows):
        whole = -(-len(rows) // self.shares) * self.shares
        return np.take(rows, np.arange(whole) % len(rows), axis=0)

    def on_epoch_begin(self):
        self.data.on_epoch_begin()

    def on_epoch_end(self):
        self.data.on_epoch_end()


def _mirrors():
    """Return whether the backend keeps a replica of the model on each device."""
    return keras.backend.backend() == "tensorflow"
