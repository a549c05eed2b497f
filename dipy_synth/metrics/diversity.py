"""Diversity of the volumes of a cohort."""

from dataclasses import dataclass
from functools import partial
import math

import numpy as np
from scipy.stats import norm

from dipy_synth.errors import InputError
from dipy_synth.metrics.array_checks import check_volumes
from dipy_synth.metrics.similarity import RADIUS, SCALE_WEIGHTS, ms_ssim
from dipy_synth.utils.random import random_stream


@dataclass(frozen=True)
class Similarity:
    """Mean MS-SSIM over pairs of the volumes of a cohort.

    Parameters
    ----------
    mean : float
        From 0 to 1; 1 for equal volumes.
    error : float
        Standard error of the mean, over volumes.
    pairs : int
        Number of pairs.
    n : int
        Number of volumes.
    """

    mean: float
    error: float
    pairs: int
    n: int

    def interval(self):
        """Compute the 95 % interval of the mean: tuple of float, (2,)."""
        reach = self.error * norm.ppf(0.975)
        return (float(max(self.mean - reach, 0)), float(min(self.mean + reach, 1)))


def similarity_within(volumes, *, pairs=100, seed=0, each=map):
    """Compute the mean similarity over pairs of volumes of a cohort.

    A generator that makes few kinds of brain gives a higher similarity than real brains
    have (:footcite:p:`odena2017acgan`, section 4.2). The mean over pairs is a
    U-statistic of order two: its variance is four times that of the mean, over volumes,
    of the mean over each volume's pairs :footcite:p:`hoeffding1948class`, less that of
    a mean of so many pairs, which is in there twice. Each volume is in equally many
    pairs.

    Parameters
    ----------
    volumes : array_like of shape (n, *shape)
        In [0, 1].
    pairs : int, optional
        Approximate number of pairs: a multiple of n, at most all.
    seed : int, optional
        Seed of their choice.
    each : callable, optional
        ``(function, items) -> iterable``, as of
        `dipy_synth.metrics.verdicts.fit_acceptance_ranges`.

    Returns
    -------
    Similarity

    Raises
    ------
    InputError
        If there are fewer than three volumes.

    References
    ----------
    .. footbibliography::
    """
    volumes = check_volumes(volumes, "volumes", least=3)
    if pairs < 1:
        raise InputError(f"{pairs} pairs: expected one or more")
    n = len(volumes)
    chosen = choose_pairs(n, pairs, random_stream("diversity: pairs", seed=seed))
    room = min(volumes.shape[1:]) // (2 * RADIUS + 1)
    scales = min(int(np.log2(max(room, 1))) + 1, len(SCALE_WEIGHTS))
    compare = partial(_similarity, scales=scales)
    values = np.array([*each(compare, [(volumes[a], volumes[b]) for a, b in chosen])])
    sums, counts = np.zeros(n), np.zeros(n)
    for side in chosen.T:
        np.add.at(sums, side, values)
        np.add.at(counts, side, 1)
    alone = np.var(values, ddof=1) / len(values)  # as if no pair shared a volume
    variance = 4 * np.var(sums / counts, ddof=1) / n - alone
    error = math.sqrt(max(variance, alone))
    return Similarity(float(values.mean()), error, len(chosen), n)


def choose_pairs(n, most, rng):
    """Choose pairs with each volume in equally many: ndarray of shape (pairs, 2), int.

    Volumes are put on a circle in random order and paired at distances along it. Half
    the circle is left out for even numbers, since it has each pair twice.
    """
    order, steps = rng.permutation(n), rng.permutation(np.arange(1, (n + 1) // 2))
    steps = steps[: max(round(most / n), 1)]
    return np.concatenate(
        [np.stack([order, np.roll(order, -step)], axis=1) for step in steps]
    )


def _similarity(pair, *, scales):
    return ms_ssim(*pair, scales=scales)
