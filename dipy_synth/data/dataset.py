"""Batches of a cohort's volumes as input of the networks."""

import math

import keras
import numpy as np

from dipy_synth.data.augment import random_crop
from dipy_synth.data.label_table import UNKNOWN
from dipy_synth.errors import InputError
from dipy_synth.utils.random import random_stream


class VolumeDataset(keras.utils.PyDataset):
    """Batches of volumes, reshuffled every epoch.

    The order and the augmentation of an epoch depend only on the seed and the epoch,
    not on the number of workers or on earlier batches. So a run that resumes at `epoch`
    continues as if it had not stopped.

    Parameters
    ----------
    volumes : ndarray of shape (n, ...)
        Volumes (or images) in [0, 1], of any float type.
    batch_size : int, optional
        Volumes in a batch; the last one of an epoch may be smaller.
    shuffle : bool, optional
        Shuffle every epoch.
    augment : callable, optional
        ``(volume, rng) -> volume``, float32 arrays of one shape in [0, 1].
    crop : tuple of int, optional
        Shape of the random crops of each volume, as many in an epoch as would fill it.
        Many steps on crops train better than few on whole volumes.
    seed : int, optional
        Seed of order and augmentation.
    epoch : int, optional
        The epoch to start from.
    targets : ndarray of shape (n, ...), optional
        The target of each volume; batches are then pairs.
    label_maps : ndarray of shape (n, ...), int, optional
        The label map of each volume, which is augmented and cropped with it.
    labels : Labels, optional
        The labels of the maps.
    **kwargs
        `workers` and the like, for `keras.utils.PyDataset`.
    """

    def __init__(
        self,
        volumes,
        *,
        batch_size=1,
        shuffle=True,
        augment=None,
        crop=None,
        seed=0,
        epoch=0,
        targets=None,
        label_maps=None,
        labels=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if len(volumes) == 0 or batch_size < 1:
            raise InputError(
                f"{len(volumes)} volumes in batches of {batch_size}: expected at least "
                "one of each"
            )
        self.volumes, self.batch_size = volumes, int(batch_size)
        self.targets, self.label_maps, self.labels = targets, label_maps, labels
        self.shuffle, self.augment = shuffle, augment
        self.seed, self.epoch = int(seed), int(epoch)
        shape = tuple(np.shape(volumes)[1:])
        self.crop = None if crop is None or tuple(crop) == shape else tuple(crop)
        if self.crop and (
            len(self.crop) != len(shape) or np.any(np.less(shape, self.crop))
        ):
            raise InputError(f"crop {self.crop} of volumes {shape}: expected within")
        self.parts = math.prod(shape) // math.prod(self.crop or shape)

    def __len__(self):
        """Return the number of batches in an epoch."""
        return -(-len(self.volumes) * self.parts // self.batch_size)

    def order(self):
        """Return the order in this epoch: ndarray of int; item i is of volume i % n."""
        n = len(self.volumes) * self.parts
        if not self.shuffle:
            return np.arange(n)
        rng = random_stream("volumes: order", self.epoch, seed=self.seed)
        return rng.permutation(n)

    def __getitem__(self, index):
        """Return one batch: ndarray of shape (b, ..., 1), float32, in [-1, 1].

        The background is exactly -1. With labels it is (b, ..., 1 + k), see
        `Labels.to_channels`; with `targets`, a pair of it and the targets.
        """
        chosen = self.order()[index * self.batch_size : (index + 1) * self.batch_size]
        images = np.stack([self._image(number) for number in chosen])
        if self.targets is None:
            return images
        return images, self.targets[chosen % len(self.volumes)]

    def _image(self, number):
        """Return one augmented image with its channels, or a crop of it: float32."""
        row = number % len(self.volumes)
        both = [np.asarray(self.volumes[row], np.float32)]
        both += [] if self.label_maps is None else [np.asarray(self.label_maps[row])]
        rng = random_stream("volumes: augmentation", self.epoch, number, seed=self.seed)
        if self.augment is not None:
            both = self._augmented(both, rng)
        if self.crop is not None:
            both = random_crop(both[0], self.crop, rng, others=both[1:])
        image = both[0][..., np.newaxis] * 2 - 1
        if self.label_maps is None:
            return image
        return self.labels.beside(image, both[1])

    def _augmented(self, both, rng):
        """Augment a volume, and its label map with it: list."""
        if self.label_maps is None:
            return [np.asarray(self.augment(both[0], rng), dtype=np.float32)]
        volume, label_map = self.augment(both[0], rng, label_map=both[1])
        unknown = (both[1] == UNKNOWN).all()  # there, too, where a shift leaves gaps
        return [volume, both[1] if unknown else label_map]

    def on_epoch_end(self):
        """Advance to the next epoch, and its order."""
        self.epoch += 1
