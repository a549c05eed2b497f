"""Checks of the network: training mode, averaged weights, single-batch overfit."""

import keras
from keras import ops
import numpy as np

from dipy_synth.diagnostics.data_checks import GIVE_COHORT
from dipy_synth.diagnostics.results import grade, make_result, skipped
from dipy_synth.diffusion.normalizer import LatentNormalizer
from dipy_synth.diffusion.pairs import NoisyPairs
from dipy_synth.utils.random import random_stream

SAME = 1e-4  # relative difference of the outputs in the two modes
STEPS, RATE, BATCH = 40, 1e-3, 4
LEARNT, STUCK = 0.6, 0.9  # loss after the steps, relative to that before


def copy_of(network):
    """Copy a network and its weights."""
    copy = network.__class__.from_config(network.get_config())
    copy.set_weights(network.get_weights())
    return copy


def check_modes(context):
    """Check that the outputs in training and in sampling mode are equal."""
    network, inputs = copy_of(context.ldm.network), _some_inputs(context)
    sampling = _call(network, inputs, training=False)
    training = _call(network, inputs, training=True)
    scale = max(float(np.sqrt(np.mean(sampling**2))), 1e-8)
    apart = float(np.sqrt(np.mean((training - sampling) ** 2))) / scale
    names = layers_with_training_mode(network)
    blamed = f"; layers with a training mode: {', '.join(names)}" if names else ""
    return make_result(
        "training and sampling mode",
        grade(passes=apart <= SAME and not names, warns=apart <= SAME),
        f"outputs in the two modes differ by {apart:.2g} of their size{blamed}",
        expected=f"at most {SAME:g}",
        advice="replace BatchNormalization by LayerNormalization, and remove Dropout "
        "from the denoiser",
        values={"difference": apart},
    )


def layers_with_training_mode(network):
    """List the layers that behave differently in training: list of str."""
    layers = keras.layers
    kinds = (layers.BatchNormalization, layers.SpectralNormalization, layers.Dropout)
    kinds += (layers.GaussianDropout, layers.AlphaDropout, layers.GaussianNoise)
    return [
        f"{layer.name} ({type(layer).__name__})"
        for layer in network._flatten_layers(include_self=False)
        if isinstance(layer, kinds) and getattr(layer, "rate", 1) > 0
    ]


def _call(network, inputs, *, training):
    return ops.convert_to_numpy(network(inputs, training=training)).astype("float64")


def _some_inputs(context):
    """Return a batch for the network: latents half way to noise, or pure noise."""
    shape, columns = context.ldm.network.shape, len(context.ldm.schema.names)
    if not context.sides():
        rng = random_stream("diagnostics: networks", seed=context.seed)
        noise = rng.standard_normal((2, *shape), dtype="float32")
        nothing = np.full((2, columns), np.nan, "float32")
        level = np.zeros(2, "float32")
        return {"latents": noise, "noise_level": level, "conditions": nothing}
    x0, conditions = context.chosen(context.sides()[0])
    pairs = _pairs(context, x0[:2], conditions[:2], 2)
    return pairs[0][0]


def _pairs(context, x0, conditions, batch_size):
    """Return pairs of normalised latents, with the preconditioning of the model."""
    variance = context.ldm.normalizer.variance
    identity = np.eye(variance.shape[-1])
    return NoisyPairs(
        x0,
        conditions,
        context.ldm.schedule,
        normalizer=LatentNormalizer(np.zeros_like(variance), identity, variance),
        batch_size=batch_size,
        shuffle=False,
        seed=context.seed,
    )


def check_averaged_weights(context):
    """Check that the model has the averaged weights of its run, not the last ones."""
    name = "averaged weights"
    if context.run is None or not (context.run / "state.npz").is_file():
        return skipped(name, "no training state was given", "pass a run's folder")
    live, others = _stored_weights(context)
    index = _largest_trained(context.ldm.network)
    weight = context.ldm.network.get_weights()[index]
    is_last = index < len(live) and _equal(live[index], weight)
    is_kept = any(_equal(other, weight) for other in others)
    if is_last and is_kept:
        words = "the averaged weights are those of the last step"
    elif is_last:
        words = "the model holds the weights of the last step, not their average"
    elif is_kept:
        words = "the model holds the averaged weights of its run"
    else:
        words = "the model's weights are not in its run's folder"
    return make_result(
        name,
        grade(passes=is_kept and not is_last, warns=not is_last or is_kept),
        words,
        expected="the exponential moving average of the weights",
        advice="repeat the run's command: it writes the model from the averages",
    )


def _largest_trained(network):
    """Return the index of the largest trained weight, which identifies a state."""
    trained = {id(weight) for weight in network.trainable_weights}
    sizes = [np.prod(w.shape) if id(w) in trained else 0 for w in network.weights]
    return int(np.argmax(sizes))


def _stored_weights(context):
    """Read the weights of the last step, and the other state of a run."""
    n = len(context.ldm.network.weights)
    with np.load(context.run / "state.npz", allow_pickle=False) as state:
        live = [state[str(i)] for i in range(n) if str(i) in state.files]
        size = max((w.size for w in live), default=0)
        others = [state[k] for k in state.files if k.isdigit() and int(k) >= n]
    best = context.run / "best.npz"
    if best.is_file():
        with np.load(best, allow_pickle=False) as kept:
            others += [kept[k] for k in kept.files]
    return live, [other for other in others if other.size == size]


def _equal(stored, weight):
    # equal up to float16 rounding
    return stored.shape == weight.shape and np.allclose(
        stored, weight, rtol=2e-3, atol=1e-6
    )


def check_overfit(context, report=None):
    """Check that a copy of the network can overfit one fixed batch.

    `report` is called after each step with its fraction of all steps.
    """
    name = "single-batch overfit"
    if not context.sides():
        return skipped(name, "no latents were given", GIVE_COHORT)
    x0, conditions = context.chosen(context.sides()[-1])
    n = min(BATCH, context.batch_size, len(x0))
    inputs, target, *_ = _pairs(context, x0[:n], conditions[:n], n)[0]
    losses = _losses(copy_of(context.ldm.network), inputs, target, report)
    before, after = losses[0], float(np.mean(losses[-3:]))
    share = after / max(before, 1e-12)
    return make_result(
        name,
        grade(passes=share <= LEARNT, warns=share <= STUCK),
        f"{STEPS} steps on one batch change the loss from {before:.3f} to {after:.3f}",
        expected=f"at most {LEARNT} of what it was",
        advice="the network cannot learn: check for frozen weights, a learning rate "
        "far too low or high, targets of other inputs, or too few channels",
        values={"before": before, "after": after, "share": share},
    )


def _losses(network, inputs, target, report):
    """Train on one batch; return the loss of each step: list of float."""
    network.compile(keras.optimizers.Adam(RATE, global_clipnorm=1.0), loss="mse")
    losses = []
    for _ in range(STEPS):
        try:
            losses.append(float(network.train_on_batch(inputs, target)))
        except ValueError:  # no gradient reaches any weight
            return [float(network.evaluate(inputs, target, verbose=0))] * 3
        if report:
            report(1 / STEPS)
    return losses
