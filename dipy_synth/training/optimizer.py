"""AdamW with EMA of the weights, a schedule by updates, and loss scaling."""

from contextlib import contextmanager
from itertools import accumulate
import math

import keras
from keras import ops
import numpy as np

from dipy_synth.training.devices import average_over_replicas, count_replicas

BLOCK = 2**20  # numbers updated at a time: few operations, small temporaries


@keras.saving.register_keras_serializable("dipy_synth")
class AveragingAdamW(keras.optimizers.Optimizer):
    """AdamW with an exponential moving average of the weights, with warm-up.

    The momentum at update k, from 0, is ``min(average, (1 + k) / (10 + k))``, so that
    a short run is not averaged with its own first weights. The live weights are not
    changed; `averaged` returns the average. With accumulation, an update is done after
    a group of batches.

    Parameters
    ----------
    learning_rate : float or keras.optimizers.schedules.LearningRateSchedule
        The rate, or its schedule.
    average : float, optional
        Largest momentum of the average.
    **options
        ``weight_decay`` (decoupled: :footcite:p:`loshchilov2019adamw`, algorithm 2),
        ``global_clipnorm`` and other options of Keras' optimizers.

    Notes
    -----
    Weights are updated in blocks, each a vector of many small ones. With operations per
    weight (stock AdamW of Keras, with its average) steps of the bundled U-Net take as
    long, but the first one 49 s instead of 18, and training 2.5 GB instead of 2.1
    (``benchmarks/optimizer.py``, one core of x86_64 without AMX, 2026-11-29).

    References
    ----------
    .. footbibliography::
    """

    beta_1, beta_2, epsilon = 0.9, 0.999, 1e-7

    def __init__(self, learning_rate=1e-3, *, average=0.999, **options):
        super().__init__(learning_rate, **options)
        self._longest = average

    def get_config(self):
        """Return the arguments: dict."""
        return {**super().get_config(), "average": self._longest}

    def build(self, variables):
        """Add the state; the average starts at the weights."""
        if self.built:
            return
        super().build(variables)
        self._single = len(self.variables)
        self._blocks = _in_blocks(variables)
        self._momentums, self._velocities, self._averages = (
            [self._add_vector(block, name) for block in self._blocks]
            for name in ("momentum", "velocity", "average")
        )
        for average, block in zip(self._averages, self._blocks):
            # JAX may donate its own buffers only
            average.assign(ops.copy(self._flat_weights(block)))
        keys = map(self._var_key, self._momentums)
        self._numbers = {key: number for number, key in enumerate(keys)}

    def _add_vector(self, block, name):
        size = sum(math.prod(self._trainable_variables[i].shape) for i in block)
        return self.add_variable((size,), initializer="zeros", name=name)

    def _flat_weights(self, block):
        return _flat([self._trainable_variables[i] for i in block])

    def apply(self, grads, trainable_variables=None):
        """Update the weights by the gradients, averaged over replicas."""
        super().apply(average_over_replicas(grads), trainable_variables)

    def _clip_gradients(self, grads):
        return grads  # as vectors, below

    def _apply_weight_decay(self, variables):
        """Skip it; `update_step` applies the weight decay."""

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        """Concatenate the gradients in vectors, and update a block by each."""
        there = {
            self._get_variable_index(v): g for g, v in zip(grads, trainable_variables)
        }
        weights = self._trainable_variables
        vectors = [
            _flat(
                [there[i] if i in there else ops.zeros_like(weights[i]) for i in block]
            )
            for block in self._blocks
        ]
        vectors = super()._clip_gradients(vectors)
        super()._backend_update_step(vectors, self._momentums, learning_rate)

    def update_step(self, gradient, variable, learning_rate):
        """Update a block, identified by its momentum, and then its average."""
        number = self._numbers[self._var_key(variable)]
        block = self._blocks[number]
        m, v, average = (
            vectors[number]
            for vectors in (self._momentums, self._velocities, self._averages)
        )
        rate, keep, momentum = self._rates(learning_rate)
        self.assign_add(m, (1 - self.beta_1) * ops.subtract(gradient, m))
        self.assign_add(v, (1 - self.beta_2) * ops.subtract(ops.square(gradient), v))
        change = ops.multiply(m, rate / keep) / (ops.sqrt(v) + self.epsilon)
        # in place, and weight decay last: a graph would compute functions of weights
        # before the gradients, and store them beside the activations
        for i, part in zip(block, self._parts(change, block)):
            weight = self._trainable_variables[i]
            self.assign_sub(weight, part)
            self.assign_sub(weight, ops.multiply(weight, 1 - keep))
        gap = ops.subtract(self._flat_weights(block), average)
        self.assign_add(average, (1 - momentum) * gap)

    def _rates(self, learning_rate):
        """Compute Adam's rate, the factor of weight decay, and the EMA momentum."""
        rate, step = (ops.cast(n, "float32") for n in (learning_rate, self.iterations))
        keep = 1 - rate * (self.weight_decay or 0.0)
        first, second = (
            1 - ops.power(ops.convert_to_tensor(beta, "float32"), step + 1)
            for beta in (self.beta_1, self.beta_2)
        )
        momentum = ops.minimum(self._longest, (1 + step) / (10 + step))
        return rate * ops.sqrt(second) / first, keep, momentum

    def _parts(self, vector, block):
        """Split the vector of a block into arrays of its weights' shapes."""
        shapes = [self._trainable_variables[i].shape for i in block]
        ends = list(accumulate(math.prod(shape) for shape in shapes))
        parts = ops.split(vector, ends[:-1]) if len(ends) > 1 else [vector]
        return [ops.reshape(part, shape) for part, shape in zip(parts, shapes)]

    def averaged(self):
        """Return the averages of the trainable weights, as arrays in their order."""
        return self._by_weight(self._averages)

    def _by_weight(self, vectors):
        return [
            _array(part)
            for vector, block in zip(vectors, self._blocks)
            for part in self._parts(vector, block)
        ]

    def state(self):
        """Return the state of training: arrays, one set per weight."""
        moments = zip(*map(self._by_weight, (self._momentums, self._velocities)))
        single = map(_array, self.variables[: self._single])
        return [
            *single,
            *(array for pair in moments for array in pair),
            *self.averaged(),
        ]

    def set_state(self, arrays):
        """Restore a `state`."""
        n, start = len(self._trainable_variables), self._single
        for variable, array in zip(self.variables[:start], arrays):
            variable.assign(array)
        moments, averages = arrays[start : start + 2 * n], arrays[start + 2 * n :]
        for vectors, values in (
            (self._momentums, moments[::2]),
            (self._velocities, moments[1::2]),
            (self._averages, averages),
        ):
            for vector, block in zip(vectors, self._blocks):
                vector.assign(np.concatenate([values[i].ravel() for i in block]))


def _in_blocks(variables):
    """Assign weights to blocks: indices per block, in order: list of list of int."""
    blocks, size = [], BLOCK
    for i, variable in enumerate(variables):
        if size >= BLOCK:
            blocks.append([])
            size = 0
        blocks[-1].append(i)
        size += math.prod(variable.shape)
    return blocks


def _flat(tensors):
    """Concatenate tensors as one vector, without a copy of a single one."""
    vectors = [ops.reshape(tensor, (-1,)) for tensor in tensors]
    return vectors[0] if len(vectors) == 1 else ops.concatenate(vectors)


def _array(variable):
    return np.asarray(ops.convert_to_numpy(variable))


@keras.saving.register_keras_serializable("dipy_synth")
class ScaledAdamW(keras.optimizers.LossScaleOptimizer):
    """`AveragingAdamW` with loss scaling for float16.

    An update whose gradients overflow is skipped, and the scale halved.
    """

    def apply(self, grads, trainable_variables=None):
        """Update the weights, if the gradients of all replicas are finite."""
        super().apply(average_over_replicas(grads), trainable_variables)

    def averaged(self):
        """Return the averages of the trainable weights, as arrays in their order."""
        return self.inner_optimizer.averaged()

    def state(self):
        """Return the state of training: arrays, one set per weight."""
        return [*map(_array, self._variables), *self.inner_optimizer.state()]

    def set_state(self, arrays):
        """Restore a `state`."""
        for variable, array in zip(self._variables, arrays):
            variable.assign(array)
        self.inner_optimizer.set_state(arrays[len(self._variables) :])


@keras.saving.register_keras_serializable("dipy_synth")
class WarmCosine(keras.optimizers.schedules.CosineDecay):
    """Warm-up and cosine decay over updates, where the optimizer counts batches.

    Parameters
    ----------
    peak : float
        Largest learning rate.
    warmup, updates : int
        Number of updates of the warm-up, and in all.
    accumulation : int
        Number of batches per update.
    """

    def __init__(self, peak, *, warmup, updates, accumulation):
        super().__init__(
            0.0,
            max(1, updates - warmup),
            alpha=0.02,
            warmup_target=peak,
            warmup_steps=warmup,
        )
        self.accumulation = accumulation
        self._arguments = {"peak": peak, "warmup": warmup, "updates": updates}

    def get_config(self):
        """Return the arguments: dict."""
        return {**self._arguments, "accumulation": self.accumulation}

    def __call__(self, step):
        return super().__call__(ops.floor_divide(step, self.accumulation))


def make_optimizer(settings, *, batches):
    """Make the optimizer of a run of so many batches."""
    updates = max(1, batches // settings.accumulation)
    optimizer = AveragingAdamW(
        WarmCosine(
            settings.learning_rate,
            warmup=max(1, math.ceil(settings.warmup * updates)),
            updates=updates,
            accumulation=settings.accumulation,
        ),
        weight_decay=settings.weight_decay,
        # every replica clips the mean of all; Keras then sums over replicas
        global_clipnorm=settings.clip_norm / count_replicas(),
        gradient_accumulation_steps=(
            settings.accumulation if settings.accumulation > 1 else None
        ),
        average=settings.average,
    )
    scaled = settings.precision == "mixed_float16"
    return ScaledAdamW(optimizer) if scaled else optimizer


@contextmanager
def averaged_weights(model):
    """Use the averaged weights of a model within a context, then restore it."""
    live = [ops.convert_to_numpy(v).copy() for v in model.trainable_variables]
    assign_weights(model, model.optimizer.averaged())
    try:
        yield
    finally:
        assign_weights(model, live)


def assign_weights(model, values):
    """Set the trainable weights of a model from arrays in their order."""
    for variable, value in zip(model.trainable_variables, values):
        variable.assign(value)
