"""Augmentation: nothing when asked for nothing, each part by its law, range kept."""

from dataclasses import replace
import math

import numpy as np
import pytest

from dipy_synth.data.augment import (
    Augmentation,
    crop_shape,
    flip_left_right,
    move,
    random_crop,
)
from dipy_synth.errors import InputError
from dipy_synth.phantom import make_phantom

NOTHING = Augmentation(flip=0)
ALL = Augmentation(flip=0.5, gamma=0.3, shift=2)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def volume():
    return make_phantom(1, age=40, shape=(40, 48, 40), voxel_size=4.0).data


@pytest.fixture(params=[2, 3], ids=["rank 2", "rank 3"])
def image(request, volume):
    return volume if request.param == 3 else volume[:, :, 20]


def test_no_amount_is_the_identity(image):
    result = NOTHING(image, rng())
    assert np.array_equal(result, image)
    assert not np.shares_memory(result, image)


def test_flip_is_an_involution(image):
    flip = replace(NOTHING, flip=1)
    once = flip(image, rng())
    assert np.array_equal(once, image[::-1])
    assert not np.array_equal(once, image)
    assert np.array_equal(flip(once, rng(1)), image)
    assert np.array_equal(flip_left_right(flip_left_right(image)), image)


def test_flip_has_its_probability():
    image = np.array([[0.0], [1.0]], np.float32)
    generator, half = rng(), replace(NOTHING, flip=0.3)
    flips = [half(image, generator)[0, 0] for _ in range(600)]
    assert np.mean(flips) == pytest.approx(0.3, abs=0.06)


def test_same_seed_same_result_other_seed_another(image):
    before = image.copy()
    first, again, other = (ALL(image, rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(image, before)


def test_gamma_is_one_power_for_the_whole_volume(image):
    inside, powers = (image > 0.05) & (image < 0.9), []
    for seed in range(20):
        result = replace(NOTHING, gamma=0.4)(image, rng(seed))
        assert result.dtype == np.float32 and np.array_equal(result > 0, image > 0)
        found = np.log(result[inside]) / np.log(image[inside])
        assert np.ptp(found) < 0.01
        powers.append(np.log(found.mean()))
    assert -0.4 <= min(powers) < -0.2 and 0.2 < max(powers) <= 0.4


def test_same_draws_whatever_flip_and_gamma(volume):
    generators = rng(1), rng(1)
    NOTHING(volume, generators[0])
    replace(ALL, shift=0)(volume, generators[1])
    assert generators[0].random() == generators[1].random()


@pytest.mark.parametrize(
    "bad", [{"flip": 1.5}, {"gamma": math.nan}, {"gamma": math.inf}, {"shift": -1}]
)
def test_bad_settings_are_named(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        Augmentation(**bad)


def test_a_crop_is_around_the_brain_and_within_the_volume():
    volume = np.zeros((8, 10), np.float32)
    volume[7, 0] = 1  # at a corner: the part is moved into the volume
    part = random_crop(volume, (4, 4), np.random.default_rng(0))
    assert part.shape == (4, 4) and part[3, 0] == 1
    volume[:] = np.arange(80).reshape(8, 10) + 1
    rng = np.random.default_rng(0)
    starts = {random_crop(volume, (4, 4), rng)[0, 0] for _ in range(2000)}
    assert len(starts) == 5 * 7  # every place there is
    empty = random_crop(np.zeros((8, 10)), (4, 4), np.random.default_rng(0))
    assert empty.shape == (4, 4)


def test_crops_are_a_share_in_whole_multiples():
    assert crop_shape((80, 96, 80), 0.5, multiple=4) == (40, 48, 40)
    assert crop_shape((30, 28), 0.5, multiple=8) == (16, 16)
    assert crop_shape((28, 28), 1, multiple=8) == (28, 28)
    for share in (0, 1.5):
        with pytest.raises(InputError, match="crop"):
            crop_shape((8, 8), share)


def test_whole_voxels_move_and_nothing_wraps_around():
    image = np.arange(1, 13, dtype="float32").reshape(3, 4)
    np.testing.assert_array_equal(move(image, (1, -1))[1:, :-1], image[:-1, 1:])
    assert not move(image, (1, -1))[0].any() and not move(image, (1, -1))[:, -1].any()
    np.testing.assert_array_equal(move(image, (0, 0)), image)


def test_shifts_are_of_whole_voxels():
    image = np.zeros((9, 9), "float32")
    image[4, 4] = 1
    shift = replace(NOTHING, shift=2)
    found = {tuple(np.argwhere(shift(image, rng(seed)))[0]) for seed in range(200)}
    assert found == {(i, j) for i in range(2, 7) for j in range(2, 7)}
