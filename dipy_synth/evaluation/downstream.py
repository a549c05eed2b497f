"""Of use: does a predictor of age learn more with the synthetic brains than without?

Train on synthetic, test on real [1]_: a ridge regression of age on voxels of about 8 mm
is trained on real brains, on synthetic ones, and on both, and tested on real brains
that nothing was trained on. The ceiling is what as many more real brains give: half of
the real training brains take as many synthetic ones to help, or the other half.

References
----------
.. [1] Esteban, Hyland & Raetsch (2017). Real-valued (medical) time series generation
   with recurrent conditional GANs. arXiv:1706.02633, section 4.
"""

from dataclasses import dataclass

import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.evaluation.extractors import voxels_in
from dipy_synth.metrics.array_checks import block_mean
from dipy_synth.metrics.conditioning import RidgePredictor, pearson
from dipy_synth.utils.cells import column_number
from dipy_synth.utils.random import random_stream

LEAST = 10  # brains with an age, in each cohort
BLOCK = 8.0  # mm
ARMS = ("real", "synthetic", "both")
HALVES = 10  # random halves of the training brains, for the ceiling


@dataclass(frozen=True)
class Arm:
    """A predictor of age, by what it was trained on.

    Parameters
    ----------
    trained_on : str
        Its training brains: "real", "synthetic" or "both"; of the ceiling "half",
        "half and synthetic" or "half and real".
    n : int
        How many.
    mae : float
        Mean absolute error on held-out real brains, in years.
    interval : tuple of float, (2,)
        Its 95 % interval, by bootstrap over the held-out brains.
    r : float
        Correlation of predicted and true age; 0 where one does not vary.
    """

    trained_on: str
    n: int
    mae: float
    interval: tuple
    r: float


@dataclass(frozen=True)
class Ceiling:
    """Value of synthetic brains beside that of as many real ones.

    All values are means over random halves of the real training brains.

    Parameters
    ----------
    arms : tuple of Arm, (3,)
        Trained on half of the real training brains, on these and some synthetic ones,
        and on these and as many of the other half.
    more : int
        How many brains were added.
    gain, real_gain : float
        By how many years the synthetic, and the real ones, lower the error.
    interval, real_interval : tuple of float, (2,)
        Their 95 % intervals, over the held-out brains.
    """

    arms: tuple
    more: int
    gain: float
    interval: tuple
    real_gain: float
    real_interval: tuple


@dataclass(frozen=True)
class Downstream:
    """Value of synthetic brains for training a predictor of age.

    Parameters
    ----------
    arms : tuple of Arm, (3,)
        Trained on real brains, on synthetic ones, on both.
    gain : float
        By how many years the error on held-out brains is lower with both than with real
        brains alone.
    interval : tuple of float, (2,)
        Its 95 % interval: the two arms are compared brain by brain.
    mean_mae : float
        Error of the mean age of the real training brains as the only prediction.
    n : int
        Held-out real brains.
    ceiling : Ceiling
        The same beside as many more real brains.
    """

    arms: tuple
    gain: float
    interval: tuple
    mean_mae: float
    n: int
    ceiling: Ceiling

    @property
    def helped(self):
        """Whether the synthetic brains helped: bool, None where that is not shown."""
        if self.interval[0] > 0:
            return True
        return False if self.interval[1] < 0 else None


def compare_downstream(real, synthetic, train, *, repeats=2000, seed=0):
    """Train a predictor of age with and without synthetic brains.

    Parameters
    ----------
    real : Volumes
        Real brains with a column ``age``, on which nothing was trained: the test.
    synthetic : Volumes
        Synthetic brains with the requested age.
    train : Volumes or None
        Real brains with a column ``age``, to train on.
    repeats : int, optional
        Draws of the bootstrap.
    seed : int, optional
        Their seed.

    Returns
    -------
    Downstream

    Raises
    ------
    InputError
        If there are no training volumes, fewer than 10 brains of a cohort have an age,
        or all have the same.
    """
    check_downstream(real, synthetic, train)
    (test, ages), known, made = (_with_age(side) for side in (real, train, synthetic))
    rng = random_stream("evaluation: downstream", seed=seed)
    draws = rng.integers(0, len(ages), (repeats, len(ages)))
    pool = [np.concatenate(pair) for pair in zip(known, made)]
    measure = _Test(*pool, test, ages, draws)
    n, rows = len(known[1]), np.arange(len(pool[1]))
    arms = [measure(*arm) for arm in zip(ARMS, ([rows[:n]], [rows[n:]], [rows]))]
    gain, interval = measure.gain("real", "both")
    return Downstream(
        arms=tuple(arms),
        gain=gain,
        interval=interval,
        mean_mae=float(np.abs(known[1].mean() - ages).mean()),
        n=len(ages),
        ceiling=_ceiling(measure, n, len(made[1]), rng),
    )


def _ceiling(measure, n, m, rng):
    """Add, to half of n real brains, some of m synthetic ones, or the other real ones.

    The real brains are the first of those that `measure` knows: -> Ceiling.
    """
    more = min(n - n // 2, m)
    chosen = {"half": [], "half and synthetic": [], "half and real": []}
    for _ in range(HALVES):
        order, some = rng.permutation(n), n + rng.permutation(m)[:more]
        half, others = order[: n // 2], order[n // 2 :][:more]
        for rows, added in zip(chosen.values(), (some[:0], some, others)):
            rows.append(np.concatenate([half, added]))
    alone, *others = chosen
    arms = [measure(name, rows) for name, rows in chosen.items()]
    gains = [part for name in others for part in measure.gain(alone, name)]
    return Ceiling(tuple(arms), more, *gains)


class _Test:
    """Held-out brains, and the errors on them by what was trained on."""

    def __init__(self, features, targets, test, ages, draws):
        self._pool, self._test, self._ages = (features, targets), test, ages
        self._draws, self._errors = draws, {}

    def __call__(self, name, chosen):
        """Train on each of several choices of brains; return the means: Arm."""
        read = [
            RidgePredictor(*(part[rows] for part in self._pool))(self._test)
            for rows in chosen
        ]
        errors = self._errors[name] = np.abs(read - self._ages).mean(axis=0)
        r = float(np.mean([pearson(one, self._ages) for one in read]))
        interval = _interval(errors, self._draws)
        return Arm(name, len(chosen[0]), float(errors.mean()), interval, r)

    def gain(self, one, other):
        """Return by how much the error of `other` is lower, and its interval."""
        saved = self._errors[one] - self._errors[other]
        return float(saved.mean()), _interval(saved, self._draws)


def check_downstream(real, synthetic, train):
    """Refuse cohorts of which nothing can be learned, see `compare_downstream`."""
    if train is None:
        raise InputError(
            "downstream without training volumes: expected train, real brains with an "
            "age to train a predictor on"
        )
    for side in (real, synthetic, train):
        ages = [column_number("age", value) for value in side.column("age")]
        ages = [age for age in ages if age is not None]
        if len(ages) < LEAST:
            raise InputError(
                f"{side.name}: {len(ages)} brains with an age; expected {LEAST} or "
                "more for downstream"
            )
        if len(set(ages)) < 2:
            raise InputError(
                f"{side.name}: all brains have the age {ages[0]:g}; expected different "
                "ages for downstream"
            )


def _with_age(side):
    """Return coarse voxels (n, d) of the volumes whose age is known, and the ages."""
    ages = [column_number("age", value) for value in side.column("age")]
    there = [i for i, age in enumerate(ages) if age is not None]
    factor = voxels_in(BLOCK, side.grid)
    coarse = [
        block_mean(np.asarray(side.volumes[i], "float32")[None], factor).ravel()
        for i in there
    ]
    return np.stack(coarse), np.array([ages[i] for i in there], "float64")


def _interval(values, draws):
    """Return the 95 % interval of a mean, by bootstrap: tuple of float, (2,)."""
    low, high = np.percentile(values[draws].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)


def in_words(found):
    """Return in one line whether the synthetic brains helped: str."""
    arms = [
        f"{arm.mae:.1f} ({arm.interval[0]:.1f} to {arm.interval[1]:.1f}) years when "
        f"trained on {arm.n} {arm.trained_on.replace('both', 'real and synthetic')} "
        "brains"
        for arm in found.arms
    ]
    low, high = found.interval
    answer = {
        True: "The synthetic brains helped",
        False: "The synthetic brains made it worse",
        None: "That the synthetic brains help is not shown",
    }[found.helped]
    return (
        f"age of {found.n} held-out brains is off by {', '.join(arms[:-1])} and "
        f"{arms[-1]}; by the mean age, {found.mean_mae:.1f}. {answer}: "
        f"{found.gain:+.2f} years saved ({low:+.2f} to {high:+.2f})"
        f"{_ceiling_in_words(found.ceiling)}"
    )


def _ceiling_in_words(found):
    """Return what as many more real brains give, the ceiling: str."""
    both = ((found.gain, found.interval), (found.real_gain, found.real_interval))
    made, real = (f"{g:+.2f} ({low:+.2f} to {high:+.2f})" for g, (low, high) in both)
    return (
        f". Beside half of the real brains, {found.more} synthetic ones save {made} "
        f"years, and {found.more} more real ones, the ceiling, {real}"
    )
