"""Noise per sample, and guidance, in closed form."""

import numpy as np
import pytest

from dipy_synth.diffusion.guidance import guided_denoiser
from dipy_synth.diffusion.noise import NoiseStreams, sample_numbers
from dipy_synth.diffusion.pairs import NoisyPairs
from dipy_synth.diffusion.sampling_settings import SamplingSettings
from dipy_synth.diffusion.schedules import RectifiedFlow
from dipy_synth.errors import InputError


def test_noise_belongs_to_seed_and_number():
    together = NoiseStreams(1, (3, 4), (5, 2))
    alone = NoiseStreams(1, (4,), (5, 2))
    np.testing.assert_array_equal(together.start()[1], alone.start()[0])
    np.testing.assert_array_equal(together.at_step(2)[1], alone.at_step(2)[0])
    drawn = [together.start(), together.at_step(0), together.at_step(1)]
    drawn.append(NoiseStreams(2, (3, 4), (5, 2)).start())
    flat = np.concatenate([noise.reshape(2, -1) for noise in drawn])
    assert len(np.unique(flat[:, 0])) == len(flat)


def test_each_attempt_has_noise_of_its_own():
    first, third, other = (
        NoiseStreams(1, (3, 4), (50,), attempts=attempts)
        for attempts in ((0, 0), (0, 2), (2, 0))
    )
    np.testing.assert_array_equal(first.start(), NoiseStreams(1, (3, 4), (50,)).start())
    np.testing.assert_array_equal(first.start()[0], third.start()[0])
    drawn = [first.start(), first.at_step(0), first.at_step(1), third.start()[1:]]
    drawn += [other.start()[:1], third.at_step(0)[1:], other.at_step(0)[:1]]
    # a seed of two words must not pass for a number and a seed
    drawn.append(NoiseStreams(1 + 2**32 * 3, (0,), (50,)).start())
    drawn.append(NoiseStreams(3, (1,), (50,)).start())
    assert len(np.unique(np.concatenate(drawn)[:, 0])) == sum(map(len, drawn))
    for wrong in ((0,), (0, -1)):
        with pytest.raises(InputError, match="attempts"):
            NoiseStreams(1, (3, 4), (50,), attempts=wrong)


def test_noise_of_a_sample_was_never_noise_of_the_training():
    shape, seed, epoch = (1, 4, 4, 4, 2), 5, 3
    pairs = NoisyPairs(
        np.zeros(shape, "float32"),
        np.zeros((1, 0), "float32"),
        RectifiedFlow(),
        seed=seed,
        epoch=epoch,
    )
    trained = -pairs[0][1]  # of images that are zero, the velocity is their noise
    sampled = NoiseStreams(seed, range(8), shape[1:]).start()
    flat = sampled.reshape(8, -1) @ trained.reshape(-1) / trained.size
    assert np.abs(flat).max() < 0.5


def test_guidance_moves_past_what_the_conditions_say():
    calls = []

    def constant(inputs):
        calls.append(inputs["noise_level"].tolist())
        asked = not np.isnan(inputs["conditions"]).all()
        return np.full_like(inputs["latents"], 3.0 if asked else 1.0)

    state = np.zeros((1, 4, 4, 2), "float32")
    wanted = np.array([[0.5, 1.0]], "float32")
    for conditions, guidance, velocity, times in (
        (wanted, 1.0, 3.0, 1),
        (wanted, 2.0, 5.0, 2),
        (wanted * np.nan, 2.0, 1.0, 1),
    ):
        calls.clear()
        settings = SamplingSettings(guidance=guidance)
        denoise = guided_denoiser(constant, RectifiedFlow(), conditions, settings)
        np.testing.assert_allclose(denoise(state, 0.5), -0.5 * velocity)
        assert calls == [[0.0]] * times  # log(sigma / alpha)


def test_guidance_acts_within_its_interval_alone():
    """Kynkaanniemi et al. (2024); outside of it the network is called once."""
    calls = []

    def constant(inputs):
        calls.append(1)
        asked = not np.isnan(inputs["conditions"]).all()
        return np.full_like(inputs["latents"], 3.0 if asked else 1.0)

    state, wanted = np.zeros((1, 4, 4, 2), "float32"), np.array([[0.5]], "float32")
    settings = SamplingSettings(guidance=2.0, guidance_interval=(0.25, 1.0))
    denoise = guided_denoiser(constant, RectifiedFlow(), wanted, settings)
    for ratio, velocity in ((0.2, 3), (0.25, 5), (1.0, 5), (1.1, 3)):
        calls.clear()
        t = ratio / (1 + ratio)
        np.testing.assert_allclose(denoise(state, t), -t * velocity, rtol=1e-6)
        assert len(calls) == (2 if velocity == 5 else 1)


def test_preconditioned_states_are_scaled_on_the_way_in_and_out():
    flow = RectifiedFlow(prediction="preconditioned", times="log_snr")
    rng, t = np.random.default_rng(0), 0.3
    variance = rng.uniform(0.1, 3, (4, 4, 2)).astype("float32")
    x0, noise = rng.normal(size=(2, 2, 4, 4, 2)).astype("float32")
    x_t = flow.add_noise(x0, noise, t)

    def perfect(inputs):
        scaled = x_t / np.sqrt(0.7**2 * variance + 0.3**2)
        np.testing.assert_allclose(inputs["latents"], scaled, rtol=1e-5)
        np.testing.assert_allclose(inputs["noise_level"], np.log(0.3 / 0.7), rtol=1e-5)
        return flow.target(x0, noise, t, variance=variance)

    nothing = np.zeros((2, 0), "float32")
    denoise = guided_denoiser(perfect, flow, nothing, variance=variance)
    np.testing.assert_allclose(denoise(x_t, t), x0, atol=1e-5)


@pytest.mark.parametrize("prediction", ["preconditioned", "velocity"])
def test_autoguidance_extrapolates_from_the_guide(prediction):
    """Karras et al. (2024), in its interval alone; the guide is called there alone."""
    flow = RectifiedFlow(prediction=prediction)
    rng, calls = np.random.default_rng(0), []
    x_t, strong, weak = rng.normal(size=(3, 2, 4, 4, 2)).astype("float32")

    def guide(inputs):
        calls.append(inputs["conditions"].tolist())
        return weak

    wanted = np.full((2, 1), 0.5, "float32")
    settings = SamplingSettings(autoguidance=1.5, autoguidance_interval=(0.5, 2))
    denoise = guided_denoiser(lambda _: strong, flow, wanted, settings, guide=guide)
    for ratio, scale in ((0.4, 1.0), (0.6, 1.5), (1.9, 1.5), (2.1, 1.0)):
        t = ratio / (1 + ratio)
        own, other = (flow.to_x0(each, x_t, t) for each in (strong, weak))
        expected = own + across((scale - 1) * (own - other), own)
        np.testing.assert_allclose(denoise(x_t, t), expected, atol=1e-5)
    assert calls == [wanted.tolist()] * 2


def across(change, x0):
    """Leave out of a change what is along each channel of each sample."""
    left = change.copy()
    for sample in range(len(x0)):
        for channel in range(x0.shape[-1]):
            where = (sample, ..., channel)
            along = np.vdot(change[where], x0[where]) / np.vdot(x0[where], x0[where])
            left[where] -= max(along, 0) * x0[where]
    return left


def test_what_only_deepens_folds_is_left_out():
    flow, rng = RectifiedFlow(prediction="image"), np.random.default_rng(0)
    state, own, other = rng.normal(size=(3, 2, 4, 4, 2)).astype("float32")
    settings, nothing = SamplingSettings(autoguidance=3.0), np.zeros((2, 0), "float32")
    for guide, moved in ((0.5 * own, False), (other, True)):
        denoise = guided_denoiser(
            lambda _: own, flow, nothing, settings, guide=lambda _, weak=guide: weak
        )
        changed = np.abs(denoise(state, 0.5) - own).max() > 1e-5
        assert changed == moved


def test_both_kinds_of_guidance_add_up():
    rng, flow = np.random.default_rng(0), RectifiedFlow()
    state, own, plain, weak = rng.normal(size=(4, 1, 4, 4, 2)).astype("float32")

    def network(inputs):
        return plain if np.isnan(inputs["conditions"]).all() else own

    settings = SamplingSettings(guidance=2.0, autoguidance=1.5)
    wanted = np.array([[0.5]], "float32")
    denoise = guided_denoiser(network, flow, wanted, settings, guide=lambda _: weak)
    x0, without, of_guide = (flow.to_x0(v, state, 0.5) for v in (own, plain, weak))
    guided = without + 2 * (x0 - without)
    expected = guided + across(0.5 * (x0 - of_guide), guided)
    np.testing.assert_allclose(denoise(state, 0.5), expected, atol=1e-5)


def test_autoguidance_needs_a_guide():
    nothing = np.zeros((1, 0), "float32")
    for scale, good in ((1.0, True), (1.5, False)):
        settings = SamplingSettings(autoguidance=scale)
        if good:
            guided_denoiser(None, RectifiedFlow(), nothing, settings)
            continue
        with pytest.raises(InputError, match="autoguidance 1.5: expected 1"):
            guided_denoiser(None, RectifiedFlow(), nothing, settings)


@pytest.mark.parametrize("share", [0.0, 0.7, 1.0])
def test_rescaling_takes_back_a_share_of_the_spread(share):
    """Lin et al., eq. 14 to 16: the spread of each sample, not of the batch."""
    rng = np.random.default_rng(0)
    plain, asked = rng.normal(size=(2, 3, 4, 4, 2)).astype("float32")
    asked *= np.array([1, 2, 5], "float32").reshape(3, 1, 1, 1)

    def predict(inputs):
        return plain if np.isnan(inputs["conditions"]).all() else asked

    state = np.zeros_like(plain)
    settings = SamplingSettings(guidance=3.0, guidance_rescale=share)
    conditions = np.ones((3, 1), "float32")
    denoise = guided_denoiser(predict, RectifiedFlow(), conditions, settings)
    prediction = -denoise(state, 0.5) / 0.5  # x0 = x - t v
    for got, without, wanted in zip(prediction, plain, asked):
        moved = without + 3 * (wanted - without)
        expected = share * moved * wanted.std() / moved.std() + (1 - share) * moved
        np.testing.assert_allclose(got, expected, atol=1e-4)


def test_numbers_may_be_counted_or_given():
    assert list(sample_numbers(None, None)) == [0]
    assert list(sample_numbers(3, None)) == [0, 1, 2]
    assert sample_numbers(None, [4, 4]) == (4, 4)
    with pytest.raises(InputError, match="2 numbers for 3 samples"):
        sample_numbers(3, [0, 1])
    with pytest.raises(InputError, match="n 1000001: expected .* at most 1000000"):
        sample_numbers(10**6 + 1, None)
    for seed, number in ((-1, 0), (0, -1)):
        with pytest.raises(InputError, match="0 or more"):
            NoiseStreams(seed, [number], (1,))
