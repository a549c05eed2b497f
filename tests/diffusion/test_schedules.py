"""Schedules: endpoints, conversions, times, terminal noise, weights."""

import numpy as np
import pytest

from dipy_synth.diffusion.betas import ALPHA_BARS
from dipy_synth.diffusion.samplers import sample_dpmpp_2m
from dipy_synth.diffusion.schedules import (
    DiscreteDiffusion,
    RectifiedFlow,
    choose_schedule,
    make_schedule,
)
from dipy_synth.errors import InputError

SCHEDULES = [
    RectifiedFlow(),
    RectifiedFlow(prediction="v", times="uniform", shift=2.0),
    RectifiedFlow(prediction="image"),
    *[DiscreteDiffusion(steps=50, betas=name) for name in ALPHA_BARS],
    DiscreteDiffusion(prediction="v", zero_terminal_snr=True),
    DiscreteDiffusion(prediction="image", betas="cosine"),
    DiscreteDiffusion(prediction="velocity", betas="scaled_linear"),
    RectifiedFlow(prediction="preconditioned", times="log_snr", noise_range=(0.1, 9)),
    DiscreteDiffusion(prediction="preconditioned", steps=200),
]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_prediction_gives_back_the_image(schedule, rng):
    x0, noise = rng.normal(size=(2, 3, 4, 4, 2))
    t = np.array([0.2, 0.5, 0.9])
    x_t = schedule.add_noise(x0, noise, t)
    for variance in (1.0, rng.uniform(0.1, 4, (4, 4, 2))):
        prediction = schedule.target(x0, noise, t, variance=variance)
        found = schedule.to_x0(prediction, x_t, t, variance=variance)
        np.testing.assert_allclose(found, x0, atol=2e-5)


@pytest.mark.parametrize(
    "schedule", [s for s in SCHEDULES if s.prediction == "preconditioned"]
)
def test_a_preconditioned_prediction_of_zero_is_the_best_linear_estimate(schedule, rng):
    variance, x_t = rng.uniform(0.1, 4, (4, 4, 2)), rng.normal(size=(3, 4, 4, 2))
    t = np.array([0.2, 0.5, 0.9])
    found = schedule.to_x0(0 * x_t, x_t, t, variance=variance)
    alpha, sigma = (f(t).reshape(3, 1, 1, 1) for f in (schedule.alpha, schedule.sigma))
    wiener = alpha * variance / (alpha**2 * variance + sigma**2) * x_t
    np.testing.assert_allclose(found, wiener, rtol=1e-5)


def test_preconditioned_inputs_and_targets_have_unit_variance(rng):
    """Karras et al., eq. 7 and appendix B.6, the variance being a map."""
    flow = RectifiedFlow(prediction="preconditioned", times="log_snr")
    variance = np.array([0.05, 1.0, 20.0])
    x0 = rng.standard_normal((100_000, 3)) * np.sqrt(variance)
    noise = rng.standard_normal(x0.shape)
    for t in (0.05, 0.5, 0.95):
        x_t = flow.add_noise(x0, noise, t)
        target = flow.target(x0, noise, t, variance=variance)
        seen = flow.scale_input(x_t, t, variance=variance)
        np.testing.assert_allclose(target.std(axis=0), 1, atol=0.02)
        np.testing.assert_allclose(seen.std(axis=0), 1, atol=0.02)
        assert np.abs(np.mean(target * x_t, axis=0)).max() < 0.02 * x_t.std()
    np.testing.assert_array_equal(RectifiedFlow().scale_input(x0, 0.5), x0)


def test_errors_are_weighted_as_those_of_the_image(rng):
    """With a mean of 1 over each image, whatever its noise."""
    flow = RectifiedFlow(prediction="preconditioned", times="log_snr")
    variance, t = rng.uniform(0.05, 4, (5, 4, 2)), np.array([0.1, 0.5, 0.9])
    x0 = np.zeros((3, 5, 4, 2))
    weight = flow.error_weight(t, x0, variance=variance)
    assert weight.shape == x0.shape
    np.testing.assert_allclose(weight.mean(axis=(1, 2, 3)), 1, rtol=1e-5)
    one = flow.to_x0(np.ones_like(x0), x0, t, variance=variance)
    ratio = weight / one**2  # of squared errors of prediction and image
    np.testing.assert_allclose(ratio, ratio[:, :1, :1, :1] + 0 * ratio, rtol=1e-4)
    plain = RectifiedFlow().error_weight(t, x0, variance=variance)
    np.testing.assert_array_equal(plain + 0 * x0, 1)


def test_log_snr_times_are_even_in_the_logarithm_of_the_ratio(rng):
    flow = RectifiedFlow(times="log_snr", noise_range=(0.05, 5))
    ratio = flow.noise_to_signal(flow.training_times(20_000, rng))
    assert 0.0499 < ratio.min() < 0.051 and 4.9 < ratio.max() < 5.001
    counts, _ = np.histogram(np.log(ratio), bins=10)
    assert counts.min() > 1800
    assert flow.highest_ratio == 5 and RectifiedFlow().highest_ratio == np.inf


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_noise_levels_are_finite_logarithms_of_the_ratio(schedule):
    t = np.array([0.2, 0.5, 0.9])
    ratio = schedule.sigma(t) / schedule.alpha(t)
    np.testing.assert_allclose(schedule.noise_level(t), np.log(ratio), rtol=1e-5)
    assert np.isfinite(schedule.noise_level(np.array([1e-9, 1.0]))).all()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_power_falls_from_all_image(schedule):
    t = np.linspace(0, 1, 101)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    assert alpha[0] == 1 and sigma[0] == 0
    assert np.all(np.diff(alpha) < 0) and np.all(np.diff(sigma) > 0)
    if isinstance(schedule, DiscreteDiffusion):
        np.testing.assert_allclose(alpha**2 + sigma**2, 1)


def test_a_flow_ends_in_exact_noise(rng):
    x0, noise = rng.normal(size=(2, 3, 4, 5, 1))
    np.testing.assert_array_equal(RectifiedFlow().add_noise(x0, noise, 0.0), x0)
    np.testing.assert_array_equal(RectifiedFlow().add_noise(x0, noise, 1.0), noise)


@pytest.mark.parametrize(
    ("steps", "left"), [(200, 0.13), (300, 0.05), (500, 0.006), (1000, 4e-5)]
)
def test_a_short_linear_chain_does_not_reach_noise(steps, left):
    schedule = DiscreteDiffusion(steps=steps)
    assert schedule.alpha(1.0) ** 2 == pytest.approx(left, rel=0.1)
    mended = DiscreteDiffusion(steps=steps, prediction="v", zero_terminal_snr=True)
    assert mended.alpha(1.0) == 0
    first = 1 / steps
    assert mended.alpha(first) == pytest.approx(schedule.alpha(first))


def test_linear_chain_is_the_product_of_its_betas():
    betas = np.linspace(1e-4, 0.02, 10)
    schedule = DiscreteDiffusion(steps=10)
    for k in (1, 4, 10):
        assert schedule.alpha(k / 10) ** 2 == pytest.approx(np.prod(1 - betas[:k]))


def test_flow_times_are_logit_normal_or_uniform(rng):
    flow = RectifiedFlow(times="logit_normal", logit_mean=0.5, logit_std=0.8, shift=1)
    t = flow.training_times(20_000, rng)
    logits = np.log(t / (1 - t))
    assert abs(logits.mean() - 0.5) < 0.03
    assert abs(logits.std() - 0.8) < 0.03
    t = RectifiedFlow(shift=1).training_times(20_000, rng)
    assert abs(t.mean() - 0.5) < 0.01 and abs(t.std() - 12**-0.5) < 0.01


@pytest.mark.parametrize("times", ["uniform", "logit_normal"])
def test_a_shift_moves_training_and_sampling_alike(times):
    """Esser et al., eq. 23: t becomes s t / (1 + (s - 1) t)."""
    plain, moved = (RectifiedFlow(times=times, shift=s, spacing="time") for s in (1, 3))
    t, after = (
        flow.training_times(100, np.random.default_rng(1)) for flow in (plain, moved)
    )
    np.testing.assert_allclose(after, 3 * t / (1 + 2 * t), rtol=1e-5)
    t = plain.sampling_times(10)
    np.testing.assert_allclose(t, np.linspace(1, 0, 11))
    np.testing.assert_allclose(moved.sampling_times(10), 3 * t / (1 + 2 * t))


def test_the_default_flow_is_trained_where_its_sampler_begins(rng):
    flow = RectifiedFlow()
    visited = flow.sampling_times(24, size=20 * 24 * 20 * 16)
    trained = flow.training_times(100_000, rng)
    assert trained.max() > visited[1]
    assert np.mean(trained > visited[8]) > 0.05  # a third of the steps lie there


def test_chain_times_are_its_steps(rng):
    t = DiscreteDiffusion(steps=5).training_times(5000, rng)
    values, counts = np.unique(np.round(t * 5).astype(int), return_counts=True)
    assert values.tolist() == [1, 2, 3, 4, 5]
    assert counts.min() > 900


@pytest.mark.parametrize("steps", [1, 2, 10])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_sampling_times_fall_from_one_to_zero(schedule, steps):
    times = schedule.sampling_times(steps, size=1000)
    assert times[0] == 1 and times[-1] == 0 and len(times) == steps + 1
    assert np.all(np.diff(times) < 0)


def test_steps_are_even_in_signal_to_noise_from_the_deepest_noise_of_use():
    flow = RectifiedFlow()
    ratio = flow.noise_to_signal(flow.sampling_times(24, size=400**2)[1:-1])
    np.testing.assert_allclose(np.diff(np.log(ratio)), np.log(0.05 / 400) / 22)
    assert ratio[0] == pytest.approx(400) and ratio[-1] == pytest.approx(0.05)


def test_steps_even_in_time_miss_what_deep_noise_decides():
    """Gaussian axes, exact denoiser: the spread that the default sampler brings back.

    Of an axis along which 400^2 numbers vary together, by 83 of their own standard
    deviations, the size of a brain being one, even steps in time keep a third.
    """
    variance = np.array([83.0, 22.0, 3.0, 1.0, 0.3]) ** 2
    found = {}
    for spacing in ("log_snr", "time"):
        flow = RectifiedFlow(spacing=spacing, shift=1)

        def denoise(x, t):
            return (1 - t) * variance * x / ((1 - t) ** 2 * variance + t**2)

        times = flow.sampling_times(24, size=400**2)
        made = sample_dpmpp_2m(denoise, np.ones((1, 5)), times, flow)
        found[spacing] = made[0] / np.sqrt(variance)
    np.testing.assert_allclose(found["log_snr"], 1, atol=0.025)
    assert found["time"][0] < 1 / 3


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_config_round_trip(schedule):
    again = make_schedule(schedule.to_config())
    assert again.to_config() == schedule.to_config()
    assert again.alpha(0.37) == schedule.alpha(0.37)


@pytest.mark.parametrize(
    ("cls", "wrong"),
    [
        (RectifiedFlow, {"prediction": "noise"}),
        (RectifiedFlow, {"prediction": "colour"}),
        (RectifiedFlow, {"times": "late"}),
        (RectifiedFlow, {"shift": 0}),
        (RectifiedFlow, {"noise_range": (2, 1)}),
        (RectifiedFlow, {"noise_range": (0, 1)}),
        (RectifiedFlow, {"noise_range": (1, 2, 3)}),
        (RectifiedFlow, {"logit_std": 0}),
        (DiscreteDiffusion, {"betas": "round"}),
        (DiscreteDiffusion, {"steps": 0}),
        (DiscreteDiffusion, {"zero_terminal_snr": True}),
    ],
)
def test_what_cannot_be_is_reported(cls, wrong):
    with pytest.raises(InputError, match="expected"):
        cls(**wrong)


def test_schedules_by_the_options_of_a_command_line():
    assert isinstance(choose_schedule(prediction=None), RectifiedFlow)
    chain = choose_schedule("cosine", steps=300, prediction="v", zero_terminal_snr=True)
    assert (chain.steps, chain.betas, chain.prediction) == (300, "cosine", "v")
    assert chain.alpha(1.0) == 0
    flow = choose_schedule(times="uniform", shift=2.0, zero_terminal_snr=False)
    assert (flow.times, flow.shift) == ("uniform", 2)
    preset = {"name": "rectified_flow", "prediction": "v", "shift": 1.0}
    flow = choose_schedule(default=preset, shift=2.0, times=None)
    assert (flow.prediction, flow.shift) == ("v", 2)
    assert choose_schedule("cosine", default=preset).prediction == "noise"
    short = {"name": "discrete_diffusion", "steps": 100, "betas": "sigmoid"}
    chain = choose_schedule(default=short, prediction="v")
    assert (chain.steps, chain.betas, chain.prediction) == (100, "sigmoid", "v")
    for wrong in (
        {"name": "round"},
        {"zero_terminal_snr": True},
        {"steps": 300},
        {"name": "linear", "shift": 2.0},
        {"name": "linear", "noise_range": (0.1, 1)},
    ):
        with pytest.raises(InputError):
            choose_schedule(**wrong)


def test_options_that_are_not_given_are_the_presets():
    flow = RectifiedFlow(
        prediction="preconditioned", times="log_snr", noise_range=(0.1, 4)
    ).to_config()
    assert choose_schedule(default=flow).to_config() == flow
    wider = choose_schedule("rectified_flow", default=flow, noise_range=(0.1, 9))
    assert wider.to_config() == {**flow, "noise_range": [0.1, 9.0]}
    chain = {"name": "discrete_diffusion", "steps": 200}
    made = choose_schedule("cosine", default=chain, prediction="v")
    assert (made.steps, made.betas, made.prediction) == (200, "cosine", "v")
    assert choose_schedule(default=chain).steps == 200
    # of the other kind nothing is taken over
    assert choose_schedule("linear", default=flow).prediction == "noise"
    assert choose_schedule("rectified_flow", default=chain).prediction == "velocity"
    with pytest.raises(InputError, match="expected with discrete_diffusion"):
        choose_schedule(default=flow, steps=10)


def test_levels_of_noise_are_alike_whatever_the_schedule():
    levels = [1 / 9, 3 / 7, 1, 7 / 3, 9]
    for schedule in (RectifiedFlow(), DiscreteDiffusion(), RectifiedFlow(shift=3.0)):
        t = schedule.times_at(levels)
        ratio = schedule.sigma(t) / schedule.alpha(t)
        np.testing.assert_allclose(ratio, levels, rtol=0.01)
    short = DiscreteDiffusion(steps=100)
    assert short.times_at(levels)[-1] == 1  # it gets no farther
