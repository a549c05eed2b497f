"""The Gaussian denoiser against the posterior mean of a full covariance."""

import numpy as np
import pytest

from dipy_synth.diffusion.denoising import (
    fit_gaussian,
    wiener_errors,
)
from dipy_synth.diffusion.gaussian import GaussianDenoiser
from dipy_synth.diffusion.guidance import guided_denoiser
from dipy_synth.diffusion.normalizer import LatentNormalizer
from dipy_synth.diffusion.pairs import NoisyPairs
from dipy_synth.diffusion.schedules import DiscreteDiffusion, RectifiedFlow

SHAPE, SIZE = (3, 4, 2), 24
FLOW = RectifiedFlow(
    prediction="preconditioned", times="log_snr", noise_range=(0.02, 5.0)
)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.fixture
def gaussian():
    """Two directions, one number and one column of two categories."""
    variance = 2 + draw(*SHAPE, seed=2) ** 2
    factor = draw(4, 4, seed=4)
    features = {"categories": [0, 2], "mean": [0.1, 0.4, 0.3, 0.7]}
    features["covariance"] = (factor @ factor.T).tolist()
    return GaussianDenoiser(
        0.5 * draw(4, *SHAPE, seed=3), 0.4 * draw(2, *SHAPE), variance, features
    )


def posterior_mean(gaussian, x_t, t, schedule, features, spread=0.0):
    """Return E[x0 | x_t] by the full covariance: ndarray (n, SIZE)."""
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    mean = features @ gaussian.effects
    covariance = gaussian.factors.T @ gaussian.factors + np.diag(gaussian.rest)
    covariance = covariance + spread
    seen = alpha**2 * covariance + sigma**2 * np.eye(SIZE)
    residual = x_t.reshape(-1, SIZE) - alpha * mean
    return mean + alpha * np.linalg.solve(seen, residual.T).T @ covariance


@pytest.mark.parametrize("schedule", [FLOW, DiscreteDiffusion(steps=50)])
@pytest.mark.parametrize("t", [0.1, 0.6, 1.0])
def test_it_is_the_posterior_mean_of_the_full_covariance(gaussian, schedule, t):
    x_t = draw(3, *SHAPE, seed=5)
    conditions = np.array([[0.5, 1], [-0.2, 0], [1.5, 1]])
    features = np.array(
        [[0.5, 0.25, 0, 1], [-0.2, 0.04, 1, 0], [1.5, 2.25, 0, 1]]
    ) - np.array(gaussian.features["mean"])
    found = gaussian(x_t, t, schedule, conditions)
    assert found.shape == x_t.shape and found.dtype == np.float32
    expected = posterior_mean(gaussian, x_t, t, schedule, features)
    np.testing.assert_allclose(found.reshape(3, SIZE), expected, atol=1e-4)
    twice = gaussian(x_t, t, schedule, conditions, guidance=2.0)
    expected = posterior_mean(gaussian, x_t, t, schedule, 2 * features)
    np.testing.assert_allclose(twice.reshape(3, SIZE), expected, atol=1e-4)


def test_a_model_without_conditions_has_one_too():
    latents, none = draw(9, *SHAPE), np.zeros((9, 0))
    fitted = GaussianDenoiser.fit(latents, none, np.var(latents, axis=0), directions=3)
    variance = latents.var(axis=0).astype("float32")
    again = GaussianDenoiser.load(fitted.to_config(), fitted.arrays(), variance)
    x_t = draw(3, *SHAPE, seed=5)
    expected = posterior_mean(fitted, x_t, 0.6, FLOW, none[:3])
    for gaussian in (fitted, again):
        found = gaussian(x_t, 0.6, FLOW, none[:3]).reshape(3, SIZE)
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_missing_conditions_vary_as_in_training(gaussian):
    """A block of the features' covariance, given those that are known."""
    x_t = draw(3, *SHAPE, seed=5)
    conditions = np.array([[np.nan, np.nan], [np.nan, 1], [0.5, np.nan]])
    full = np.array(gaussian.features["covariance"])
    given = np.array([0.5, 0.25, 0, 1]) - np.array(gaussian.features["mean"])
    found = gaussian(x_t, 0.6, FLOW, conditions).reshape(3, SIZE)
    for row, known in enumerate(([], [2, 3], [0, 1])):
        missing = [i for i in range(4) if i not in known]
        mean, left = np.zeros(4), np.zeros((4, 4))
        slopes = np.linalg.solve(full[np.ix_(known, known)], full[known][:, missing])
        mean[known], mean[missing] = given[known], given[known] @ slopes
        left[np.ix_(missing, missing)] = (
            full[np.ix_(missing, missing)] - full[known][:, missing].T @ slopes
        )
        spread = gaussian.effects.T @ left @ gaussian.effects
        expected = posterior_mean(gaussian, x_t[row], 0.6, FLOW, mean, spread)
        np.testing.assert_allclose(found[row], expected[0], atol=1e-3)


def test_what_lies_in_no_direction_keeps_its_share_of_the_variance():
    variance, factors = np.ones(SHAPE), np.full((1, *SHAPE), 3.0)
    nothing = {"categories": [], "mean": [], "covariance": []}
    rest = GaussianDenoiser(np.zeros((0, *SHAPE)), factors, variance, nothing).rest
    np.testing.assert_allclose(rest, 0.15)


def planted(n=500):
    """Draw images with one strong direction, whose mean follows a category."""
    rng = np.random.default_rng(0)
    direction = draw(*SHAPE, seed=1)
    conditions = np.stack([rng.uniform(-1, 1, n), rng.integers(0, 2, n)], axis=1)
    moved = np.where(conditions[:, 1], 1.0, -1.0)[:, None, None, None]
    along = rng.standard_normal((n, 1, 1, 1))
    noise = 0.3 * rng.standard_normal((n, *SHAPE))
    return along * direction + 0.5 * moved + noise, conditions, direction


def test_a_fit_finds_directions_and_effects():
    x, conditions, direction = planted()
    x = x - x.mean(axis=0)
    found = GaussianDenoiser.fit(
        x, conditions, x.var(axis=0), categories=(0, 2), directions=1
    )
    unit = direction.ravel() / np.linalg.norm(direction)
    length = np.linalg.norm(found.factors)
    assert abs(found.factors[0] @ unit) / length > 0.999
    # of 500 images, one wide direction is known as it is
    assert length**2 == pytest.approx(np.sum(direction**2) + 0.09, rel=0.15)
    apart = found.effects[3] - found.effects[2]
    np.testing.assert_allclose(apart, 1.0, atol=0.1)


def test_a_mean_of_two_categories_together_is_found():
    """Of the exclusive or of two categories, neither alone tells anything."""
    rng = np.random.default_rng(0)
    conditions = rng.integers(0, 2, (400, 2)).astype("float64")
    moved = np.where(conditions[:, 0] == conditions[:, 1], 1.0, -1.0)
    x = moved[:, None, None, None] + 0.3 * rng.standard_normal((400, *SHAPE))
    x = x - x.mean(axis=0)
    found = GaussianDenoiser.fit(
        x, conditions, x.var(axis=0), categories=(2, 2), directions=1
    )
    pairs = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float64")
    # in noise this high, the estimate is the mean of the conditions
    means = found(np.zeros((4, *SHAPE)), 1.0, FLOW, pairs).reshape(4, SIZE)
    np.testing.assert_allclose(means, np.outer([1, -1, -1, 1], np.ones(SIZE)), atol=0.2)
    # without one of them, it is that of both
    pairs[:, 1] = np.nan
    means = found(np.zeros((4, *SHAPE)), 1.0, FLOW, pairs)
    np.testing.assert_allclose(means, 0, atol=0.15)


def test_effects_that_may_be_chance_are_shrunk_to_nothing():
    """A category moves one position of 400; at the others a few images differ."""
    rng = np.random.default_rng(0)
    conditions, shape = rng.integers(0, 2, (40, 1)).astype("float64"), (20, 20, 8)
    x = rng.standard_normal((40, *shape))
    x[:, 3, 5] += np.where(conditions == 1, 2.0, -2.0)
    found = GaussianDenoiser.fit(
        x - x.mean(axis=0), conditions, x.var(axis=0), categories=(2,), directions=2
    )
    apart = (found.effects[1] - found.effects[0]).reshape(shape)
    np.testing.assert_allclose(apart[3, 5].mean(), 4, atol=0.4)
    apart[3, 5] = 0  # by chance, 1 of 8 channels apart as far as its standard error
    assert np.sqrt(np.mean(apart**2)) < 0.5 * np.sqrt(4 / 40)


def test_categories_have_no_products_where_these_are_many():
    rows = np.zeros((3, 2))
    fitted = [
        GaussianDenoiser.fit(draw(3, *SHAPE), rows, np.ones(SHAPE), categories=counts)
        for counts in ((8, 8), (8, 9))
    ]
    assert [len(one.effects) for one in fitted] == [8 + 8 + 64, 8 + 9]


def test_variances_along_directions_are_those_of_left_out_subjects():
    """Of white noise, a few images vary along their own directions alone."""
    shape, nothing = (10, 10, 4), np.zeros((200, 0))
    x = draw(200, *shape)
    found = GaussianDenoiser.fit(x, nothing, np.ones(shape), directions=5)
    np.testing.assert_allclose(np.square(found.factors).sum(axis=1), 1, atol=0.35)
    twice = np.repeat(x, 2, axis=0)  # nor are two images of a subject another's
    found = GaussianDenoiser.fit(
        twice,
        np.zeros((400, 0)),
        np.ones(shape),
        directions=5,
        subjects=np.arange(400) // 2,
    )
    np.testing.assert_allclose(np.square(found.factors).sum(axis=1), 1, atol=0.35)


def test_scans_of_a_subject_are_left_out_together():
    """Of white noise, two scans of a brain do not make its directions wide."""
    x = np.repeat(draw(100, 10, 10, 4), 2, axis=0)
    subjects = np.repeat([f"{number:03d}" for number in range(100)], 2)
    nothing = np.zeros((200, 0))
    widths = [
        np.square(fit_gaussian(pairs).factors).sum(axis=1).max()
        for pairs in (pairs_of(x, nothing, subjects=subjects), pairs_of(x, nothing))
    ]
    assert widths[0] == pytest.approx(1, abs=0.35) and widths[1] > 2


def test_it_is_kept_and_restored(gaussian):
    gaussian.threshold = 3.0
    x_t, conditions = draw(2, *SHAPE, seed=5), np.array([[0.5, 1], [np.nan, 0]])
    variance = (2 + draw(*SHAPE, seed=2) ** 2).astype("float32")
    again = GaussianDenoiser.load(gaussian.to_config(), gaussian.arrays(), variance)
    assert again.threshold == 3.0
    np.testing.assert_allclose(
        again(x_t, 0.8, FLOW, conditions),
        gaussian(x_t, 0.8, FLOW, conditions),
        atol=5e-3,
    )
    gaussian.threshold = np.inf
    assert gaussian.to_config()["threshold"] is None
    again = GaussianDenoiser.load(gaussian.to_config(), gaussian.arrays(), variance)
    assert again.threshold == np.inf


def test_effects_of_other_features_are_refused(gaussian):
    """As of a model from before two categories had products."""
    config = gaussian.to_config() | {"categories": [2, 2]}
    with pytest.raises(ValueError, match="4 effects, expected 8"):
        GaussianDenoiser.load(config, gaussian.arrays(), np.ones(SHAPE))


def test_it_replaces_the_network_above_its_threshold(gaussian):
    calls = []

    def predict(inputs):
        calls.append(inputs["noise_level"])
        return np.zeros_like(inputs["latents"])

    gaussian.threshold = 4.0
    conditions = np.array([[0.5, 1.0]])
    x = draw(1, *SHAPE).astype("float32")
    denoise = guided_denoiser(predict, FLOW, conditions, gaussian=gaussian)
    np.testing.assert_array_equal(denoise(x, 0.9), gaussian(x, 0.9, FLOW, conditions))
    assert not calls
    denoise(x, 0.5)
    assert len(calls) == 1


def pairs_of(x, conditions, **options):
    channels = np.eye(x.shape[-1])
    identity = LatentNormalizer(np.zeros(x.shape[1:]), channels, x.var(axis=0))
    return NoisyPairs(
        x.astype("float32"), conditions, FLOW, normalizer=identity, **options
    )


def test_it_is_fitted_to_images_that_were_not_moved():
    x, conditions, _ = planted(300)
    shifts = np.zeros((300, 2))
    shifts[::3, 1] = 2
    x[::3] = 1000
    found = fit_gaussian(pairs_of(x, conditions, shifts=shifts), categories=(0, 2))
    assert np.abs(found.factors).max() < 100


def test_errors_of_a_wiener_filter_are_those_of_the_exact_denoiser():
    rng = np.random.default_rng(0)
    variance = rng.uniform(0.2, 3, (30, 30, 1))
    x0 = np.sqrt(variance) * rng.standard_normal((20, 30, 30, 1))
    ratios = (0.3, 1.0, 4.0)

    exact = [np.mean(variance * r**2 / (variance + r**2)) for r in ratios]
    np.testing.assert_allclose(wiener_errors(x0, variance, ratios), exact, rtol=0.05)
