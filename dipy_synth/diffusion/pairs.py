"""Training pairs for a denoiser: noisy latents and what to predict from them."""

import keras
import numpy as np


class NoisyPairs(keras.utils.PyDataset):
    """Batches of noisy latents with their times, conditions and targets.

    Noise, times, order and dropped conditions are drawn by NumPy from the seed, the
    epoch and the batch alone. So training needs no random state of its own and a
    resumed run sees what an uninterrupted one would have seen, on any backend.

    Parameters
    ----------
    latents : array (n, *spatial, channels)
        Latents as they were encoded (may be memory-mapped).
    conditions : array (n, n_conditions)
        Encoded conditions; NaN where missing.
    schedule : Schedule
        How image and noise are mixed, what is to be predicted, and its weight.
    normalizer : LatentNormalizer, optional
        What brings latents near N(0, 1); None when they are there already.
    batch_size : int, optional
        Pairs a batch.
    dropout : float, optional
        Share of pairs whose conditions are all dropped (classifier-free guidance).
    seed : int, optional
        Seed of everything drawn.
    shuffle : bool, optional
        Draw a new order and new noise every epoch. False gives the same pairs every
        epoch, which is what a validation loss needs, and drops no condition.
    epoch : int, optional
        The epoch to start from.

    References
    ----------
    Ho & Salimans (2022). Classifier-free diffusion guidance. arXiv:2207.12598.
    """

    def __init__(
        self,
        latents,
        conditions,
        schedule,
        *,
        normalizer=None,
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
        self.dropout = dropout if shuffle else 0.0
        self.epoch = epoch

    def __len__(self):
        return -(-len(self.latents) // self.batch_size)

    def on_epoch_end(self):
        """Go on to the next epoch's pairs."""
        self.epoch += int(self.shuffle)

    def __getitem__(self, index):
        order = np.arange(len(self.latents))
        if self.shuffle:
            np.random.default_rng([self.seed, self.epoch]).shuffle(order)
        rows = order[index * self.batch_size : (index + 1) * self.batch_size]
        rng = np.random.default_rng([self.seed, self.epoch, index])
        x0 = np.asarray(self.latents[rows], "float32")
        if self.normalizer is not None:
            x0 = self.normalizer.normalize(x0)
        noise = rng.standard_normal(x0.shape, dtype="float32")
        t = self.schedule.training_times(len(rows), rng)
        dropped = rng.random((len(rows), 1)) < self.dropout
        conditions = np.where(dropped, np.nan, self.conditions[rows])
        inputs = {
            "latents": self.schedule.add_noise(x0, noise, t),
            "time": t,
            "conditions": conditions.astype("float32"),
        }
        target = self.schedule.target(x0, noise, t)
        if self.schedule.weighting == "plain":
            return inputs, target
        weight = self.schedule.loss_weight(t).astype("float32")
        return inputs, target, weight.reshape(-1, *[1] * (x0.ndim - 2))
