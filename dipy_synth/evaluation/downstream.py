"""Of use: does a predictor learn more with the synthetic brains than without?

Train on synthetic, test on real (:footcite:p:`esteban2017rcgan`, section 4): a
predictor of age, and one of labels where there are label maps, is trained on real
brains, on synthetic ones, and on both, and tested on real brains that nothing was
trained on. The ceiling is what as many more real brains give: half of the real training
brains take as many synthetic ones to help, or the other half.

References
----------
.. footbibliography::
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.evaluation.downstream_tasks import AgeTask, LabelTask
from dipy_synth.utils.random import random_stream

TASKS = (AgeTask, LabelTask)
ARMS = ("real", "synthetic", "both")
HALVES = 10  # random halves of the training brains, for the ceiling


@dataclass(frozen=True)
class Arm:
    """A predictor, by what it was trained on.

    Parameters
    ----------
    trained_on : str
        Its training brains: "real", "synthetic" or "both"; of the ceiling "half",
        "half and synthetic" or "half and real".
    n : int
        How many.
    score : float
        Mean over held-out real brains of the metric.
    interval : tuple of float, (2,)
        Its 95 % interval, by bootstrap over the held-out brains.
    """

    trained_on: str
    n: int
    score: float
    interval: tuple


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
        By how much the synthetic, and the real ones, improve the metric.
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
    """Value of synthetic brains for training a predictor.

    Parameters
    ----------
    metric : {"age_mae", "labels_dice"}
        Mean absolute error of age in years, or mean Dice of the labels.
    arms : tuple of Arm, (3,)
        Trained on real brains, on synthetic ones, on both.
    gain : float
        By how much the metric is better (a lower error, a higher Dice) with both than
        with real brains alone.
    interval : tuple of float, (2,)
        Its 95 % interval: the two arms are compared brain by brain.
    n : int
        Held-out real brains.
    ceiling : Ceiling
        The same beside as many more real brains.
    baseline : float or None
        Error of the mean age of the real training brains as the only prediction.
    """

    metric: str
    arms: tuple
    gain: float
    interval: tuple
    n: int
    ceiling: Ceiling
    baseline: float | None = None

    @property
    def helped(self):
        """Whether the synthetic brains helped: bool, None where that is not shown."""
        if self.interval[0] > 0:
            return True
        return False if self.interval[1] < 0 else None


def compare_downstream(real, synthetic, train, *, repeats=2000, seed=0):
    """Train predictors with and without synthetic brains.

    Parameters
    ----------
    real : Volumes
        Real brains with a column ``age``, or label maps, on which nothing was trained:
        the test.
    synthetic : Volumes
        Synthetic brains with the requested age, or label maps.
    train : Volumes or None
        Real brains with a column ``age``, or label maps, to train on.
    repeats : int, optional
        Draws of the bootstrap.
    seed : int, optional
        Their seed.

    Returns
    -------
    tuple of Downstream
        Of age, and of labels, where all cohorts have 10 brains with them.

    Raises
    ------
    InputError
        If there are no training volumes, or nothing can be learned: fewer than 10
        brains of a cohort have an age, or all the same one, and fewer than 10 have a
        label map.
    """
    tasks = find_tasks(real, synthetic, train)
    return tuple(
        _compare(task(real, synthetic, train, seed=seed), repeats, seed)
        for task in tasks
    )


def find_tasks(real, synthetic, train):
    """Return the tasks that cohorts allow, see `compare_downstream`: list of type."""
    if train is None:
        raise InputError(
            "downstream without training volumes: expected train, real brains with an "
            "age, or label maps, to train a predictor on"
        )
    found, problems = [], []
    for task in TASKS:
        try:
            task.check(real, synthetic, train)
            found.append(task)
        except InputError as error:
            problems.append(str(error))
    if not found:
        raise InputError("; ".join(problems))
    return found


def _compare(task, repeats, seed):
    """Compare the arms of one task: Downstream."""
    rng = random_stream("evaluation: downstream", seed=seed)
    draws = rng.integers(0, task.n, (repeats, task.n))
    n, rows = task.known, np.arange(task.known + task.made)
    chosen = dict(zip(ARMS, ([rows[:n]], [rows[n:]], [rows])))
    halves, more = _halves(n, task.made, rng)
    test = _Test(task, chosen | halves, draws)
    gain, interval = test.gain("real", "both")
    alone, *others = halves
    gains = [part for name in others for part in test.gain(alone, name)]
    return Downstream(
        metric=task.metric,
        arms=tuple(test.arm(name) for name in chosen),
        gain=gain,
        interval=interval,
        n=task.n,
        ceiling=Ceiling(tuple(test.arm(name) for name in halves), more, *gains),
        baseline=task.baseline,
    )


def _halves(n, m, rng):
    """Choose halves of n real brains, alone, and beside as many others.

    The others are of m synthetic brains, whose rows follow the real ones, or of the
    other half. Returns rows by arm, dict of str to list of ndarray, and how many others
    there are.
    """
    more = min(n - n // 2, m)
    chosen = {"half": [], "half and synthetic": [], "half and real": []}
    for _ in range(HALVES):
        order, some = rng.permutation(n), n + rng.permutation(m)[:more]
        half, others = order[: n // 2], order[n // 2 :][:more]
        for rows, added in zip(chosen.values(), (some[:0], some, others)):
            rows.append(np.concatenate([half, added]))
    return chosen, more


class _Test:
    """Scores on held-out brains, by what a predictor was trained on."""

    def __init__(self, task, chosen, draws):
        found = iter(task.measure([rows for part in chosen.values() for rows in part]))
        self._n = {name: len(part[0]) for name, part in chosen.items()}
        self._scores = {
            name: np.mean([next(found) for _ in part], axis=0)
            for name, part in chosen.items()
        }
        self._draws, self._sign = draws, 1 if task.higher_is_better else -1

    def arm(self, name):
        """Return the mean score of an arm: Arm."""
        scores = self._scores[name]
        mean, interval = float(scores.mean()), _interval(scores, self._draws)
        return Arm(name, self._n[name], mean, interval)

    def gain(self, one, other):
        """Return by how much the score of `other` is better, and its interval."""
        gained = self._sign * (self._scores[other] - self._scores[one])
        return float(gained.mean()), _interval(gained, self._draws)


def _interval(values, draws):
    """Return the 95 % interval of a mean, by bootstrap: tuple of float, (2,)."""
    low, high = np.percentile(values[draws].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)


class _Words(NamedTuple):
    """Words of a task's line, by its metric."""

    result: str
    digits: str
    unit: str
    gained: str
    others: str


_WORDS = {
    "age_mae": _Words(
        "age of {} held-out brains is off by",
        ".1f",
        " years",
        "years saved",
        "save {} years",
    ),
    "labels_dice": _Words(
        "labels of {} held-out brains are found with a mean Dice of",
        ".2f",
        "",
        "of Dice",
        "add {} of Dice",
    ),
}


def in_words(found):
    """Return in one line whether the synthetic brains helped: str."""
    words, ceiling = _WORDS[found.metric], found.ceiling
    arms = [
        f"{arm.score:{words.digits}} ({_range(arm.interval, words.digits)})"
        f"{words.unit} when trained on {arm.n} "
        f"{arm.trained_on.replace('both', 'real and synthetic')} brains"
        for arm in found.arms
    ]
    mean = found.baseline
    mean = "" if mean is None else f"; by the mean age, {mean:{words.digits}}"
    answer = {
        True: "The synthetic brains helped",
        False: "The synthetic brains made it worse",
        None: "That the synthetic brains help is not shown",
    }[found.helped]
    added = words.others.format(_gain(ceiling.gain, ceiling.interval))
    real = _gain(ceiling.real_gain, ceiling.real_interval)
    return (
        f"{words.result.format(found.n)} {', '.join(arms[:-1])} and {arms[-1]}{mean}. "
        f"{answer}: {found.gain:+.2f} {words.gained} "
        f"({_range(found.interval, '+.2f')}). Beside half of the real brains, "
        f"{ceiling.more} synthetic ones {added}, and {ceiling.more} more real ones, "
        f"the ceiling, {real}"
    )


def _gain(gain, interval):
    return f"{gain:+.2f} ({_range(interval, '+.2f')})"


def _range(interval, digits):
    return " to ".join(f"{end:{digits}}" for end in interval)
