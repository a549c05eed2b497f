"""Reproducible noise: streams of random numbers, one for each sample."""

import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.utils.random import check_seed, random_stream


class NoiseStreams:
    """The noise of some samples, each from streams of its own.

    So a sample depends on the seed, its number and its attempt alone, whatever else is
    in its batch. A training draws from streams of other names: its noise is never a
    sample's.

    Parameters
    ----------
    seed : int
        The seed of all samples.
    numbers : sequence of int
        Numbers of the samples in the batch.
    shape : tuple of int
        Shape of one sample's noise.
    attempts : sequence of int, optional
        Which draw of each sample it is, from 0; 0 for all by default.

    Raises
    ------
    InputError
        If the seed, a number or an attempt is negative, or there are not as many of
        the two.
    """

    def __init__(self, seed, numbers, shape, *, attempts=None):
        self.seed, self.numbers = check_seed(seed), tuple(numbers)
        self.shape = tuple(shape)
        self.attempts = (0,) * len(self.numbers) if attempts is None else attempts
        if len(self.attempts) != len(self.numbers):
            raise InputError(
                f"attempts {attempts} of the numbers {numbers}: not as many"
            )
        if min(self.seed, *self.numbers, *self.attempts) < 0:
            raise InputError(
                f"seed {seed}, numbers {numbers}, attempts {self.attempts}: expected 0 "
                "or more"
            )

    def start(self):
        """Give the noise to start from: ndarray (batch, *shape), float32."""
        return self._draw(0)

    def at_step(self, step):
        """Give the noise that is added after a step: ndarray (batch, *shape)."""
        return self._draw(step + 1)

    def _draw(self, time):
        keys = [
            ("samples", number, attempt, time)
            for number, attempt in zip(self.numbers, self.attempts)
        ]
        draws = [random_stream(*key, seed=self.seed).standard_normal for key in keys]
        return np.stack([draw(self.shape, dtype="float32") for draw in draws])
