"""The flow's endpoints, conversions and times."""

import numpy as np
import pytest

from dipy_synth.diffusion.schedules import RectifiedFlow


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_endpoints_are_image_and_exact_noise(rng):
    x0, noise = rng.normal(size=(2, 3, 4, 5, 1)), rng.normal(size=(2, 3, 4, 5, 1))
    flow = RectifiedFlow()
    np.testing.assert_array_equal(flow.add_noise(x0, noise, 0.0), x0)
    np.testing.assert_array_equal(flow.add_noise(x0, noise, 1.0), noise)


def test_prediction_gives_back_the_image(rng):
    x0, noise = rng.normal(size=(2, 3, 4, 4, 2))
    t = np.array([0.2, 0.5, 0.9])
    flow = RectifiedFlow()
    x_t = flow.add_noise(x0, noise, t)
    np.testing.assert_allclose(
        flow.to_x0(flow.target(x0, noise, t), x_t, t), x0, atol=1e-6
    )


def test_training_times_are_logit_normal(rng):
    t = RectifiedFlow(logit_mean=0.5, logit_std=0.8).training_times(20_000, rng)
    logits = np.log(t / (1 - t))
    assert abs(logits.mean() - 0.5) < 0.03
    assert abs(logits.std() - 0.8) < 0.03


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_sampling_times_fall_from_one_to_zero(shift):
    times = RectifiedFlow().sampling_times(10, shift=shift)
    assert times[0] == 1 and times[-1] == 0 and len(times) == 11
    assert np.all(np.diff(times) < 0)
    assert (np.mean(times) > 0.5 + 1e-9) == (shift > 1)


def test_config_round_trip():
    config = {"logit_mean": 0.3, "logit_std": 1.2}
    assert RectifiedFlow(**config).to_config() == config
