"""Training pairs for a denoiser: noisy latents and their targets."""

import keras
import numpy as np

from dipy_synth.utils.random import random_stream

MAX_SHIFT = 3  # largest shift of training images, in voxels


class NoisyPairs(keras.utils.PyDataset):
    """Batches of noisy latents with their noise levels, conditions and targets.

    Noise, times, order, crops and dropped conditions are drawn by NumPy from the seed,
    the epoch and the batch alone. So training has no random state, and a resumed run
    has the same pairs as an uninterrupted one, on any backend.

    Parameters
    ----------
    latents : ndarray of shape (n, *spatial, channels)
        Latents of the encoder (may be memory-mapped). NaN is unknown: its noise is
        added to the mean, and its error does not count.
    conditions : ndarray of shape (n, n_conditions)
        Encoded conditions; NaN where missing.
    schedule : Schedule
        Noise schedule, prediction target and loss weight.
    normalizer : LatentNormalizer, optional
        Normalizer of the latents; None when they are normalised.
    shifts : ndarray of shape (n, rank), optional
        Shift of each image in voxels; 0 by default.
    subjects : ndarray of shape (n,), optional
        Subject of each image; all different by default.
    crop : int, optional
        Side of the crops of the latents; by default, and where a crop would be larger,
        whole images.
    batch_size : int, optional
        Number of pairs in a batch.
    dropout : float, optional
        Probability of dropping all conditions of a pair, for classifier-free guidance
        :footcite:p:`ho2022guidance`.
    seed : int, optional
        Random seed.
    shuffle : bool, optional
        Draw a new order and new noise every epoch. False gives the same pairs every
        epoch, which is what a validation loss needs, and drops no condition.
    epoch : int, optional
        The epoch to start from.

    References
    ----------
    .. footbibliography::
    """

    def __init__(
        self,
        latents,
        conditions,
        schedule,
        *,
        normalizer=None,
        shifts=None,
        subjects=None,
        crop=None,
        batch_size=1,
        dropout=0.12,
        seed=0,
        shuffle=True,
        epoch=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.latents, self.conditions, self.schedule = latents, conditions, schedule
        self.batch_size, self.seed, self.shuffle = batch_size, seed, shuffle
        self.normalizer = normalizer
        self.subjects = np.arange(len(latents)) if subjects is None else subjects
        spatial = latents.shape[1:-1]
        self.part = tuple(min(n, crop or n) for n in spatial)
        rank = len(spatial)
        self.shifts = np.zeros((len(latents), rank)) if shifts is None else shifts
        self.dropout = dropout if shuffle else 0.0
        self.epoch = epoch

    @property
    def variance(self):
        """Variance of the normalised latents, of shape (*spatial, channels), or 1."""
        return 1.0 if self.normalizer is None else self.normalizer.variance

    def __len__(self):
        return -(-len(self.latents) // self.batch_size)

    def on_epoch_end(self):
        """Advance to the next epoch, and its pairs."""
        self.epoch += int(self.shuffle)

    def __getitem__(self, index):
        order = np.arange(len(self.latents))
        if self.shuffle:
            rng = random_stream("pairs: order", self.epoch, seed=self.seed)
            rng.shuffle(order)
        rows = order[index * self.batch_size : (index + 1) * self.batch_size]
        use = "pairs: training" if self.shuffle else "pairs: validation"
        rng = random_stream(use, self.epoch, index, seed=self.seed)
        x0 = np.asarray(self.latents[rows], "float32")
        known = np.isfinite(x0)
        if self.normalizer is not None:
            x0 = self.normalizer.normalize(x0)
        corner = _corners(x0.shape[1:-1], self.part, len(rows), rng)
        variance = np.ones_like(x0) * self.variance
        x0, variance, known = (
            _parts(x, corner, self.part) for x in (x0, variance, known)
        )
        noise = rng.standard_normal(x0.shape, dtype="float32")
        t = self.schedule.training_times(len(rows), rng)
        dropped = rng.random((len(rows), 1)) < self.dropout
        conditions = np.where(dropped, np.nan, self.conditions[rows])
        x_t = self.schedule.add_noise(x0, noise, t)
        inputs = {
            "latents": self.schedule.scale_input(x_t, t, variance=variance),
            "noise_level": self.schedule.noise_level(t),
            "conditions": conditions.astype("float32"),
            "corner": corner.astype("int32"),
            "shift": self.shifts[rows].astype("float32"),
        }
        target = self.schedule.target(x0, noise, t, variance=variance)
        weight = self.schedule.error_weight(t, x0, variance=variance)
        weight = weight * self._inside(corner, x0.shape[1:-1])
        if not known.all():
            weight = weight * known
        return inputs, target, weight

    def _inside(self, corner, part):
        """Return a mask: 0 at the margin of a crop, which lacks context; else 1."""
        spatial = self.latents.shape[1:-1]
        inside = np.ones((len(corner), *part, 1), "float32")
        for axis, (whole, size) in enumerate(zip(spatial, part)):
            index = np.arange(size)
            if size < whole:
                kept = (index > 0) & (index < size - 1)
                inside *= kept.reshape(
                    [-1 if a == axis + 1 else 1 for a in range(inside.ndim)]
                )
        return inside / inside.mean()


def _corners(spatial, part, n, rng):
    """Draw corners of crops, in steps of 2 so that coarser grids agree: (n, rank)."""
    steps = [(whole - size) // 2 + 1 for whole, size in zip(spatial, part)]
    return np.stack([2 * rng.integers(0, k, n) for k in steps], axis=1)


def _parts(x, corner, part):
    """Crop each image."""
    return np.stack(
        [
            image[tuple(slice(a, a + size) for a, size in zip(start, part))]
            for image, start in zip(x, corner)
        ]
    )
