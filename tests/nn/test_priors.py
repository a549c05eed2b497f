"""The prior is kept where it beats the network, and comes back from a model."""

import numpy as np
import pytest

from dipy_synth.diffusion.normalizer import LatentNormalizer
from dipy_synth.diffusion.pairs import NoisyPairs
from dipy_synth.diffusion.schedules import RectifiedFlow
from dipy_synth.nn.priors import fit_prior, from_model, to_model

SHAPE, FLOW = (4, 4, 4, 8), RectifiedFlow()
SPREAD = 20.0


class Network:
    """Answers the truth of deep noise from `knows` on; nothing, the mean, before."""

    categories = (0,)

    def __init__(self, axis, share):
        self.axis, self.share = axis, share

    def predict_on_batch(self, inputs):
        x, t = inputs["latents"], inputs["time"][0]
        alpha, sigma = 1 - t, t
        seen = np.tensordot(x, self.axis, axes=x.ndim - 1)
        gain = alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2)
        x0 = np.tensordot(self.share * gain * seen, self.axis[None], axes=0)
        x0 = x0.reshape(x.shape)
        return (x - x0) / sigma  # velocity


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    axis = rng.standard_normal(SHAPE)
    axis /= np.linalg.norm(axis)
    coordinates = SPREAD * rng.standard_normal(240)
    latents = np.tensordot(coordinates, axis, axes=0) + rng.normal(size=(240, *SHAPE))
    normalizer = LatentNormalizer(np.zeros(SHAPE), np.ones(SHAPE[-1]))
    conditions = np.full((240, 1), np.nan, "float32")
    options = {"normalizer": normalizer}
    sides = [
        NoisyPairs(latents[rows], conditions[rows], FLOW, **options)
        for rows in (slice(0, 200), slice(200, 240))
    ]
    return axis, *sides


def test_a_network_that_shrinks_gets_a_prior(data):
    axis, train, held_out = data
    prior = fit_prior(Network(axis, 0.5), FLOW, train, held_out)
    assert prior.begin[0] <= 0.1
    assert abs(np.sum(prior.axes[0] * axis)) > 0.98
    assert prior.spread()[0] == pytest.approx(SPREAD, rel=0.15)


def test_a_network_that_knows_is_left_alone(data):
    """The truth of the distribution itself beats what was measured of it."""
    axis, train, held_out = data
    best = fit_prior(Network(axis, 1.0), FLOW, train, held_out)
    assert best is None or best.begin.min() > 0.1


def test_an_axis_is_answered_for_only_where_the_prior_is_better_along_it(data):
    """The widest axis must not decide for another, of which the network knows."""
    axis, train, held_out = data
    rng = np.random.default_rng(1)
    other = rng.standard_normal(SHAPE)
    other -= np.sum(other * axis) * axis
    other /= np.linalg.norm(other)
    for side in (train, held_out):
        also = SPREAD / 2 * rng.standard_normal(len(side.latents))
        side.latents = side.latents + np.tensordot(also, other, axes=0)

    class Both:
        categories = (0,)

        def predict_on_batch(self, inputs):
            x, t = inputs["latents"], inputs["time"][0]
            x0 = 0
            for one, spread, share in ((axis, SPREAD, 0.5), (other, SPREAD / 2, 1.0)):
                seen = np.tensordot(x, one, axes=x.ndim - 1)
                gain = (1 - t) * spread**2 / ((1 - t) ** 2 * spread**2 + t**2)
                x0 = x0 + np.tensordot(share * gain * seen, one, axes=0)
            return (x - x0) / t

    prior = fit_prior(Both(), FLOW, train, held_out)
    assert len(prior.axes) >= 2
    assert prior.begin[0] <= 0.1
    assert prior.begin[1] > 0.1
    # at t between the two the widest alone is corrected; at 1 the noise has no end
    x = rng.standard_normal((1, *SHAPE)).astype("float32")
    open_ended = np.full((1, 1), np.nan)
    change = prior.correct(np.zeros_like(x), 3 * x, 0.8, FLOW, open_ended)
    assert np.abs(prior.coordinates(change))[0, 0] > 1e-3
    assert np.abs(prior.coordinates(change))[0, 1] < 1e-3
    assert np.isfinite(prior.correct(0 * x, x, 1.0, FLOW, open_ended)).all()


def test_without_held_out_latents_there_is_no_prior(data):
    axis, train, held_out = data
    held_out.latents = held_out.latents[:0]
    assert fit_prior(Network(axis, 0.5), FLOW, train, held_out) is None


def test_a_prior_comes_back_as_it_was(data):
    axis, train, held_out = data
    prior = fit_prior(Network(axis, 0.5), FLOW, train, held_out)
    config, arrays = to_model(prior)
    back = from_model(config, arrays)
    np.testing.assert_allclose(back.axes, prior.axes, atol=1e-4)
    assert back.to_config() == prior.to_config()
    assert to_model(None) == ({}, {}) and from_model({}, {}) is None
