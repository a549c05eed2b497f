"""Volumes of structures in two cohorts, compared."""

from dataclasses import dataclass

import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.utils.random import random_stream

_DRAWS = 1000  # of the bootstrap


@dataclass(frozen=True)
class VolumeDifference:
    """The volume of one structure in two cohorts.

    Parameters
    ----------
    name : str
        The structure, such as a region or a label.
    real, synthetic : tuple of float, (2,)
        Mean and standard deviation, in mL.
    difference : float
        Difference of the means, synthetic minus real, in standard deviations of the
        real brains (Glass's delta).
    interval : tuple of float, (2,)
        Its 95 % interval, by the bootstrap.
    """

    name: str
    real: tuple
    synthetic: tuple
    difference: float
    interval: tuple


def compare_volumes(real, synthetic, columns, *, use="regions: bootstrap", seed=0):
    """Compare the volumes of structures in two cohorts.

    Parameters
    ----------
    real, synthetic : sequence of dict, (n,) and (m,)
        Volumes of each brain, in mL.
    columns : dict of str to str
        Name of a structure to its key in these.
    use : str, optional
        Use of the random numbers, see `dipy_synth.utils.random.USES`.
    seed : int, optional
        Random seed of the bootstrap.

    Returns
    -------
    tuple of VolumeDifference
        One of each structure.

    Raises
    ------
    InputError
        If a cohort has fewer than two brains.
    """
    if min(len(real), len(synthetic)) < 2:
        raise InputError(
            f"{len(real)} and {len(synthetic)} brains: expected 2 or more of each"
        )
    rng = random_stream(use, seed=seed)
    draws = [rng.integers(n, size=(_DRAWS, n)) for n in (len(real), len(synthetic))]
    found = []
    for name, column in columns.items():
        a, b = (np.array([row[column] for row in rows]) for rows in (real, synthetic))
        many = _delta(a[draws[0]], b[draws[1]])
        many = many[np.isfinite(many)]
        limits = np.percentile(many, (2.5, 97.5)) if len(many) else (np.nan,) * 2
        found.append(
            VolumeDifference(
                name,
                *((float(x.mean()), float(x.std(ddof=1))) for x in (a, b)),
                float(_delta(a, b)),
                tuple(float(x) for x in limits),
            )
        )
    return tuple(found)


def _delta(real, synthetic):
    """Compute Glass's delta along the last axis; NaN where real values are equal."""
    std = real.std(axis=-1, ddof=1)
    std = np.where(std > 0, std, np.nan)
    return (synthetic.mean(axis=-1) - real.mean(axis=-1)) / std
