"""Augmentation: nothing when asked for nothing, each part by its law, range kept."""

from dataclasses import replace
import json
import math

import numpy as np
import pytest

from dipy_synth.data.augment import (
    Augmentation,
    crop_shape,
    flip_left_right,
    move,
    random_crop,
    smooth_field,
    warp,
)
from dipy_synth.errors import InputError
from dipy_synth.phantom import make_phantom

NOTHING = Augmentation(
    flip=0, rotation=0, scale=0, translation=0, gamma=0, bias=0, voxel_size=4.0
)
ALL = Augmentation(
    flip=0.5, rotation=10, scale=0.1, translation=5, gamma=0.3, bias=0.3, voxel_size=4.0
)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def volume():
    return make_phantom(1, age=40, shape=(40, 48, 40), voxel_size=4.0).data


@pytest.fixture(params=[2, 3], ids=["rank 2", "rank 3"])
def image(request, volume):
    return volume if request.param == 3 else volume[:, :, 20]


def blob(shape, center, width=3.0):
    away = np.indices(shape).T - np.asarray(center)
    values = np.exp(-np.sum(away**2, axis=-1) / (2 * width**2)).T
    return np.where(values > 0.01, values, 0).astype(np.float32)


def centroid(image):
    weights = image / image.sum()
    return [float(np.sum(weights * i)) for i in np.indices(image.shape)]


def test_no_amount_is_the_identity(image):
    result = NOTHING(image, rng())
    assert np.array_equal(result, image)
    assert result is not image
    assert not np.shares_memory(result, image)
    moved = warp(image, np.eye(image.ndim), np.zeros(image.ndim))
    assert not np.shares_memory(moved, image)


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


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_range_type_and_background(image, seed, order):
    result = replace(ALL, order=order)(image, rng(seed))
    assert result.dtype == np.float32
    assert result.shape == image.shape
    assert result.min() == 0
    assert 0.3 < result.max() <= 1
    # As much of the volume is background as before, give or take the scaling.
    rank = image.ndim
    assert 0.89**rank < np.mean(result > 0) / np.mean(image > 0) < 1.13**rank


@pytest.mark.parametrize("amount", ["gamma", "bias"])
def test_intensity_alone_keeps_the_background_to_the_voxel(image, amount):
    results = [replace(NOTHING, **{amount: 0.4})(image, rng(s)) for s in range(5)]
    assert all(np.array_equal(r > 0, image > 0) for r in results)
    assert max(np.abs(r - image).max() for r in results) > 0.05


def test_empty_and_full_volumes_stay_what_they_are():
    assert np.array_equal(ALL(np.zeros((8, 8), np.float32), rng()), np.zeros((8, 8)))
    full = replace(NOTHING, gamma=0.5)(np.ones((8, 8, 8), np.float32), rng())
    assert np.allclose(full, 1)


def test_gamma_is_one_power_for_the_whole_volume(image):
    result = replace(NOTHING, gamma=0.4)(image, rng(2))
    inside = (image > 0.05) & (image < 0.9)
    powers = np.log(result[inside]) / np.log(image[inside])
    assert np.ptp(powers) < 0.01
    assert math.exp(-0.4) <= powers.mean() <= math.exp(0.4)


def test_bias_is_smooth_and_no_stronger_than_asked():
    flat = np.full((20, 24, 20), 0.5, np.float32)
    ratios = [replace(NOTHING, bias=0.3)(flat, rng(s)) / 0.5 for s in range(10)]
    strengths = [abs(np.log(r)).max() for r in ratios]
    assert max(strengths) <= 0.3 + 1e-5
    assert min(strengths) < 0.1 < 0.2 < max(strengths)
    assert max(abs(np.diff(np.log(r), axis=0)).max() for r in ratios) < 0.2


@pytest.mark.parametrize("shape", [(9, 12), (9, 12, 7)])
def test_smooth_field_is_a_cubic_polynomial(shape):
    field = smooth_field(shape, rng(4))
    assert field.shape == shape
    assert np.abs(field).max() == pytest.approx(1)
    for axis in range(len(shape)):
        fourth = np.diff(field.astype(float), n=4, axis=axis)
        assert np.abs(fourth).max() < 1e-5


def test_bright_tissue_is_scaled_back_and_not_cut_off():
    bright = np.full((10, 12, 10), 0.95, np.float32)
    results = [replace(NOTHING, bias=0.4)(bright, rng(s)) for s in range(5)]
    assert max(r.max() for r in results) == 1
    assert max(np.sum(r == 1) for r in results) <= 2


@pytest.mark.parametrize("order", [1, 2, 3])
def test_rotation_by_a_right_angle_is_the_transpose(order):
    image = rng().uniform(0.1, 1, (9, 9)).astype(np.float32)
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    result = warp(image, turn, np.zeros(2), order=order)
    # The result at (i, j) is the image at (j, -i), counted from the middle.
    assert np.allclose(result, np.rot90(image), atol=1e-5)


def test_translation_is_in_millimetres():
    image = blob((41, 61), (20, 30))
    move = replace(NOTHING, translation=8.0, voxel_size=(4.0, 1.0))
    ends = np.array([centroid(move(image, rng(s))) for s in range(60)]) - [20, 30]
    assert 1.7 < np.abs(ends[:, 0]).max() <= 2.02  # 8 mm are 2 voxels of 4 mm
    assert 6.8 < np.abs(ends[:, 1]).max() <= 8.02


def test_rotation_keeps_lengths_in_space_when_voxels_are_oblong():
    # 20 mm from the middle along the first axis: 5 voxels; along the second: 20.
    image = blob((31, 81), (20, 40), width=1.5)
    turn = replace(NOTHING, rotation=30.0, voxel_size=(4.0, 1.0))
    for seed in range(8):
        end = centroid(turn(image, rng(seed)))
        away = np.hypot((end[0] - 15) * 4, end[1] - 40)
        assert away == pytest.approx(20, abs=0.5)
        angle = math.degrees(math.atan2(end[1] - 40, (end[0] - 15) * 4))
        assert abs(angle) <= 30.5


def test_scale_moves_by_its_share():
    image = blob((61, 61), (50, 30))
    grow = replace(NOTHING, scale=0.1)
    ends = [centroid(grow(image, rng(s)))[0] - 30 for s in range(40)]
    assert 20 / 1.1 - 0.2 <= min(ends) < 19
    assert 21 < max(ends) <= 20 / 0.9 + 0.2


def test_rotation_and_back_gives_the_volume_again(volume):
    angle = math.radians(8)
    turn = np.eye(3)
    turn[:2, :2] = [
        [math.cos(angle), -math.sin(angle)],
        [math.sin(angle), math.cos(angle)],
    ]
    there = warp(volume, turn, np.zeros(3), order=3)
    back = warp(there, turn.T, np.zeros(3), order=3)
    assert np.corrcoef(back.ravel(), volume.ravel())[0, 1] > 0.98
    assert np.corrcoef(there.ravel(), volume.ravel())[0, 1] < 0.95


def test_higher_order_blurs_less():
    image = rng().uniform(0.1, 1, (64, 64)).astype(np.float32)
    half = np.array([0.5, 0.5])
    kept = [warp(image, np.eye(2), half, order=o).std() for o in (1, 2, 3)]
    assert kept[0] < kept[1] < kept[2] < image.std()
    augmented = [
        replace(NOTHING, translation=3.0, order=o)(image, rng(1)).std() for o in (1, 3)
    ]
    assert augmented[0] < augmented[1]


def test_same_draws_whatever_the_amounts(volume):
    generators = rng(1), rng(1)
    NOTHING(volume, generators[0])
    ALL(volume, generators[1])
    assert generators[0].random() == generators[1].random()


@pytest.mark.parametrize("size", [2.0, (1.0, 2.0, 3.0)])
def test_config_round_trip(size):
    augment = replace(ALL, voxel_size=size)
    config = json.loads(json.dumps(augment.to_config()))
    assert config == augment.to_config()  # lists, as JSON has them
    assert Augmentation.from_config(config) == augment
    assert hash(Augmentation.from_config(config)) == hash(augment)


@pytest.mark.parametrize(
    "bad",
    [
        {"flip": 1.5},
        {"rotation": -1},
        {"scale": 1},
        {"gamma": math.nan},
        {"bias": math.inf},
        {"order": 0},
        {"voxel_size": (1, 0, 1)},
        {"colour": 1},
    ],
)
def test_bad_settings_are_named(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        Augmentation.from_config(bad)


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
    with pytest.raises(InputError, match="shift"):
        Augmentation(shift=-1)


def test_what_was_drawn_without_shifts_is_drawn_with_them():
    image = np.pad(rng().uniform(0.1, 1, (5, 5)).astype("float32"), 2)
    plain, shifted = ALL(image, rng(3)), replace(ALL, shift=1)(image, rng(3))
    near = [move(plain, (i, j)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    assert any(np.array_equal(shifted, one) for one in near)
