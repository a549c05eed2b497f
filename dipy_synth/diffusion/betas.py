"""Alpha-bar of the discrete schedules: the signal power after each step.

Each takes the number of steps and the first and last beta (which the smooth ones
ignore), and returns an ndarray of shape (steps,). They are those of
`dipy_synth.diffusion.schedules.DiscreteDiffusion`.
"""

import numpy as np


def _from_betas(betas):
    return np.cumprod(1 - betas)


def _linear(steps, start, end):
    return _from_betas(np.linspace(start, end, steps))


def _scaled_linear(steps, start, end):
    return _from_betas(np.linspace(start**0.5, end**0.5, steps) ** 2)


def _smooth(steps, power):
    """Compute alpha-bar of a smooth schedule, with betas kept below 0.999."""
    whole = power(np.linspace(0, 1, steps + 1))
    return _from_betas(np.minimum(1 - whole[1:] / whole[:-1], 0.999))


def _cosine(steps, start, end):
    return _smooth(steps, lambda t: np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2)


def _sigmoid(steps, start, end):
    def power(t):
        low, high, here = (1 / (1 + np.exp(-x)) for x in (-3.0, 3.0, 6 * t - 3))
        return (high - here) / (high - low)

    return _smooth(steps, power)


ALPHA_BARS = {
    "linear": _linear,
    "scaled_linear": _scaled_linear,
    "cosine": _cosine,
    "sigmoid": _sigmoid,
}
