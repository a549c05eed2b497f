"""Adherence of samples to their conditions: age, sex, and effects of age.

Each metric has a negative control: its value for shuffled conditions. A metric that the
control reaches is no evidence of adherence.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.metrics.array_checks import check_features
from dipy_synth.utils.random import random_stream


@dataclass(frozen=True)
class NumberFollowed:
    """Agreement of a predicted number with the requested one.

    Parameters
    ----------
    r : float
        Pearson correlation; 0 where one of them does not vary.
    mae : float
        Mean absolute error, in the number's unit.
    control_r, control_mae : float
        Means over shuffles of the requested values.
    p_value : float
        Fraction of the shuffles with an r as high; never 0.
    n : int
        Number of samples.
    slope, slope_error : float, optional
        Slope of the regression of the predicted on the requested number, and its
        standard error; NaN where unknown. Unlike r, it does not depend on the range.
    center, level, level_error : float, optional
        Mean of the requested number, the regression line there, and its standard error.
    """

    kind: ClassVar[str] = "number"
    r: float
    mae: float
    control_r: float
    control_mae: float
    p_value: float
    n: int
    slope: float = float("nan")
    slope_error: float = float("nan")
    center: float = float("nan")
    level: float = float("nan")
    level_error: float = float("nan")

    def offset(self, other):
        """Compute by how much the line lies above another, and the standard error.

        A predictor that is regularised predicts numbers near the mean of its fit, in
        samples as in real brains; their lines agree all the same.
        """
        far = self.center - other.center
        offset = self.level - other.level - other.slope * far
        errors = self.level_error, other.level_error, other.slope_error * far
        return offset, float(np.linalg.norm(errors))


@dataclass(frozen=True)
class CategoryFollowed:
    """Agreement of a predicted category with the requested one.

    Parameters
    ----------
    accuracy : float
        Balanced accuracy: the mean over the requested categories.
    control_accuracy : float
        Its mean over shuffles of the requested values.
    p_value : float
        Fraction of the shuffles with an accuracy as high; never 0.
    n : int
        Number of samples.
    """

    kind: ClassVar[str] = "category"
    accuracy: float
    control_accuracy: float
    p_value: float
    n: int


@dataclass(frozen=True)
class Trend:
    """Trend of a metric with a requested number, and that of real brains.

    Parameters
    ----------
    slope, real_slope : float
        Slope of the regression line, in the metric's unit per unit of the number.
    interval, real_interval : tuple of float, (2,)
        95 % intervals of the slopes, by a bootstrap.
    p_value, real_p_value : float
        Fraction of the shuffles with a slope as steep, in either direction.
    ratio : float
        Slope over the real one: 1 for the same trend, 0 for none; NaN where real brains
        show none.
    agrees : bool
        Whether the interval of the difference of the slopes holds 0. With few samples
        it nearly always does: see `interval`, too.
    """

    slope: float
    interval: tuple
    p_value: float
    real_slope: float
    real_interval: tuple
    real_p_value: float
    ratio: float
    agrees: bool


class RidgePredictor:
    """Predict a number, or a category, from features of real volumes.

    Each category is a number, 1 where it is and -1 elsewhere; the largest one decides.

    Parameters
    ----------
    features : array_like of shape (n, d)
        Features of real volumes, training volumes of the evaluated model or others.
    values : array_like of shape (n,)
        Number or category of each volume.
    penalties : sequence of float, optional
        Candidate penalties, chosen by leave-one-out error, in units of the mean squared
        singular value of the features.

    Raises
    ------
    InputError
        If numbers of values and features differ, or there is one category alone, or
        more than half as many as values.
    """

    def __init__(self, features, values, *, penalties=(1e-3, 1e-2, 0.1, 1.0, 10.0)):
        from sklearn.linear_model import RidgeCV

        features = check_features(features, "features", least=4)
        self._names, numbers = _as_numbers(values, len(features))
        squares = np.var(features, axis=0).sum() * len(features) / min(features.shape)
        self._ridge = RidgeCV(np.multiply(penalties, squares)).fit(features, numbers)

    def __call__(self, features):
        """Predict numbers or categories, (n,), from features, (n, d)."""
        width = self._ridge.n_features_in_
        features = check_features(features, "features", least=1, width=width)
        scores = self._ridge.predict(features)
        if self._names is None:
            return scores
        return self._names[scores.argmax(axis=1)]


def pearson(x, y):
    """Compute the correlation (Pearson) of two samples: 0 where one does not vary."""
    if not np.ptp(x) or not np.ptp(y):
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])


def follows_number(asked, predicted, *, shuffles=1000, seed=0):
    """Compare a requested number, such as age, with the one predicted from samples.

    Parameters
    ----------
    asked, predicted : array_like of shape (n,)
        Requested values, and those predicted from each sample.
    shuffles : int, optional
        Number of shuffles of the control.
    seed : int, optional
        Seed of the shuffles.

    Returns
    -------
    NumberFollowed
    """
    asked, predicted = _numbers(asked, "asked"), _numbers(predicted, "predicted")
    _same_length(asked, predicted)
    r, mae = pearson(asked, predicted), _error(asked, predicted)
    others = [*_shuffles(asked, shuffles, seed)]
    chance = np.array([pearson(other, predicted) for other in others])
    errors = [_error(other, predicted) for other in others]
    return NumberFollowed(
        r=r,
        mae=mae,
        control_r=float(chance.mean()),
        control_mae=float(np.mean(errors)),
        p_value=_p_value(chance, r),
        n=len(asked),
        slope=_slope(asked, predicted),
        slope_error=_slope_error(asked, predicted),
        center=float(asked.mean()),
        level=float(predicted.mean()),
        level_error=_slope_error(asked, predicted) * float(np.std(asked)),
    )


def follows_category(asked, predicted, *, shuffles=1000, seed=0):
    """Compare a requested category, such as sex, with the one predicted from samples.

    Parameters
    ----------
    asked, predicted, shuffles, seed
        As of `follows_number`.

    Returns
    -------
    CategoryFollowed
    """
    asked, predicted = np.asarray(asked), np.asarray(predicted)
    _same_length(asked, predicted)
    accuracy = _accuracy(asked, predicted)
    chance = np.array(
        [_accuracy(other, predicted) for other in _shuffles(asked, shuffles, seed)]
    )
    control, p_value = float(chance.mean()), _p_value(chance, accuracy)
    return CategoryFollowed(accuracy, control, p_value, len(asked))


def compare_trends(asked, measured, real, real_measured, *, shuffles=1000, seed=0):
    """Compare the trend of a metric with a number in samples and in real brains.

    Parameters
    ----------
    asked, measured : array_like of shape (n,)
        The requested number (age), and a metric of each sample (ventricle volume).
    real, real_measured : array_like of shape (m,)
        Those of real brains.
    shuffles : int, optional
        Number of shuffles of the control, and of draws of the bootstrap.
    seed : int, optional
        Seed of both.

    Returns
    -------
    Trend

    Raises
    ------
    InputError
        If numbers are fewer than 4, not finite, or do not vary.
    """
    rng = random_stream("conditioning: trend", seed=seed)
    slope, draws, p_value = _trend(asked, measured, shuffles, rng)
    real_slope, real_draws, real_p_value = _trend(real, real_measured, shuffles, rng)
    low, high = _middle(draws - real_draws)
    return Trend(
        slope=slope,
        interval=_middle(draws),
        p_value=p_value,
        real_slope=real_slope,
        real_interval=_middle(real_draws),
        real_p_value=real_p_value,
        ratio=slope / real_slope if real_slope else float("nan"),
        agrees=bool(low <= 0 <= high),
    )


def _trend(numbers, measured, shuffles, rng):
    """Compute the slope, its bootstrap draws and its p-value."""
    x, y = _numbers(numbers, "numbers"), _numbers(measured, "measures")
    _same_length(x, y)
    if np.ptp(x) == 0:
        raise InputError(f"trend: all {len(x)} numbers are {x[0]:g}; expected several")
    rows = (rng.integers(len(x), size=len(x)) for _ in range(shuffles))
    draws = np.array([_slope(x[row], y[row]) for row in rows])
    chance = np.array([_slope(rng.permutation(x), y) for _ in range(shuffles)])
    slope = _slope(x, y)
    return slope, draws, _p_value(np.abs(chance), abs(slope))


def _slope(x, y):
    x = x - x.mean()
    squares = x @ x
    return float(x @ y / squares) if squares else 0.0


def _slope_error(x, y):
    """Compute the standard error of a regression line's slope: float."""
    squares, slope = np.sum((x - x.mean()) ** 2), _slope(x, y)
    if not squares or len(x) < 3:
        return float("nan")
    rest = (y - y.mean()) - slope * (x - x.mean())
    return float(np.sqrt(rest @ rest / (len(x) - 2) / squares))


def _middle(draws):
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def _shuffles(values, shuffles, seed):
    rng = random_stream("conditioning: shuffles", seed=seed)
    return (rng.permutation(values) for _ in range(shuffles))


def _p_value(chance, value):
    """Compute the fraction of the shuffles that reach a value, itself included."""
    return float((np.sum(chance >= value - 1e-12) + 1) / (len(chance) + 1))


def _error(x, y):
    return float(np.abs(x - y).mean())


def _accuracy(asked, predicted):
    """Compute the balanced accuracy over the requested categories."""
    right = predicted == asked
    return float(np.mean([right[asked == name].mean() for name in np.unique(asked)]))


def _numbers(values, name, least=4):
    values = np.asarray(values, "float64")
    if values.ndim != 1 or len(values) < least or not np.all(np.isfinite(values)):
        raise InputError(
            f"{name}: array {values.shape}; expected {least} or more finite numbers"
        )
    return values


def _same_length(x, y):
    if x.shape != y.shape or x.ndim != 1 or not len(x):
        raise InputError(f"{x.shape} asked, {y.shape} predicted; expected as many")


def _as_numbers(values, n):
    """Return the categories, or None, and the values as numbers: (n,) or (n, k)."""
    values = np.asarray(values)
    if values.shape != (n,):
        raise InputError(f"{values.shape} values of {n} volumes; expected one of each")
    if values.dtype.kind in "fiu":
        return None, _numbers(values, "values")
    if values.dtype.kind not in "US":
        raise InputError(f"values {values.dtype}: expected only numbers, or only names")
    names = np.unique(values)
    if not 2 <= len(names) <= n / 2:
        raise InputError(
            f"{n} values of the categories {', '.join(map(str, names))}: expected two "
            "or more, of two values each"
        )
    return names, np.where(values[:, None] == names, 1.0, -1.0)
