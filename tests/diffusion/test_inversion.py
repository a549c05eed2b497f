"""Inversion: back to the noise that an image is made of, where that is known."""

import numpy as np
import pytest

from dipy_synth.diffusion.inversion import invert_ddim, partial_times
from dipy_synth.diffusion.samplers import sample_ddim
from dipy_synth.diffusion.schedules import DiscreteDiffusion, RectifiedFlow

SCHEDULES = {
    "flow": RectifiedFlow(),
    "chain": DiscreteDiffusion(prediction="v", zero_terminal_snr=True),
}


def gaussian(schedule, mean=0.5, std=0.8):
    """Return the exact denoiser of data that are normal."""

    def denoise(x, t):
        alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
        gain = alpha * std**2 / (alpha**2 * std**2 + sigma**2)
        return mean + gain * (x - alpha * mean)

    return denoise


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return (0.5 + 0.8 * rng.standard_normal((400, 5))).astype("float32")


@pytest.mark.parametrize("kind", SCHEDULES)
def test_the_sampler_leads_back(kind, images):
    """The better, the more corrections; a few are enough."""
    schedule, errors = SCHEDULES[kind], []
    denoise, times = gaussian(schedule), schedule.sampling_times(24)
    for corrections in (0, 1, 2, 20):
        noise = invert_ddim(denoise, images, times, schedule, corrections=corrections)
        again = sample_ddim(denoise, noise, times, schedule)
        errors.append(np.abs(again - images).mean())
    assert errors[0] > errors[1] > errors[2] > errors[3]
    assert errors[1] < 0.05 and errors[3] < 1e-3


@pytest.mark.parametrize("kind", SCHEDULES)
def test_the_noise_is_that_of_the_flow(kind, images):
    """Of Gaussian data it is known: an image lies as far from the mean as its noise."""
    schedule = SCHEDULES[kind]
    times = schedule.sampling_times(300)
    noise = invert_ddim(gaussian(schedule), images, times, schedule)
    np.testing.assert_allclose(noise, (images - 0.5) / 0.8, atol=0.05)


def test_another_distribution_moves_the_image_to_its_own_place(images):
    """Abduction under one mean, prediction under another: the whole difference."""
    schedule, times = SCHEDULES["flow"], SCHEDULES["flow"].sampling_times(64)
    noise = invert_ddim(gaussian(schedule), images, times, schedule, corrections=4)
    moved = sample_ddim(gaussian(schedule, mean=1.5), noise, times, schedule)
    np.testing.assert_allclose(moved - images, 1.0, atol=0.02)


def test_a_part_of_the_way_changes_a_part(images):
    schedule, shifts = SCHEDULES["flow"], []
    for strength in (0.25, 0.5, 1.0):
        times = partial_times(schedule.sampling_times(64), strength)
        state = invert_ddim(gaussian(schedule), images, times, schedule)
        ways = [
            sample_ddim(gaussian(schedule, mean=m), state, times, schedule)
            for m in (0.5, 1.5)
        ]
        shifts.append(np.mean(ways[1] - ways[0]))
    assert 0 < shifts[0] < shifts[1] < shifts[2]
    assert shifts[2] == pytest.approx(1, abs=0.02)


def test_strength_is_a_share_of_the_steps():
    times = np.linspace(1, 0, 11)
    np.testing.assert_array_equal(partial_times(times, 1), times)
    np.testing.assert_allclose(partial_times(times, 0.3), [0.3, 0.2, 0.1, 0], atol=1e-9)
    assert len(partial_times(times, 0.001)) == 2
