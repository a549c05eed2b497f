"""Acceptance ranges of metrics, fitted to real brains, and their verdicts."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from dipy_synth.grid import Grid
from dipy_synth.metrics.anatomy import describe_brain
from dipy_synth.metrics.array_checks import check_volumes
from dipy_synth.metrics.sharpness import high_frequency_power
from dipy_synth.utils.rows import total

LEAST = 8  # least number of real brains for percentiles
_PERCENTILES = 5, 50, 95  # of real brains; the band between is widened by its halves


class _Rule(NamedTuple):
    """Rule of a metric: its name in words, the sides that fail, the least margin."""

    words: str
    low: bool
    high: bool
    margin: float


BRAIN_METRICS = {
    "largest_share": _Rule("largest component's share", True, False, 0.01),
    "brain_ml": _Rule("brain volume in mL", True, True, 0.0),
    "symmetry": _Rule("left-right correlation", True, False, 0.05),
    "similarity": _Rule("correlation with the mean brain", True, False, 0.05),
    "sharpness": _Rule("high-frequency power of real", True, True, 0.1),
    "white_detail": _Rule("white matter's fine detail", False, True, 0.05),
    "csf_share": _Rule("fluid's share of the brain", True, True, 0.02),
    "grey_share": _Rule("grey matter's share of the brain", True, True, 0.02),
    "white_share": _Rule("white matter's share of the brain", True, True, 0.02),
    "ventricles_ml": _Rule("ventricles in mL", True, True, 2.0),
}


@dataclass(frozen=True)
class AcceptanceRanges:
    """Acceptance ranges of the metrics of a brain.

    Parameters
    ----------
    grid : Grid
        Grid of the volumes.
    limits : dict of str to tuple of float, (2,)
        Metric to the lowest and the highest value that pass.
    mean : ndarray of shape (I, J, K), float32
        The mean real brain.
    power : float
        Mean high-frequency power of real brains.
    tissues : bool
        Whether tissues are segmented.
    n : int
        Number of real brains they were fitted to.
    real : tuple of dict, (n,), optional
        Metrics of the real brains.
    left_out : tuple of bool, (n,), optional
        Whether each of them passes by ranges fitted to the others.
    """

    grid: Grid
    limits: dict
    mean: np.ndarray
    power: float
    tissues: bool
    n: int
    real: tuple = ()
    left_out: tuple = ()


@dataclass(frozen=True)
class Verdict:
    """Verdict on one volume.

    Parameters
    ----------
    passed : bool
        Whether all metrics are within their ranges.
    reasons : tuple of str
        One reason per metric that failed.
    metrics : dict of str to float
        Metrics of `dipy_synth.metrics.anatomy.describe_brain`.
    """

    passed: bool
    reasons: tuple
    metrics: dict


def fit_acceptance_ranges(real, *, grid, tissues=True, each=map):
    """Fit acceptance ranges to real brains.

    A band goes from the 5th to the 95th percentile and is then widened, on either side,
    by its distance from the median. Of a normally distributed metric that is 3.3
    standard deviations, so that about 1 of 100 real brains fails by any metric.

    Parameters
    ----------
    real : array_like of shape (n, I, J, K)
        Real volumes, preferably ones that no model was trained on.
    grid : Grid
        Grid of the volumes.
    tissues : bool, optional
        Evaluate tissues and ventricles, too: 2 s more for each volume at 2 mm.
    each : callable, optional
        Map, as the builtin: ``(function, volumes) -> iterable``, for instance a
        parallel one, or one with a progress bar.

    Returns
    -------
    AcceptanceRanges

    Raises
    ------
    InputError
        If there are fewer than 8 volumes, or they do not fit the grid.
    """
    real = check_volumes(real, "real volumes", least=LEAST, shape=grid.shape)
    summed = total(real)
    power = float(np.mean([high_frequency_power(volume) for volume in real]))
    options = {"grid": grid, "power": power, "tissues": tissues}
    rows = tuple(each(partial(_describe_beside, total=summed, **options), real))
    left_out = tuple(
        not _failures(row, _bands(rows[:i] + rows[i + 1 :]))
        for i, row in enumerate(rows)
    )
    return AcceptanceRanges(
        limits=_bands(rows),
        mean=summed / len(real),
        n=len(real),
        real=rows,
        left_out=left_out,
        **options,
    )


def check_brains(volumes, ranges, *, each=map):
    """Check each volume by acceptance ranges.

    Parameters
    ----------
    volumes : array_like of shape (n, I, J, K)
        Volumes in [0, 1].
    ranges : AcceptanceRanges
        Ranges of `fit_acceptance_ranges` for real brains on the same grid.
    each : callable, optional
        As of `fit_acceptance_ranges`.

    Returns
    -------
    list of Verdict, (n,)

    Raises
    ------
    InputError
        If volumes do not fit the grid or are not finite.
    """
    volumes = check_volumes(volumes, "volumes", shape=ranges.grid.shape)
    options = {"grid": ranges.grid, "power": ranges.power, "tissues": ranges.tissues}
    rows = each(partial(describe_brain, mean=ranges.mean, **options), volumes)
    return [_verdict(row, ranges.limits) for row in rows]


def _describe_beside(volume, *, total, **options):
    """Describe a brain against the mean of the others, without its own part."""
    return describe_brain(volume, mean=total - volume, **options)


def _verdict(row, limits):
    reasons = tuple(
        f"{BRAIN_METRICS[name].words}: {row[name]:.4g}; real brains "
        f"{limits_in_words(*limits[name])}"
        for name in _failures(row, limits)
    )
    return Verdict(not reasons, reasons, row)


def count_reasons(reasons):
    """Count for how many volumes each metric is a reason, the most frequent first.

    `reasons` are those of each volume, ``metric: value; range``. Returns dict of str,
    the metric in words, to int.
    """
    names = [text.split(": ")[0] for volume in reasons for text in volume]
    return dict(Counter(names).most_common())


def limits_in_words(low, high, form="{:.4g}".format):
    """Write a range: str, "1 to 2", or with one limit "1 or more", "2 or less"."""
    if not np.isfinite(low):
        return f"{form(high)} or less"
    upper = f"to {form(high)}" if np.isfinite(high) else "or more"
    return f"{form(low)} {upper}"


def _failures(row, limits):
    """List the metrics that are outside of their limits: list of str."""
    return [n for n, (low, high) in limits.items() if not low <= row[n] <= high]


def _bands(rows):
    """Compute the band of each metric from those of real brains: dict."""
    names = [name for name in rows[0] if name in BRAIN_METRICS]
    return {n: _band([row[n] for row in rows], BRAIN_METRICS[n]) for n in names}


def _band(values, rule):
    """Compute the lowest and the highest value that pass."""
    low, middle, high = np.percentile(values, _PERCENTILES)
    low -= max(middle - low, rule.margin)
    high += max(high - middle, rule.margin)
    return (
        float(low) if rule.low else -np.inf,
        float(high) if rule.high else np.inf,
    )
