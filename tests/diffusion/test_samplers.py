"""Samplers against data whose exact denoiser is known."""

import numpy as np
import pytest

from dipy_synth.diffusion.samplers import SAMPLERS, network_calls
from dipy_synth.diffusion.schedules import RectifiedFlow

MEAN, STD = 1.5, 0.4


def gaussian_denoiser(x, t):
    """E[x0 | x_t] of N(MEAN, STD ** 2) data."""
    alpha, sigma = 1 - t, t
    gain = alpha * STD**2 / (alpha**2 * STD**2 + sigma**2)
    return MEAN + gain * (x - alpha * MEAN)


def mixture_denoiser(x, t, *, modes=(-2.0, 2.0), weights=(0.25, 0.75), std=0.1):
    """E[x0 | x_t] of a mixture of two Gaussians."""
    alpha, sigma = 1 - t, t
    variance = alpha**2 * std**2 + sigma**2
    logs = [
        np.log(w) - (x - alpha * m) ** 2 / (2 * variance)
        for m, w in zip(modes, weights)
    ]
    share = 1 / (1 + np.exp(np.clip(logs[0] - logs[1], -50, 50)))
    means = [m + alpha * std**2 / variance * (x - alpha * m) for m in modes]
    return (1 - share) * means[0] + share * means[1]


@pytest.fixture
def noise():
    return np.random.default_rng(0).standard_normal((20_000, 1))


@pytest.mark.parametrize("name", SAMPLERS)
def test_gaussian_mean_and_variance(name, noise):
    times = RectifiedFlow().sampling_times(200)
    x = SAMPLERS[name](gaussian_denoiser, noise, times)
    assert abs(x.mean() - MEAN) < 0.02
    assert abs(x.std() - STD) < 0.02


@pytest.mark.parametrize("name", SAMPLERS)
def test_mixture_weights(name, noise):
    times = RectifiedFlow().sampling_times(200)
    x = SAMPLERS[name](mixture_denoiser, noise, times)
    assert abs((x > 0).mean() - 0.75) < 0.02
    assert abs(x[x > 0].mean() - 2) < 0.02


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("heun", 2)])
def test_order_of_convergence(name, order, noise):
    # the flow of Gaussian data is known: noise z ends at MEAN + STD * z
    exact = MEAN + STD * noise
    errors = []
    for steps in (40, 80):
        x = SAMPLERS[name](
            gaussian_denoiser, noise, RectifiedFlow().sampling_times(steps)
        )
        errors.append(np.abs(x - exact).mean())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.35)


@pytest.mark.parametrize("name", SAMPLERS)
def test_calls_are_counted_and_states_shown(name, noise):
    calls, states = [], []

    def denoise(x, t):
        calls.append(t)
        return gaussian_denoiser(x, t)

    times = RectifiedFlow().sampling_times(7)
    x = SAMPLERS[name](
        denoise, noise, times, callback=lambda step, x_t, x0: states.append((step, x_t))
    )
    assert len(calls) == network_calls(name, 7)
    assert [step for step, _ in states] == list(range(7))
    np.testing.assert_array_equal(states[-1][1], x)
