"""Verdicts: which volumes are brains, by pass marks that real brains have set."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.grid import Grid
from dipy_synth.metrics.anatomy import describe_brain
from dipy_synth.metrics.array_checks import check_volumes
from dipy_synth.metrics.sharpness import high_frequency_power

LEAST = 8  # real brains without which a percentile is no more than an extreme


class _Judged(NamedTuple):
    """How a figure is judged: its words, the sides that fail, the least margin."""

    words: str
    low: bool
    high: bool
    margin: float


FIGURES = {
    "largest_share": _Judged("largest component's share", True, False, 0.01),
    "brain_ml": _Judged("brain volume in mL", True, True, 0.0),
    "symmetry": _Judged("left-right correlation", True, False, 0.05),
    "likeness": _Judged("correlation with the mean brain", True, False, 0.05),
    "sharpness": _Judged("high-frequency power of real", True, True, 0.1),
    "csf_share": _Judged("fluid's share of the brain", True, True, 0.02),
    "grey_share": _Judged("grey matter's share of the brain", True, True, 0.02),
    "white_share": _Judged("white matter's share of the brain", True, True, 0.02),
    "ventricles_ml": _Judged("ventricles in mL", True, True, 2.0),
}


@dataclass(frozen=True)
class PassMarks:
    """What a volume must show to pass as a brain.

    Parameters
    ----------
    grid : Grid
        Where volumes lie.
    bands : dict of str to tuple of float, (2,)
        Figure to the lowest and the highest value that pass.
    mean : ndarray of float32, (I, J, K)
        The mean real brain.
    power : float
        Mean high-frequency power of real brains.
    tissues : bool
        Whether tissues are segmented.
    n : int
        Real brains they were set on.
    real : tuple of dict, (n,), optional
        Their figures.
    left_out : tuple of bool, (n,), optional
        Whether each of them passes by marks that were set on the others.
    """

    grid: Grid
    bands: dict
    mean: np.ndarray
    power: float
    tissues: bool
    n: int
    real: tuple = ()
    left_out: tuple = ()


@dataclass(frozen=True)
class Verdict:
    """What is said of one volume.

    Parameters
    ----------
    passed : bool
        Whether it is a brain by all figures.
    reasons : tuple of str
        One per figure that failed.
    figures : dict of str to float
        As `dipy_synth.metrics.anatomy.describe_brain` gives them.
    """

    passed: bool
    reasons: tuple
    figures: dict


def set_pass_marks(real, *, grid, tissues=True, percentile=5.0, widening=1.0, each=map):
    """Set pass marks on real brains.

    A band goes from the low to the high percentile and is then widened, on either side,
    by its distance from the median. With a normal figure and the defaults that is 3.3
    standard deviations, so that about 1 of 100 real brains fails by any figure.

    Parameters
    ----------
    real : array_like, (n, I, J, K)
        Real volumes, best those that no model was trained on.
    grid : Grid
        Where they lie.
    tissues : bool, optional
        Judge tissues and ventricles too: 2 s more for each volume at 2 mm.
    percentile : float, optional
        The low percentile; the high one is 100 less this.
    widening : float, optional
        How much is added, in units of the distance from the median.
    each : callable, optional
        ``(function, volumes) -> iterable`` of what the function gives for each, in
        order: in parallel, for instance, or with a progress bar.

    Returns
    -------
    PassMarks

    Raises
    ------
    InputError
        If there are fewer than 8 volumes, or they do not fit the grid.
    """
    real = check_volumes(real, "real volumes", least=LEAST, shape=grid.shape)
    total = real.sum(axis=0, dtype="float32")
    power = float(np.mean([high_frequency_power(volume) for volume in real]))
    told = {"grid": grid, "power": power, "tissues": tissues}
    rows = tuple(each(partial(_describe_beside, total=total, **told), real))
    width = {"percentile": percentile, "widening": widening}
    others = (rows[:i] + rows[i + 1 :] for i in range(len(rows)))
    left_out = tuple(
        not _failures(row, _bands(rest, **width)) for row, rest in zip(rows, others)
    )
    return PassMarks(
        bands=_bands(rows, **width),
        mean=total / len(real),
        n=len(real),
        real=rows,
        left_out=left_out,
        **told,
    )


def not_noise(volumes, marks, *, figures=None, each=map):
    """Say of each volume whether it is a brain.

    Parameters
    ----------
    volumes : array_like, (n, I, J, K)
        Volumes in [0, 1].
    marks : PassMarks
        What `set_pass_marks` gave for real brains on the same grid.
    figures : sequence of str, optional
        Figures that count, of `FIGURES`; all that have a mark by default. The others
        are measured all the same.
    each : callable, optional
        As of `set_pass_marks`.

    Returns
    -------
    list of Verdict, (n,)

    Raises
    ------
    InputError
        If volumes do not fit the grid or are not finite, or a figure has no mark.
    """
    volumes = check_volumes(volumes, "volumes", shape=marks.grid.shape)
    names = set(marks.bands if figures is None else figures)
    if unknown := names - set(marks.bands):
        raise InputError(
            f"figures {', '.join(sorted(unknown))}: expected some of "
            f"{', '.join(marks.bands)}"
        )
    told = {"grid": marks.grid, "power": marks.power, "tissues": marks.tissues}
    rows = each(partial(describe_brain, mean=marks.mean, **told), volumes)
    bands = {name: band for name, band in marks.bands.items() if name in names}
    return [_judge(row, bands) for row in rows]


def _describe_beside(volume, *, total, **told):
    """Describe a brain beside the others: its own part would make it more alike."""
    return describe_brain(volume, mean=total - volume, **told)


def _judge(row, bands):
    reasons = tuple(
        f"{FIGURES[name].words}: {row[name]:.4g}; real brains {bands[name][0]:.4g} to "
        f"{bands[name][1]:.4g}"
        for name in _failures(row, bands)
    )
    return Verdict(not reasons, reasons, row)


def _failures(row, bands):
    """Name the figures that are outside of their bands: list of str."""
    return [n for n, (low, high) in bands.items() if not low <= row[n] <= high]


def _bands(rows, *, percentile, widening):
    """Give the band of each figure from those of real brains: dict."""
    return {
        name: _band([row[name] for row in rows], FIGURES[name], percentile, widening)
        for name in rows[0]
    }


def _band(values, judged, percentile, widening):
    """Give the lowest and the highest value that pass."""
    low, middle, high = np.percentile(values, [percentile, 50, 100 - percentile])
    low -= max(widening * (middle - low), judged.margin)
    high += max(widening * (high - middle), judged.margin)
    return (
        float(low) if judged.low else -np.inf,
        float(high) if judged.high else np.inf,
    )
