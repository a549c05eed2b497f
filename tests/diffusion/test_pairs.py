"""Training pairs: reproducible, complete, cropped, with dropped conditions."""

import numpy as np
import pytest

from dipy_synth.diffusion.normalizer import LatentNormalizer
from dipy_synth.diffusion.pairs import NoisyPairs
from dipy_synth.diffusion.schedules import RectifiedFlow


@pytest.fixture
def latents():
    return np.random.default_rng(1).normal(2, 3, (7, 4, 6, 4, 2)).astype("float32")


FLOW = RectifiedFlow(prediction="preconditioned", times="log_snr")


def make(latents, schedule=FLOW, **kwargs):
    """Make pairs whose condition is the number of the image."""
    conditions = np.arange(len(latents), dtype="float32")[:, None]
    return NoisyPairs(latents, conditions, schedule, batch_size=2, **kwargs)


def times_of(inputs):
    """Return a flow's times from noise levels, log(t / (1 - t))."""
    return 1 / (1 + np.exp(-inputs["noise_level"].astype("float64")))


def images_of(inputs, target, schedule=FLOW, variance=1.0):
    """Return the images that pairs were made of."""
    t = times_of(inputs)
    scale = 1 / schedule.scale_input(np.ones_like(target), t, variance=variance)
    return schedule.to_x0(target, inputs["latents"] * scale, t, variance=variance)


def test_every_image_comes_once_an_epoch(latents):
    pairs = make(latents, dropout=0)
    seen = np.concatenate([pairs[i][0]["conditions"][:, 0] for i in range(len(pairs))])
    assert sorted(seen) == list(range(7))


@pytest.mark.parametrize("schedule", [FLOW, RectifiedFlow()])
def test_input_and_target_belong_together(latents, schedule):
    normalizer = LatentNormalizer.fit(latents)
    pairs = make(latents, schedule, dropout=0, normalizer=normalizer)
    inputs, target, _ = pairs[0]
    x0 = images_of(inputs, target, schedule, normalizer.variance)
    rows = inputs["conditions"][:, 0].astype(int)
    np.testing.assert_allclose(normalizer.restore(x0), latents[rows], atol=1e-3)


def test_inputs_and_targets_have_unit_variance_at_each_level():
    """As the network's must be: whatever the variance at a position is."""
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.1, 3, (1, 8, 8, 2))
    latents = (spread * rng.standard_normal((600, 8, 8, 2))).astype("float32")
    normalizer = LatentNormalizer.fit(latents)
    normalizer.variance = latents.var(axis=0)  # as it is, not smoothed
    normalizer.matrix[:] = np.eye(2)
    for ratio in (0.1, 1.0, 8.0):
        flow = RectifiedFlow(
            prediction="preconditioned",
            times="log_snr",
            noise_range=(ratio, 1.01 * ratio),
        )
        pairs = NoisyPairs(
            latents,
            np.zeros((600, 0)),
            flow,
            normalizer=normalizer,
            batch_size=600,
        )
        inputs, target, weight = pairs[0]
        for values in (inputs["latents"], target):
            by_position = values.var(axis=0)
            np.testing.assert_allclose(by_position.mean(), 1, atol=0.02)
            np.testing.assert_allclose(by_position, 1, atol=0.3)
        np.testing.assert_allclose(weight.mean(axis=(1, 2, 3)), 1, rtol=1e-5)


@pytest.mark.parametrize("side", [4, 20])
def test_crops_carry_their_own_cells_variance_and_shift(side):
    """The images hold their position: of crops it must be that of the corner."""
    spatial = (8, 6)
    where = np.stack(np.meshgrid(*map(np.arange, spatial), indexing="ij"), axis=-1)
    latents = np.stack([where + 100 * i for i in range(6)]).astype("float32")
    identity = LatentNormalizer(np.zeros((*spatial, 2)), np.eye(2), 1 + where)
    shifts = np.arange(12).reshape(6, 2)
    pairs = make(latents, normalizer=identity, crop=side, shifts=shifts, dropout=0)
    corners = set()
    for _ in range(6):
        for number in range(len(pairs)):
            inputs, target, weight = pairs[number]
            part = tuple(min(side, n) for n in spatial)
            assert target.shape == weight.shape == (2, *part, 2)
            rows = inputs["conditions"][:, 0].astype(int)
            np.testing.assert_array_equal(inputs["shift"], shifts[rows])
            for i, (row, corner) in enumerate(zip(rows, inputs["corner"])):
                window = tuple(slice(a, a + n) for a, n in zip(corner, part))
                one = {k: v[i : i + 1] for k, v in inputs.items()}
                seen = images_of(one, target[i : i + 1], variance=1 + where[window])
                np.testing.assert_allclose(
                    seen[0], where[window] + 100 * row, atol=0.05
                )
                corners.add(tuple(corner))
        pairs.on_epoch_end()
    assert all(n % 2 == 0 for corner in corners for n in corner)
    wanted = {(a, b) for a in (0, 2, 4) for b in (0, 2)} if side == 4 else {(0, 0)}
    assert corners == wanted


def test_the_margin_of_a_crop_has_no_weight_and_the_whole_image_has_none():
    latents = np.zeros((4, 8, 4, 3), "float32")
    weight = make(latents, crop=4)[0][2]  # the second axis is whole
    assert not weight[:, 0].any() and not weight[:, -1].any()
    assert weight[:, 1:-1].all()
    np.testing.assert_allclose(weight.mean(axis=(1, 2, 3)), 1, rtol=1e-6)
    assert make(latents)[0][2].all()


def test_training_and_validation_draw_from_streams_of_their_own(latents):
    """At seed 0, epoch 0, batch 0, where NumPy's seed sequences drop zeros."""
    zero = np.zeros_like(latents)  # of which the targets are noise alone
    made = (make(zero), make(zero, shuffle=False), make(zero, seed=1))
    noise = [pairs[0][1].ravel() for pairs in made]
    apart = np.abs(np.corrcoef(noise) - np.eye(3))
    assert apart.max() < 0.3


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


def test_conditions_are_dropped_jointly_as_often_as_requested():
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


def test_what_is_unknown_has_no_weight_and_lies_at_the_mean():
    rng = np.random.default_rng(0)
    known = rng.normal(2, 3, (6, 4, 4, 5)).astype("float32")
    partly = known.copy()
    partly[:2, ..., 3:] = np.nan
    mixing = np.zeros((5, 5))
    mixing[:3, :3], mixing[3:, 3:] = rng.normal(size=(3, 3)), rng.normal(size=(2, 2))
    whole = LatentNormalizer.fit(known, coordinates=mixing)
    normalizer = LatentNormalizer.fit(partly, coordinates=mixing)
    np.testing.assert_allclose(normalizer.mean[..., :3], whole.mean[..., :3], rtol=1e-5)
    np.testing.assert_allclose(
        normalizer.mean[..., 3:], known[2:, ..., 3:].mean(axis=0), rtol=1e-4
    )
    data = make(partly, normalizer=normalizer, shuffle=False)
    inputs, target, weight = data[0]  # the two that are partly unknown
    assert np.isfinite(inputs["latents"]).all() and np.isfinite(target).all()
    assert not weight[..., 3:].any() and (weight[..., :3] > 0).all()
    assert (data[1][2] > 0).all()
    assert not normalizer.normalize(partly)[:2, ..., 3:].any()
