"""The prior of deep noise, against closed forms."""

import numpy as np
import pytest

from dipy_synth.diffusion.normalizer import LatentNormalizer
from dipy_synth.diffusion.prior import GaussianPrior
from dipy_synth.diffusion.samplers import sample_euler
from dipy_synth.diffusion.schedules import DiscreteDiffusion, RectifiedFlow

SHAPE = (4, 4, 4, 8)
SIZE = int(np.prod(SHAPE))


def orthonormal(k, rng):
    return np.linalg.qr(rng.standard_normal((SIZE, k)))[0].T.reshape(k, *SHAPE)


@pytest.fixture
def prior():
    """Two axes: a number moves the first by 3, a category the second by 1 or -1."""
    axes = orthonormal(2, np.random.default_rng(0))
    # number ~ (-1, 1) of variance 1/4; one of two categories, alike
    covariance = np.diag([9.0, 5.0, 0.25, 0.25, 0.25])
    covariance[0, 2] = covariance[2, 0] = 3 * 0.25
    covariance[1, 4] = covariance[4, 1] = 2 * 0.25
    covariance[1, 3] = covariance[3, 1] = -2 * 0.25
    covariance[3, 4] = covariance[4, 3] = -0.25
    return GaussianPrior(axes, [0, 0, 0, 0.5, 0.5], covariance, (0, 2))


def test_conditions_move_the_mean_and_leave_less_to_vary(prior):
    mean, covariance = prior._given(np.array([1.0, 0, 1]))
    np.testing.assert_allclose(mean, [3, 1], atol=1e-9)
    np.testing.assert_allclose(covariance, [[9 - 9 * 0.25, 0], [0, 5 - 1]], atol=1e-9)


def test_an_open_condition_changes_nothing(prior):
    mean, covariance = prior._given(np.array([np.nan, np.nan, np.nan]))
    np.testing.assert_array_equal(mean, 0)
    np.testing.assert_array_equal(covariance, np.diag([9.0, 5.0]))
    mean, covariance = prior._given(np.array([np.nan, 1, 0]))  # one of them
    np.testing.assert_allclose(mean, [0, -1], atol=1e-9)
    np.testing.assert_allclose(covariance, np.diag([9.0, 4.0]), atol=1e-9)


@pytest.mark.parametrize("schedule", [RectifiedFlow(), DiscreteDiffusion()])
def test_the_answer_is_the_conditional_mean_of_a_gaussian(prior, schedule):
    """No other linear answer is nearer to the truth, and the error is as computed."""
    rng, n, t = np.random.default_rng(1), 4000, 0.8
    coordinates = rng.standard_normal((n, 2)) * [3, np.sqrt(5)]
    x0 = np.tensordot(coordinates, prior.axes, axes=1)
    x_t = schedule.add_noise(x0, rng.standard_normal(x0.shape), t)
    answers = prior.expected(x_t, t, schedule, np.full((n, 2), np.nan))
    noise = (schedule.sigma(t) / schedule.alpha(t)) ** 2
    for axis, variance in enumerate([9, 5]):
        error = np.mean((answers[:, axis] - coordinates[:, axis]) ** 2)
        assert error == pytest.approx(variance * noise / (variance + noise), rel=0.06)


def test_samples_vary_as_the_prior_says(prior):
    """A network that knows nothing of the axes gets their mean and variance back."""
    n, flow = 3000, RectifiedFlow(shift=3.0)
    noise = np.random.default_rng(2).standard_normal((n, *SHAPE)).astype("float32")
    conditions = np.tile([[1.0, 1]], (n, 1)).astype("float32")
    prior.begin = 0.0

    def denoise(x, t):
        return prior.correct(0 * x, x, t, flow, conditions)

    made = sample_euler(denoise, noise, flow.sampling_times(200), flow)
    coordinates = prior.coordinates(made)
    np.testing.assert_allclose(coordinates.mean(axis=0), [3, 1], atol=0.2)
    np.testing.assert_allclose(coordinates.var(axis=0), [6.75, 4], rtol=0.08)
    np.testing.assert_allclose(made.std(), np.sqrt(20.75 / SIZE), rtol=0.1)


def test_the_network_is_corrected_along_the_axes_and_in_deep_noise_alone(prior):
    rng, flow = np.random.default_rng(3), RectifiedFlow()
    x0, x_t = rng.standard_normal((2, 3, *SHAPE)).astype("float32")
    none = np.full((3, 2), np.nan)
    assert prior.correct(x0, x_t, 0.1, flow, none) is x0
    moved = prior.correct(x0, x_t, 0.9, flow, none)
    wanted = prior.expected(x_t, 0.9, flow, none)
    np.testing.assert_allclose(prior.coordinates(moved), wanted, atol=1e-5)
    across = moved - np.tensordot(prior.coordinates(moved), prior.axes, axes=1)
    before = x0 - np.tensordot(prior.coordinates(x0), prior.axes, axes=1)
    np.testing.assert_allclose(across, before, atol=1e-5)
    # between the standard deviations of the two: noise is deep for the second alone
    prior.begin = 1.0
    t = float(flow.times_at([2.6])[0])
    moved = prior.coordinates(prior.correct(x0, x_t, t, flow, none))
    own = prior.coordinates(x0)
    assert moved[:, 0] == pytest.approx(own[:, 0], abs=1e-5)
    assert np.abs(moved[:, 1] - own[:, 1]).min() > 1e-3


def test_guidance_moves_past_what_is_asked_for(prior):
    flow, x = RectifiedFlow(), np.zeros((1, *SHAPE), "float32")
    asked = np.array([[1.0, 1]])
    for guidance in (1.0, 2.0):
        moved = prior.correct(x, x, 1.0, flow, asked, guidance=guidance)
        np.testing.assert_allclose(
            prior.coordinates(moved)[0], [3 * guidance, guidance], atol=1e-4
        )


def planted(n, rng, *, spreads):
    """Give latents that vary along two axes, the first with a condition, and noise."""
    axes = orthonormal(len(spreads), rng)
    condition = rng.uniform(-1, 1, (n, 1))
    coordinates = rng.standard_normal((n, len(spreads))) * spreads
    coordinates[:, :1] += 10 * condition
    latents = np.tensordot(coordinates, axes, axes=1)
    latents = latents + rng.standard_normal(latents.shape)
    return latents, condition, axes


def test_axes_variances_and_conditions_are_found():
    rng = np.random.default_rng(4)
    latents, condition, axes = planted(400, rng, spreads=[12.0, 6.0])
    normalizer = LatentNormalizer(latents.mean(axis=0), np.ones(SHAPE[-1]))
    prior = GaussianPrior.fit(
        latents, condition, normalizer=normalizer, categories=(0,)
    )
    similarity = prior.axes.reshape(len(prior.axes), -1) @ axes.reshape(2, -1).T
    assert np.abs(similarity[:2]).max(axis=1).min() > 0.97
    wide = 12**2 + 10**2 / 3 + 1
    np.testing.assert_allclose(prior.spread()[:2] ** 2, [wide, 37], rtol=0.2)
    sign = np.sign(similarity[0, 0])
    slope = prior._given(np.ones(1))[0][0] - prior._given(np.zeros(1))[0][0]
    assert sign * slope == pytest.approx(10, rel=0.2)


def test_axes_that_do_not_hold_are_dropped():
    rng = np.random.default_rng(5)
    noise = rng.standard_normal((60, *SHAPE))
    assert GaussianPrior.fit(noise, np.zeros((60, 0))) is None
    latents, condition, _ = planted(60, rng, spreads=[12.0])
    assert len(GaussianPrior.fit(latents, condition, categories=(0,)).axes) == 1


def test_views_of_a_subject_are_left_out_together():
    """Of one noise in four views an axis would seem to hold, if it were split."""
    rng = np.random.default_rng(6)
    noise = np.repeat(rng.standard_normal((40, *SHAPE)), 4, axis=0)
    nothing = np.zeros((160, 0))
    subjects = np.repeat([f"{n:02d}" for n in range(40)], 4)
    assert GaussianPrior.fit(noise, nothing, subjects=subjects) is None
    assert GaussianPrior.fit(noise, nothing) is not None
    # its scans need not follow each other
    apart = np.concatenate([noise[::4]] * 4)
    assert GaussianPrior.fit(apart, nothing, subjects=[*range(40)] * 4) is None


def test_the_variance_told_is_that_of_images_left_out():
    rng = np.random.default_rng(7)
    latents, condition, _ = planted(50, rng, spreads=[5.0])
    prior = GaussianPrior.fit(latents, condition, categories=(0,))
    fresh = planted(4000, np.random.default_rng(7), spreads=[5.0])[2]
    rng = np.random.default_rng(7)
    axes = orthonormal(1, rng)
    np.testing.assert_array_equal(axes, fresh)
    coordinates = 5 * rng.standard_normal(4000) + 10 * rng.uniform(-1, 1, 4000)
    unseen = np.tensordot(coordinates[:, None], axes, axes=1)
    unseen = unseen + rng.standard_normal(unseen.shape)
    variance = prior.coordinates(unseen)[:, 0].var()
    assert prior.spread()[0] ** 2 == pytest.approx(variance, rel=0.35)
