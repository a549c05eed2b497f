"""Figures that tell an odd volume from its cohort, from arrays alone."""

from dataclasses import dataclass, field

import numpy as np

from dipy_synth.errors import InputError

BINS = 50
LIMIT = 3.5  # robust standard deviations, as Iglewicz and Hoaglin advise
# Figure -> the directions that are odd: no brain is too much like the others.
FIGURES = {"brain_volume": "both", "correlation": "low", "histogram_distance": "high"}


@dataclass(frozen=True)
class QualityRow:
    """The figures of one volume.

    Parameters
    ----------
    name : str
        Name of the volume.
    brain_volume : float
        In mL.
    correlation : float
        Pearson correlation with the mean of all other volumes, over the voxels
        where either is not 0. NaN in a cohort of one.
    histogram_distance : float
        Wasserstein-1 distance between the intensities in the brain and those of all
        other volumes: how far intensities must move, of a range of 1, to become
        theirs. NaN in a cohort of one.
    z : dict
        Figure to its robust z: distance from the cohort's median, in units of the
        median absolute deviation (scaled to be the standard deviation of a normal
        distribution).
    histogram : ndarray, (50,)
        Part of the brain's voxels in each bin of [0, 1].
    """

    name: str
    brain_volume: float
    correlation: float
    histogram_distance: float
    z: dict
    histogram: np.ndarray = field(repr=False, compare=False)

    @property
    def oddness(self):
        """How odd each figure is, the oddest first: dict of figure to float, >= 0."""
        sign = {"both": abs, "low": lambda z: max(-z, 0.0), "high": lambda z: max(z, 0)}
        odd = {name: float(sign[side](self.z[name])) for name, side in FIGURES.items()}
        return dict(sorted(odd.items(), key=lambda item: -item[1]))

    @property
    def score(self):
        """Outlier score: the oddness of the oddest figure, float."""
        return max(self.oddness.values())

    @property
    def odd(self):
        """Names of the figures beyond the limit, the oddest first: list of str."""
        return [name for name, value in self.oddness.items() if value >= LIMIT]


def measure_quality(volumes, masks=None, *, names=None, voxel_volumes=1.0):
    """Compare each volume of a cohort with all the others.

    Parameters
    ----------
    volumes : sequence of array, (n, I, J, K)
        Volumes in [0, 1], the background 0: an array, or anything with a length that
        gives one volume by its number. Each is asked for twice, one at a time.
    masks : sequence of array of bool, (n, I, J, K), optional
        The brains; where a volume is not 0 by default.
    names : sequence of str, (n,), optional
        One name per volume; its number by default.
    voxel_volumes : float or sequence of float, (n,), optional
        Volume of a voxel in mL.

    Returns
    -------
    rows : list of QualityRow, (n,)
        In the order of the volumes; `sorted_by_score` brings the worst to the top.
    mean : ndarray of float64, (I, J, K)
        The mean volume.

    Raises
    ------
    InputError
        If there is no volume.

    References
    ----------
    .. [1] Iglewicz and Hoaglin, "How to detect and handle outliers", ASQC Basic
       References in Quality Control 16, 1993.
    """
    n = len(volumes)
    if n == 0:
        raise InputError("no volume to measure: expected at least one")
    names = [str(i) for i in range(n)] if names is None else names
    total, histograms, counts = _totals(volumes, masks)
    figures = {
        "brain_volume": counts * np.broadcast_to(voxel_volumes, n),
        "correlation": np.full(n, np.nan),
        "histogram_distance": np.full(n, np.nan),
    }
    if n > 1:
        for i in range(n):
            volume = np.asarray(volumes[i])
            figures["correlation"][i] = correlation(volume, total - volume)
        figures["histogram_distance"] = _distances(histograms)
    z = {name: robust_z(values) for name, values in figures.items()}
    rows = [
        QualityRow(
            name=names[i],
            **{name: float(values[i]) for name, values in figures.items()},
            z={name: float(values[i]) for name, values in z.items()},
            histogram=histograms[i],
        )
        for i in range(n)
    ]
    return rows, total / n


def sorted_by_score(rows):
    """Sort rows, the worst first; equal scores by name.

    Parameters
    ----------
    rows : list of QualityRow

    Returns
    -------
    list of QualityRow
    """
    return sorted(rows, key=lambda row: (-row.score, row.name))


def robust_z(values):
    """Tell how far each value is from the median, in robust standard deviations.

    Parameters
    ----------
    values : array_like, (n,)
        Any unit; NaN where unknown.

    Returns
    -------
    ndarray, (n,)
        Signed; 0 where the value is unknown or all are equal. Where more than half of
        the values are equal, their median deviation is 0, and the mean absolute
        deviation takes its place.
    """
    values = np.asarray(values, dtype=float)
    z, known = np.zeros(values.shape), np.isfinite(values)
    if not known.any():
        return z
    away = values[known] - np.median(values[known])
    # Both are the standard deviation when the values are normal.
    scale = 1.482602 * np.median(np.abs(away))
    scale = scale or 1.253314 * np.mean(np.abs(away))
    z[known] = away / scale if scale else 0.0
    return z


def correlation(volume, other):
    """Pearson correlation over the voxels where one of two volumes is not 0.

    The background that both share would only flatter, the more the larger the grid.

    Parameters
    ----------
    volume, other : array, (I, J, K)
        Two volumes, not negative, whose background is 0.

    Returns
    -------
    float
        0 where one of them is constant.
    """
    volume, other = np.asarray(volume), np.asarray(other)
    either = (volume > 1e-6) | (other > 1e-6)  # a sum less its part is not exactly 0
    a, b = volume[either].astype(float), other[either].astype(float)
    if not a.size:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norms) if norms else 0.0


def _totals(volumes, masks):
    """Give the sum of the volumes, their histograms and their voxels in the brain."""
    total, histograms, counts = 0.0, [], []
    for i in range(len(volumes)):
        volume = np.asarray(volumes[i])
        inside = volume > 0 if masks is None else np.asarray(masks[i]) > 0
        values = np.clip(volume[inside], 0, 1)
        found = np.histogram(values, bins=BINS, range=(0, 1))[0]
        histograms.append(found / max(values.size, 1))
        counts.append(values.size)
        total = total + volume.astype(float)
    return total, np.array(histograms), np.array(counts)


def _distances(histograms):
    """Wasserstein-1 distance of each histogram to the mean of the others.

    In one dimension it is the area between the two cumulative distributions.
    """
    others = (histograms.sum(axis=0) - histograms) / (len(histograms) - 1)
    apart = np.cumsum(histograms - others, axis=1)
    return np.abs(apart).sum(axis=1) / BINS
