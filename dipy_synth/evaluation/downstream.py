"""Of use: does a predictor of age learn more with the synthetic brains than without?

Train on synthetic, test on real [1]_: a ridge regression of age on voxels of about 8 mm
is trained on real brains, on synthetic ones, and on both, and tested on real brains
that nothing was trained on.

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


@dataclass(frozen=True)
class Arm:
    """A predictor of age, by what it was trained on.

    Parameters
    ----------
    trained_on : {"real", "synthetic", "both"}
        Its training brains.
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
        Error of the mean age of the real training brains, said of every brain.
    n : int
        Held-out real brains.
    """

    arms: tuple
    gain: float
    interval: tuple
    mean_mae: float
    n: int

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
    both = [np.concatenate(pair) for pair in zip(known, made)]
    cohorts = dict(zip(ARMS, (known, made, both)))
    errors, arms = {}, []
    rng = random_stream("evaluation: downstream", seed=seed)
    draws = rng.integers(0, len(ages), (repeats, len(ages)))
    for name, (features, targets) in cohorts.items():
        read = RidgePredictor(features, targets)(test)
        errors[name] = np.abs(read - ages)
        interval = _interval(errors[name], draws)
        mae, r = float(errors[name].mean()), pearson(read, ages)
        arms.append(Arm(name, len(targets), mae, interval, r))
    saved = errors["real"] - errors["both"]
    return Downstream(
        arms=tuple(arms),
        gain=float(saved.mean()),
        interval=_interval(saved, draws),
        mean_mae=float(np.abs(known[1].mean() - ages).mean()),
        n=len(ages),
    )


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
        f"{arm.mae:.1f} ({arm.interval[0]:.1f} to {arm.interval[1]:.1f}) years by "
        f"{arm.n} {_named(arm.trained_on)} brains"
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
    )


def _named(arm):
    return "real and synthetic" if arm == "both" else arm
