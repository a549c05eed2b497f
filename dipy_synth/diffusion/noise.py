"""Reproducible noise: one random stream per sample."""

import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.utils.number_checks import check_whole
from dipy_synth.utils.random import check_seed, random_stream

MOST_SAMPLES = 1_000_000  # of a cohort, all values of a sweep counted


class NoiseStreams:
    """The noise of a batch of samples, each from its own streams.

    So a sample depends only on the seed, its number and its attempt, not on its batch.
    Training draws from other streams, so that its noise is never that of a sample.

    Parameters
    ----------
    seed : int
        The seed of all samples.
    numbers : sequence of int
        Numbers of the samples in the batch.
    shape : tuple of int
        Shape of one sample's noise.
    attempts : sequence of int, optional
        Number of the draw of each sample, from 0; 0 for all by default.

    Raises
    ------
    InputError
        If the seed, a number or an attempt is negative, or their lengths differ.
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
        """Draw the initial noise: ndarray of shape (batch, *shape), float32."""
        return self._draw(0)

    def at_step(self, step):
        """Draw the noise added after a step: ndarray of shape (batch, *shape)."""
        return self._draw(step + 1)

    def _draw(self, time):
        keys = [
            ("samples", number, attempt, time)
            for number, attempt in zip(self.numbers, self.attempts)
        ]
        draws = [random_stream(*key, seed=self.seed).standard_normal for key in keys]
        return np.stack([draw(self.shape, dtype="float32") for draw in draws])


def sample_numbers(n, numbers):
    """Return the numbers of the samples, given or from their count."""
    n = (1 if numbers is None else len(numbers)) if n is None else n
    n = check_whole("n", n, high=MOST_SAMPLES)
    numbers = range(n) if numbers is None else tuple(numbers)
    if len(numbers) != n:
        raise InputError(f"{len(numbers)} numbers for {n} samples")
    return numbers
