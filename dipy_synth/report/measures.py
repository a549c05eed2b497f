"""Quality metrics of volumes, and their outlier scores within a cohort."""

from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import affine_transform, center_of_mass
from scipy.spatial.transform import Rotation

from dipy_synth.errors import InputError
from dipy_synth.metrics.array_checks import correlation
from dipy_synth.metrics.histograms import wasserstein

BINS = 50
ENOUGH = 20  # least number of volumes for outlier scores
LIMIT = 3.5  # robust standard deviations, as Iglewicz and Hoaglin advise
# Metric -> the side of outliers; similarity is one-sided.
SCAN_METRICS = {
    "brain_volume": "both",
    "correlation": "low",
    "symmetry": "low",
    "histogram_distance": "high",
    "tilt": "high",
    "alignment": "low",
}
# Robust z needs symmetric distributions: Fisher's transformation for correlations.
TRANSFORMS = dict.fromkeys(("correlation", "symmetry", "alignment"), np.arctanh)
COARSE = 4.0  # mm, block size of the comparison: folds differ in all brains


@dataclass(frozen=True)
class QualityRow:
    """The metrics of one volume; NaN where unknown, as in a cohort of one.

    Parameters
    ----------
    name : str
        Name of the volume.
    brain_volume : float
        In mL.
    correlation : float
        Pearson correlation with the mean of all other volumes, over the voxels
        where either is not 0; all brains at one size, in blocks of about 4 mm.
    symmetry : float
        Correlation with its left-right mirror image.
    histogram_distance : float
        Wasserstein-1 distance between the intensities in the brain and those of all
        other volumes, in units of the range.
    tilt : float
        Angle between the native head and the mean orientation of the cohort's
        heads, in degrees.
    alignment : float
        Correlation with the template after the alignment.
    z : dict
        Metric to its robust z, see `robust_z`; of a correlation, after Fisher's
        transformation.
    histogram : ndarray of shape (50,)
        Fraction of the brain's voxels in each bin of [0, 1].
    enough : bool, optional
        Whether there are enough volumes for outlier scores, 20.
    warnings : tuple of str, optional
        Warnings of its preparation.
    """

    name: str
    brain_volume: float
    correlation: float
    symmetry: float
    histogram_distance: float
    tilt: float
    alignment: float
    z: dict
    histogram: np.ndarray = field(repr=False, compare=False)
    enough: bool = True
    warnings: tuple = ()

    @property
    def outlier_scores(self):
        """Outlier score of each metric, the highest first: dict of float, >= 0."""
        sign = {"both": abs, "low": lambda z: max(-z, 0.0), "high": lambda z: max(z, 0)}
        scores = {n: float(sign[side](self.z[n])) for n, side in SCAN_METRICS.items()}
        return dict(sorted(scores.items(), key=lambda item: -item[1]))

    @property
    def score(self):
        """Highest outlier score, float."""
        return max(self.outlier_scores.values())

    @property
    def outliers(self):
        """Names of the metrics beyond the limit, highest score first: list of str.

        Empty where there are too few volumes.
        """
        scores = self.outlier_scores.items() if self.enough else ()
        return [name for name, value in scores if value >= LIMIT]

    @property
    def stands_out(self):
        """Whether it is an outlier, or its preparation has warnings: bool."""
        return bool(self.warnings or self.outliers)


def measure_quality(
    pairs,
    *,
    names=None,
    voxel_volumes=1.0,
    voxel_size=None,
    orientations=None,
    alignments=None,
    warnings=None,
):
    """Compare each volume of a cohort with all the others.

    Parameters
    ----------
    pairs : iterable of tuple (ndarray of shape (I, J, K)), (ndarray of shape (I, J, K))
        Volumes in [0, 1], the background 0, and their masks. Each is read once, and
        only a coarse copy of it is kept.
    names : sequence of str, (n,), optional
        One name per volume; its number by default.
    voxel_volumes : float or sequence of float, (n,), optional
        Native volume of a voxel in mL.
    voxel_size : sequence of float, (3,), optional
        Voxel size in mm; one voxel is one block by default.
    orientations : ndarray of shape (n, 3, 3), optional
        Rotation of each native head, from prepared to native axes.
    alignments : sequence of float, (n,), optional
        Correlation of each with the template, NaN where it was not aligned.
    warnings : sequence of tuple of str, (n,), optional
        Warnings of the preparation of each.

    Returns
    -------
    rows : list of QualityRow, (n,)
        Rows in the order of the volumes, with robust z-scores
        :footcite:p:`iglewicz1993outliers`; see `sorted_by_score`.
    mean : ndarray of shape (I, J, K), float64
        The mean volume.
    share : ndarray of shape (I, J, K), float64
        Fraction of the masks at each voxel.

    Raises
    ------
    InputError
        If there is no volume.

    References
    ----------
    .. footbibliography::
    """
    blocks = np.ones(3) if voxel_size is None else COARSE / np.array(voxel_size)
    blocks = np.maximum(1, np.round(blocks)).astype(int)
    coarse, histograms, counts, mean, share = _totals(pairs, blocks)
    n = len(counts)
    volumes = _at_one_size(coarse, counts)
    total = sum(volumes)
    metrics = {
        "brain_volume": counts * np.broadcast_to(voxel_volumes, n),
        "correlation": np.full(n, np.nan),
        "symmetry": np.array([correlation(v, v[::-1]) for v in volumes]),
        "histogram_distance": np.full(n, np.nan),
        "tilt": np.full(n, np.nan),
        "alignment": np.full(n, np.nan),
    }
    if n > 1:
        found = [correlation(volume, total - volume) for volume in volumes]
        metrics["correlation"] = np.array(found)
        others = (histograms.sum(axis=0) - histograms) / (n - 1)
        metrics["histogram_distance"] = wasserstein(histograms, others)
    if orientations is not None:
        metrics["tilt"] = tilts(orientations)
    if alignments is not None:
        metrics["alignment"] = np.asarray(alignments, dtype=float)
    z = {name: robust_z(_transform(name, values)) for name, values in metrics.items()}
    rows = [
        QualityRow(
            name=str(i) if names is None else names[i],
            **{name: float(values[i]) for name, values in metrics.items()},
            z={name: float(values[i]) for name, values in z.items()},
            histogram=histograms[i],
            enough=n >= ENOUGH,
            warnings=() if warnings is None else tuple(warnings[i]),
        )
        for i in range(n)
    ]
    return rows, mean, share


def _transform(name, values):
    """Transform a metric to a more symmetric distribution."""
    if name not in TRANSFORMS:
        return values
    return TRANSFORMS[name](np.clip(values, -1 + 1e-9, 1 - 1e-9))


def tilts(orientations):
    """Compute the angle of each head to the cohort's mean orientation, in degrees.

    Orientations are matrices (n, 3, 3), whose scales and shears are ignored.
    """
    left, _, right = np.linalg.svd(np.asarray(orientations, dtype=float))
    turned = Rotation.from_matrix(left @ right)
    return np.degrees((turned * turned.mean().inv()).magnitude())


def sorted_by_score(rows):
    """Sort rows: those with warnings first, then by score, the worst first."""
    return sorted(rows, key=lambda row: (not row.warnings, -row.score, row.name))


def robust_z(values):
    """Compute robust z-scores (n,): signed deviations from the median in robust SDs.

    The unit is the median absolute deviation, scaled to be the standard deviation of a
    normal distribution; where more than half of the values are equal, it is 0, and the
    mean absolute deviation is used instead. A value that is unknown (NaN), or equal to
    all others, has 0.
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


def _totals(pairs, blocks):
    """Compute coarse copies, histograms and voxel counts; mean volume and mean mask."""
    mean, share, coarse, histograms, counts = 0.0, 0.0, [], [], []
    for volume, mask in pairs:
        volume, inside = np.asarray(volume), np.asarray(mask) > 0
        values = np.clip(volume[inside], 0, 1)
        found = np.histogram(values, bins=BINS, range=(0, 1))[0]
        histograms.append(found / max(values.size, 1))
        counts.append(values.size)
        coarse.append(_in_blocks(volume, blocks))
        mean, share = mean + volume.astype(float), share + inside
    n = len(counts)
    if n == 0:
        raise InputError("no volume to compare: expected at least one")
    return coarse, np.array(histograms), np.array(counts), mean / n, share / n


def _in_blocks(volume, blocks):
    """Average a volume in blocks of voxels, padded with 0."""
    volume = np.pad(volume, [(0, -n % b) for n, b in zip(volume.shape, blocks)])
    parts = [part for n, b in zip(volume.shape, blocks) for part in (n // b, b)]
    return volume.reshape(parts).mean(axis=(1, 3, 5), dtype=np.float32)


def _at_one_size(volumes, counts):
    """Scale brains to the median size, about the centre of the mean brain.

    Without scaling, a large brain would be less similar to the mean than a small one.
    Lengths change by a quarter at most, as in real brains.
    """
    total = sum(volumes)
    if not total.any():
        return volumes
    center = np.array(center_of_mass(total))
    factors = np.cbrt(counts / max(np.median(counts), 1)).clip(0.8, 1.25)
    return [
        affine_transform(v, np.full(3, f), offset=center * (1 - f), order=1)
        for v, f in zip(volumes, factors)
    ]
