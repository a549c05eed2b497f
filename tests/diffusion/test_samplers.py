"""Samplers against data whose exact denoiser is known."""

from functools import partial

import numpy as np
import pytest

from dipy_synth.diffusion.samplers import (
    SAMPLERS,
    network_calls,
    sample_ddim,
    sample_dpmpp_2m,
)
from dipy_synth.diffusion.schedules import DiscreteDiffusion, RectifiedFlow

MEAN, STD = 1.5, 0.4
FLOW = RectifiedFlow(spacing="time", shift=1)
CHAIN = DiscreteDiffusion(steps=1000, prediction="v", zero_terminal_snr=True)
SCHEDULES = {"flow": FLOW, "chain": CHAIN}


def gaussian(schedule):
    """E[x0 | x_t] of N(MEAN, STD ** 2) data."""

    def denoise(x, t):
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        gain = alpha * STD**2 / (alpha**2 * STD**2 + sigma**2)
        return MEAN + gain * (x - alpha * MEAN)

    return denoise


def mixture(schedule, *, modes=(-2.0, 2.0), weights=(0.25, 0.75), std=0.1):
    """E[x0 | x_t] of a mixture of two Gaussians."""

    def denoise(x, t):
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        variance = alpha**2 * std**2 + sigma**2
        logs = [
            np.log(w) - (x - alpha * m) ** 2 / (2 * variance)
            for m, w in zip(modes, weights)
        ]
        share = 1 / (1 + np.exp(np.clip(logs[0] - logs[1], -50, 50)))
        means = [m + alpha * std**2 / variance * (x - alpha * m) for m in modes]
        return (1 - share) * means[0] + share * means[1]

    return denoise


def fresh(step):
    return np.random.default_rng([7, step]).standard_normal((20_000, 1))


@pytest.fixture
def noise():
    return np.random.default_rng(0).standard_normal((20_000, 1))


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_gaussian_mean_and_variance(name, kind, noise):
    schedule = SCHEDULES[kind]
    times = schedule.sampling_times(250)
    x = SAMPLERS[name](gaussian(schedule), noise, times, schedule, draw=fresh)
    assert abs(x.mean() - MEAN) < 0.02
    assert abs(x.std() - STD) < 0.02


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_mixture_weights(name, kind, noise):
    schedule = SCHEDULES[kind]
    times = schedule.sampling_times(250)
    x = SAMPLERS[name](mixture(schedule), noise, times, schedule, draw=fresh)
    assert abs((x > 0).mean() - 0.75) < 0.02
    assert abs(x[x > 0].mean() - 2) < 0.02
    assert x[x > 0].std() < 0.13


@pytest.mark.parametrize(
    ("name", "order"),
    [("ddim", 1), ("euler", 1), ("heun", 2), ("dpmpp_2m", 2)],
)
def test_order_of_convergence(name, order, noise):
    # the flow of Gaussian data is known: noise z ends at MEAN + STD * z
    noise = noise[:2000]
    exact = MEAN + STD * noise
    errors = []
    for steps in (160, 320):
        x = SAMPLERS[name](gaussian(FLOW), noise, FLOW.sampling_times(steps), FLOW)
        errors.append(np.abs(x - exact).mean())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.35)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_euler_is_ddim(kind, noise):
    schedule = SCHEDULES[kind]
    times = schedule.sampling_times(20)
    euler, ddim = (
        SAMPLERS[name](gaussian(schedule), noise, times, schedule)
        for name in ("euler", "ddim")
    )
    np.testing.assert_allclose(euler, ddim, atol=1e-6)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_ddim_with_all_fresh_noise_is_ddpm(kind, noise):
    schedule = SCHEDULES[kind]
    arguments = gaussian(schedule), noise, schedule.sampling_times(20), schedule
    np.testing.assert_allclose(
        sample_ddim(*arguments, draw=fresh, eta=1.0),
        SAMPLERS["ddpm"](*arguments, draw=fresh),
        atol=1e-6,
    )


def spread_of(sampler, schedule, steps):
    """Return the exact spread that a sampler gives Gaussian data.

    All is linear: column j holds the share of draw j in the state.
    """
    shares, data = np.eye(steps + 1)[:, None], gaussian(schedule)
    end = sampler(
        lambda x, t: data(x, t) - data(np.zeros_like(x), t),
        shares[0],
        schedule.sampling_times(steps),
        schedule,
        draw=lambda step: shares[step + 1],
    )
    return np.linalg.norm(end)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_the_sde_has_the_right_spread_to_second_order(eta):
    """Lu et al. (2022), section 6; on a chain, whose steps are all finite."""
    chain = DiscreteDiffusion(steps=1000, prediction="v")
    sampler = partial(sample_dpmpp_2m, eta=eta)
    left = chain.alpha(1.0) ** 2  # of the signal where sampling starts: 4e-5
    errors = [abs(spread_of(sampler, chain, n) - STD) for n in (100, 200)]
    assert errors[1] < 0.4 * errors[0] + left


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_a_step_of_the_sde_is_that_of_the_paper(eta):
    """Lu et al. (2022), eq. 18: what is kept falls as exp(-h), h the step's width."""
    times, x0 = np.array([0.8, 0.5, 0.0]), 0.7
    seen = []
    sample_dpmpp_2m(
        lambda x, t: x0 + 0 * x,
        np.array([[1.3]]),
        times,
        FLOW,
        draw=lambda step: np.array([[0.4]]),
        eta=eta,
        callback=lambda step, x, _: seen.append(float(x[0, 0])),
    )
    h = np.log((0.5 / 0.5) / (0.2 / 0.8))
    expected = (0.5 / 0.8) * np.exp(-eta * h) * 1.3
    expected += 0.5 * (1 - np.exp(-(1 + eta) * h)) * x0
    expected += 0.5 * np.sqrt(1 - np.exp(-2 * eta * h)) * 0.4
    assert seen[0] == pytest.approx(expected)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_fresh_noise_replaces_what_it_takes_away(eta):
    """Where the image is known, a state keeps the variance of its noise."""
    times = FLOW.sampling_times(6)
    seen = []
    sample_dpmpp_2m(
        lambda x, t: 0 * x,
        np.eye(7)[0][None],
        times,
        FLOW,
        draw=lambda step: np.eye(7)[step + 1][None],
        eta=eta,
        callback=lambda step, x, x0: seen.append(np.linalg.norm(x)),
    )
    np.testing.assert_allclose(seen, FLOW.sigma(times[1:]), atol=1e-9)


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("name", ["ddpm", "ddpm_large"])
def test_ancestral_sampling_has_the_right_spread_to_first_order(name, kind):
    schedule = SCHEDULES[kind]
    errors = [abs(spread_of(SAMPLERS[name], schedule, n) - STD) for n in (100, 200)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(1, abs=0.35)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sample_is_the_same_whatever_the_batch(name, noise):
    def sample(rows):
        return SAMPLERS[name](
            mixture(FLOW),
            noise[rows],
            FLOW.sampling_times(9),
            FLOW,
            draw=lambda step: fresh(step)[rows],
        )

    np.testing.assert_array_equal(sample(slice(40))[[3, 7]], sample([3, 7]))


def test_the_large_variance_is_the_larger(noise):
    arguments = gaussian(CHAIN), noise, CHAIN.sampling_times(50), CHAIN
    small, large = (
        SAMPLERS[name](*arguments, draw=fresh).std() for name in ("ddpm", "ddpm_large")
    )
    assert small < STD < large


def test_starting_a_short_chain_from_noise_misses_the_mean(noise):
    """What the original work did: alpha-bar 0.13 is left, and taken for noise."""
    short = DiscreteDiffusion(steps=200)
    x = SAMPLERS["ddim"](gaussian(short), noise, short.sampling_times(200), short)
    assert abs(x.mean() - MEAN) > 0.1


@pytest.mark.parametrize("name", SAMPLERS)
def test_calls_are_counted_and_states_shown(name, noise):
    calls, states = [], []
    denoise = gaussian(FLOW)

    def counted(x, t):
        calls.append(t)
        return denoise(x, t)

    x = SAMPLERS[name](
        counted,
        noise,
        FLOW.sampling_times(7),
        FLOW,
        draw=fresh,
        callback=lambda step, x_t, x0: states.append((step, x_t)),
    )
    assert len(calls) == network_calls(name, 7)
    assert [step for step, _ in states] == list(range(7))
    np.testing.assert_array_equal(states[-1][1], x)


@pytest.mark.parametrize("name", SAMPLERS)
def test_single_precision_stays_single(name, noise):
    x = SAMPLERS[name](
        lambda x, t: 0.5 * x,
        noise.astype("float32"),
        FLOW.sampling_times(3),
        FLOW,
        draw=lambda step: fresh(step).astype("float32"),
    )
    assert x.dtype == np.float32
