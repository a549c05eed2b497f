"""AdamW with averaged weights, a schedule by updates, and scaled losses."""

from contextlib import contextmanager
import math

import keras
from keras import ops
import numpy as np

from dipy_synth.training.devices import average_over_replicas, count_replicas


class AveragingAdamW(keras.optimizers.AdamW):
    """AdamW that keeps an average of the weights, short at first and long later.

    The momentum at update k, from 0, is ``min(average, (1 + k) / (10 + k))``, so that
    a short run is not averaged with its own first weights. The live weights are left
    alone; `averaged` gives the average. With accumulation, an update is what ends a
    group of batches.
    """

    def __init__(self, *args, average=0.999, **kwargs):
        super().__init__(*args, **kwargs)
        self._longest = average

    def build(self, variables):
        """Make the state; the average starts at the weights."""
        if self.built:
            return
        super().build(variables)
        self._averages = self.add_optimizer_variables(variables, "average")
        for average, variable in zip(self._averages, variables):
            average.assign(ops.copy(variable))  # JAX may donate only its own

    def apply(self, grads, trainable_variables=None):
        """Update the weights by the gradients, of all replicas alike."""
        super().apply(average_over_replicas(grads), trainable_variables)

    def update_step(self, gradient, variable, learning_rate):
        """Update one weight, and its average after it."""
        super().update_step(gradient, variable, learning_rate)
        step = ops.cast(self.iterations, variable.dtype)
        momentum = ops.minimum(self._longest, (1 + step) / (10 + step))
        average = self._averages[self._get_variable_index(variable)]
        self.assign_add(average, (1 - momentum) * ops.subtract(variable, average))

    def averaged(self):
        """Give the averages of the trainable weights, as arrays in their order."""
        return [np.asarray(ops.convert_to_numpy(a)) for a in self._averages]


class ScaledAdamW(keras.optimizers.LossScaleOptimizer):
    """`AveragingAdamW` with a loss scaled for float16.

    An update whose gradients overflow is left out, and the scale halved.
    """

    def apply(self, grads, trainable_variables=None):
        """Update the weights, if the gradients of all replicas are finite."""
        super().apply(average_over_replicas(grads), trainable_variables)

    def averaged(self):
        """Give the averages of the trainable weights, as arrays in their order."""
        return self.inner_optimizer.averaged()


class WarmCosine(keras.optimizers.schedules.CosineDecay):
    """Warm-up and cosine over updates, where the optimizer counts batches.

    Parameters
    ----------
    peak : float
        Largest learning rate.
    warmup, updates : int
        Updates in warming up, and in all.
    accumulation : int
        Batches an update.
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

    def __call__(self, step):
        return super().__call__(ops.floor_divide(step, self.accumulation))


def make_optimizer(settings, *, batches):
    """Make the optimizer of a run.

    Parameters
    ----------
    settings : TrainingSettings
        The run's settings.
    batches : int
        Batches of the whole run.

    Returns
    -------
    AveragingAdamW or ScaledAdamW
    """
    updates = max(1, batches // settings.accumulation)
    optimizer = AveragingAdamW(
        WarmCosine(
            settings.learning_rate,
            warmup=max(1, math.ceil(settings.warmup * updates)),
            updates=updates,
            accumulation=settings.accumulation,
        ),
        weight_decay=settings.weight_decay,
        # every replica clips the mean of all, and Keras then sums over replicas
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
    """Look at a model in training with its averaged weights, then put it back."""
    live = [ops.convert_to_numpy(v).copy() for v in model.trainable_variables]
    assign_weights(model, model.optimizer.averaged())
    try:
        yield
    finally:
        assign_weights(model, live)


def assign_weights(model, values):
    """Set the trainable weights of a model, arrays in their order."""
    for variable, value in zip(model.trainable_variables, values):
        variable.assign(value)
