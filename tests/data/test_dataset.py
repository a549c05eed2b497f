"""Batches of volumes."""

import keras
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
import pytest

from dipy_synth.data.augment import Augmentation
from dipy_synth.data.dataset import VolumeDataset
from dipy_synth.data.label_table import UNKNOWN, Labels
from dipy_synth.errors import InputError


@pytest.fixture
def volumes():
    """Ten volumes, each of one value; the first is background."""
    return (
        np.ones((10, 4, 5, 6), np.float16) * np.linspace(0, 1, 10)[:, None, None, None]
    )


def test_batches_have_a_channel_and_lie_in_minus_one_to_one(volumes):
    data = VolumeDataset(volumes, batch_size=4, shuffle=False)
    batches = [data[i] for i in range(len(data))]
    assert [b.shape for b in batches] == [
        (4, 4, 5, 6, 1),
        (4, 4, 5, 6, 1),
        (2, 4, 5, 6, 1),
    ]
    assert all(b.dtype == np.float32 for b in batches)
    assert_allclose(
        np.concatenate(batches)[:, 0, 0, 0, 0], volumes[:, 0, 0, 0] * 2.0 - 1, atol=1e-6
    )
    assert np.all(batches[0][0] == -1)


def epoch(data):
    """The values of an epoch, in order; then the next epoch begins."""
    values = np.concatenate([data[i] for i in range(len(data))])[:, 0, 0, 0, 0]
    data.on_epoch_end()
    return values


def test_every_epoch_is_another_order_and_holds_every_volume(volumes):
    first, again, other = (
        VolumeDataset(volumes, batch_size=3, seed=s) for s in (0, 0, 1)
    )
    one, two = epoch(first), epoch(first)
    assert_array_equal(np.sort(one), np.sort(two))
    assert not np.array_equal(one, two) and not np.array_equal(one, np.sort(one))
    assert_array_equal(epoch(again), one)
    assert not np.array_equal(epoch(other), one)
    resumed = VolumeDataset(volumes, batch_size=3, seed=0, epoch=1)
    assert_array_equal(epoch(resumed), two)


def test_augmentation_depends_on_seed_epoch_and_volume_alone(volumes):
    def augment(volume, rng):
        return volume * 0 + rng.random()

    small, large = (
        VolumeDataset(volumes, batch_size=b, augment=augment, seed=3) for b in (2, 5)
    )
    assert_array_equal(epoch(small), epoch(large))
    drawn = epoch(small)
    assert len(set(drawn)) == 10
    assert not np.array_equal(np.sort(drawn), np.sort(epoch(small)))


def test_parts_are_cut_from_their_volumes_and_fill_them(volumes):
    cube = np.arange(4 * 5 * 6).reshape(4, 5, 6) / 200
    volumes = np.stack([np.full((4, 5, 6), 1.0), cube])
    data = VolumeDataset(volumes, batch_size=3, crop=(2, 5, 3), seed=1)
    assert len(data) == 3  # four parts of 30 voxels would fill each volume of 120
    parts = (np.concatenate([data[i] for i in range(3)])[..., 0] + 1) / 2
    assert parts.shape == (8, 2, 5, 3)
    of_cube = [part for part in parts if part.min() < 1]
    assert len(of_cube) == 4
    for part in of_cube:
        i, j, k = np.unravel_index(round(part.flat[0] * 200), cube.shape)
        assert_allclose(part, cube[i : i + 2, j : j + 5, k : k + 3], atol=1e-6)
    again = VolumeDataset(volumes, batch_size=3, crop=(2, 5, 3), seed=1)
    assert_array_equal(data[0], again[0])
    data.epoch = 1
    assert not np.array_equal(data[0], again[0])


def test_images_of_two_dimensions_pass_too():
    images = np.random.default_rng(0).random((3, 8, 8))
    data = VolumeDataset(images, batch_size=2, shuffle=False)
    assert_allclose(data[0], 2 * images[:2, ..., None] - 1, atol=1e-6)
    assert_allclose(data[1], 2 * images[2:, ..., None] - 1, atol=1e-6)


@pytest.mark.parametrize("count, batch_size", [(0, 1), (3, 0)])
def test_nothing_to_give_is_refused(count, batch_size):
    with pytest.raises(InputError, match="at least one"):
        VolumeDataset(np.zeros((count, 4, 4)), batch_size=batch_size)


class Watched(VolumeDataset):
    """The same batches with a target for a stock loss; the order in which they go."""

    def __init__(self, volumes, **kwargs):
        super().__init__(volumes, batch_size=4, **kwargs)
        self.seen = []

    def __getitem__(self, index):
        batch = super().__getitem__(index)
        self.seen.append((self.epoch, index, batch[:, 0, 0, 0, 0].tolist()))
        return batch, np.zeros(len(batch), np.float32)


def test_a_fit_that_resumes_sees_what_the_whole_fit_saw(volumes):
    def fit(data, **kwargs):
        model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])
        model.compile(loss="mse")
        model.fit(data, verbose=0, **kwargs)
        return {index: batch for epoch, index, batch in data.seen if epoch == 3}

    whole = fit(Watched(volumes), epochs=3)
    resumed = fit(Watched(volumes, epoch=2), epochs=3, initial_epoch=2)
    assert len(whole) == 3 and resumed == whole


def test_labels_move_with_the_volume():
    """A map of each voxel's own value stays that, mirrored, shifted and cropped."""
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 4, (3, 8, 10, 6))
    volumes = maps / np.float32(4)
    augment = Augmentation(flip=0.5, shift=2)
    options = {"label_maps": maps, "labels": Labels.of([1, 2, 3]), "augment": augment}
    data = VolumeDataset(volumes, batch_size=3, crop=(4, 5, 3), **options)
    seen = set()
    for batch in data:
        values = (batch[..., 0] + 1) * 2
        found = data.labels.from_channels(batch[..., 1:])
        np.testing.assert_allclose(values, found, atol=1e-5)
        seen |= {tuple(one.ravel()) for one in found}
    assert len(seen) > 3


def test_unknown_labels_stay_unknown_where_a_shift_leaves_gaps():
    unknown = np.full((1, 16, 18, 14), UNKNOWN)
    data = VolumeDataset(
        np.ones((1, 16, 18, 14), "float32"),
        augment=Augmentation(flip=1, shift=3),
        label_maps=unknown,
        labels=Labels.of([1]),
    )
    assert (data[0][..., 0] == -1).any() and not data[0][..., 1].any()
