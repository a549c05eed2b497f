"""Training pairs: reproducible, complete, and with the share of dropped conditions."""

import numpy as np
import pytest

from dipy_synth.diffusion.normalizer import LatentNormalizer
from dipy_synth.diffusion.pairs import NoisyPairs
from dipy_synth.diffusion.schedules import RectifiedFlow


@pytest.fixture
def latents():
    return np.random.default_rng(1).normal(2, 3, (7, 4, 6, 4, 2)).astype("float32")


def make(latents, **kwargs):
    conditions = np.arange(len(latents), dtype="float32")[:, None]
    return NoisyPairs(latents, conditions, RectifiedFlow(), batch_size=2, **kwargs)


def test_every_image_comes_once_an_epoch(latents):
    pairs = make(latents, dropout=0)
    seen = np.concatenate([pairs[i][0]["conditions"][:, 0] for i in range(len(pairs))])
    assert sorted(seen) == list(range(7))


def test_input_and_target_belong_together(latents):
    inputs, target = make(latents, dropout=0)[0]
    x0 = RectifiedFlow().to_x0(target, inputs["latents"], inputs["time"])
    rows = inputs["conditions"][:, 0].astype(int)
    np.testing.assert_allclose(x0, latents[rows], atol=1e-5)


def test_latents_are_normalised_on_the_way(latents):
    normalizer = LatentNormalizer.fit(latents)
    inputs, target = make(latents, dropout=0, normalizer=normalizer)[0]
    x0 = RectifiedFlow().to_x0(target, inputs["latents"], inputs["time"])
    rows = inputs["conditions"][:, 0].astype(int)
    np.testing.assert_allclose(normalizer.restore(x0), latents[rows], atol=1e-4)


def test_an_epoch_is_reproducible_and_the_next_one_new(latents):
    first, again = make(latents), make(latents)
    np.testing.assert_array_equal(first[1][1], again[1][1])
    again.on_epoch_end()
    assert np.abs(first[1][1] - again[1][1]).max() > 0
    resumed = make(latents, epoch=1)
    np.testing.assert_array_equal(resumed[1][1], again[1][1])


def test_validation_pairs_never_change(latents):
    pairs = make(latents, shuffle=False)
    before = pairs[0][1]
    pairs.on_epoch_end()
    np.testing.assert_array_equal(before, pairs[0][1])
    assert not np.isnan(pairs[0][0]["conditions"]).any()


def test_conditions_are_dropped_jointly_as_often_as_asked():
    n = 2000
    pairs = NoisyPairs(
        np.zeros((n, 2, 2, 1), "float32"),
        np.ones((n, 3), "float32"),
        RectifiedFlow(),
        batch_size=n,
        dropout=0.2,
    )
    dropped = np.isnan(pairs[0][0]["conditions"])
    assert abs(dropped[:, 0].mean() - 0.2) < 0.03
    assert np.array_equal(dropped.all(axis=1), dropped.any(axis=1))


def test_normalizer_there_and_back(latents):
    normalizer = LatentNormalizer.fit(latents)
    normal = normalizer.normalize(latents)
    assert np.abs(normal.mean(axis=0)).max() < 1e-5
    np.testing.assert_allclose(normal.std(axis=(0, 1, 2, 3)), 1, atol=1e-4)
    np.testing.assert_allclose(normalizer.restore(normal), latents, atol=1e-4)


def test_a_constant_channel_stays_finite():
    normal = LatentNormalizer.fit(np.ones((3, 2, 2, 1))).normalize(
        np.ones((3, 2, 2, 1))
    )
    np.testing.assert_array_equal(normal, 0)
