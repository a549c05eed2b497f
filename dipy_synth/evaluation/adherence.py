"""Adherence to conditions: predicted covariates beside the requested ones."""

from dataclasses import dataclass

import numpy as np

from dipy_synth.evaluation.extractors import in_parts, voxel_pca
from dipy_synth.metrics.conditioning import (
    RidgePredictor,
    compare_trends,
    follows_category,
    follows_number,
)
from dipy_synth.utils.cells import column_number, column_word, is_missing

NOT_EVALUATED = "not evaluated"
LEAST = 8  # least number of volumes with a value
_FOR_PREDICTION = 48  # components, regularised by the penalty


@dataclass(frozen=True)
class Followed:
    """Adherence of volumes to one condition.

    Parameters
    ----------
    column : str
        Name of the condition.
    synthetic : NumberFollowed or CategoryFollowed
        Prediction from synthetic volumes against the requested values.
    real : NumberFollowed or CategoryFollowed or None
        Prediction from real volumes that the predictor was not fitted on, for the
        accuracy of the predictor itself.
    predicted : tuple, (n,)
        Prediction from each synthetic volume.
    real_known, real_predicted : tuple, (m,), optional
        Known values of the real volumes, and the predictions, for a chart.
    """

    column: str
    synthetic: object
    real: object
    predicted: tuple
    real_known: tuple = ()
    real_predicted: tuple = ()


def follow_conditions(synthetic, real, fit, *, predictor=None, seed=0):
    """Predict conditions from volumes, and compare them with the requested ones.

    The predictor has a method ``predict``: volumes -> dict of column to values (n,);
    without one a regression is fitted on the Volumes `fit`. Returns a tuple of
    Followed, and notes, str, on requested columns that are missing.
    """
    columns = dict.fromkeys(name for row in synthetic.rows for name in row)
    columns = [name for name in columns if _varies(synthetic, name)]
    if not columns:
        why = f"none that was requested differs between {LEAST} volumes or more"
        return (), (f"conditions: {NOT_EVALUATED}, since {why}",)
    differ = {name: _difference(synthetic, (real, fit), name) for name in columns}
    notes = tuple(
        f"{n}: {NOT_EVALUATED}, {words}" for n, words in differ.items() if words
    )
    columns = [name for name in columns if not differ[name]]
    if not columns:
        return (), notes
    predict = _by_regression(fit, columns) if predictor is None else predictor.predict
    read, truth = predict(synthetic.volumes), predict(real.volumes)
    found = tuple(
        Followed(
            column=name,
            synthetic=_compared(synthetic, name, read[name], seed),
            real=_compared(real, name, truth[name], seed),
            predicted=tuple(np.asarray(read[name]).tolist()),
            real_known=tuple(real.column(name)),
            real_predicted=tuple(np.asarray(truth[name]).tolist()),
        )
        for name in columns
        if name in read
    )
    missing = [name for name in columns if name not in read]
    unread = tuple(
        f"{name}: {NOT_EVALUATED}, since {_why_unread(fit, name, predictor)}"
        for name in missing
    )
    return found, notes + unread


def _why_unread(fit, name, predictor):
    """Describe why a column was not predicted."""
    if predictor is not None:
        return "the predictor cannot predict it"
    if len(_known(fit, name)[1]):
        return f"a regression on {fit.name} cannot predict it"
    there = ", ".join(sorted({column for row in fit.rows for column in row}))
    return f"{fit.name} has no values of it (it has {there or 'no columns'})"


def _difference(synthetic, others, name):
    """Describe how a column of real volumes differs in type or categories, or ""."""
    asked = _known(synthetic, name)[1]
    for side in others:
        real = _known(side, name)[1]
        if not len(real):
            continue
        shared = set(asked) & set(real) or _is_number(asked)
        if _is_number(real) != _is_number(asked) or not shared:
            return (
                f"since it is {_in_words(asked)} in {synthetic.name} and "
                f"{_in_words(real)} in {side.name}"
            )
    return ""


def _in_words(values):
    if _is_number(values):
        return "a number"
    return ", ".join(sorted(set(values.tolist()))[:4])


def compare_ageing(synthetic, measured, real, real_measured, *, seed=0):
    """Compare the growth of ventricles, in mL, with age in synthetic and real volumes.

    Return a Trend, or None where ages are unknown, or do not differ.
    """
    pairs = [
        _numbers(side.column("age"), values)
        for side, values in ((synthetic, measured), (real, real_measured))
    ]
    if any(len(ages) < LEAST or np.ptp(ages) == 0 for ages, _ in pairs):
        return None
    return compare_trends(*pairs[0], *pairs[1], seed=seed)


def _numbers(ages, measured):
    """Return ages and metrics where both are known: two arrays (n,)."""
    pairs = [(column_number("age", a), m) for a, m in zip(ages, measured)]
    known = np.array([pair for pair in pairs if pair[0] is not None], "float64")
    return tuple(known.reshape(-1, 2).T)


def _known(volumes, name):
    """Return which volumes have a value, and those values, all numbers or all words."""
    values = volumes.column(name)
    there = np.array([not is_missing(value) for value in values])
    known = [value for value, k in zip(values, there) if k]
    numbers = [column_number(name, value) for value in known]
    if numbers and None not in numbers:
        return there, np.array(numbers, "float64")
    return there, np.array([column_word(name, value) for value in known], "str")


def _is_number(values):
    return values.dtype.kind == "f"


def _varies(volumes, name):
    values = _known(volumes, name)[1]
    return len(values) >= LEAST and len(np.unique(values)) > 1


def _by_regression(fit, columns):
    """Fit a function that predicts columns of numbers, or of categories."""
    if len(fit) < LEAST:
        return lambda volumes: {}
    extract = voxel_pca(fit.volumes, grid=fit.grid, components=_FOR_PREDICTION)
    features, readers = in_parts(extract, fit.volumes), {}
    for name in columns:
        there, values = _known(fit, name)
        kinds = len(np.unique(values))
        most = len(values) / (1 if _is_number(values) else 2)
        if len(values) >= LEAST and 2 <= kinds <= most:
            readers[name] = RidgePredictor(features[there], values)

    def predict(volumes):
        features = in_parts(extract, volumes)
        return {name: read(features) for name, read in readers.items()}

    return predict


def _compared(volumes, name, read, seed):
    """Compare predicted with known values; None where they are too few."""
    if not _varies(volumes, name):
        return None
    there, known = _known(volumes, name)
    compare = follows_number if _is_number(known) else follows_category
    return compare(known, np.asarray(read)[there], seed=seed)
