"""Distances of the intensity histograms of synthetic and real brains."""

import numpy as np

from dipy_synth.metrics.array_checks import check_pair

BINS = 256


def intensity_histogram(brain):
    """Compute the fraction of a `Brain`'s voxels in each of 256 bins from 0 to 1.

    An empty brain counts as all 0.
    """
    values = brain.values[brain.mask] if brain.mask.any() else np.zeros(1)
    counts = np.histogram(np.clip(values, 0, 1), BINS, (0, 1))[0]
    return counts / counts.sum()


def wasserstein(histogram, other):
    """Compute the 1-Wasserstein distance of histograms (..., bins) on [0, 1].

    In one dimension it is the area between the distribution functions
    :footcite:p:`vallender1974wasserstein`: the mean displacement of intensities, in
    units of the range.

    References
    ----------
    .. footbibliography::
    """
    apart = np.cumsum(np.asarray(histogram, float) - np.asarray(other, float), axis=-1)
    return np.abs(apart).sum(axis=-1) / apart.shape[-1]


def histogram_distance(real, synthetic):
    """Compute the distance of two cohorts' pooled histograms.

    Parameters
    ----------
    real, synthetic : array_like of shape (n, bins) and (m, bins)
        The histogram of each volume; all volumes have equal weight.

    Returns
    -------
    float
        1-Wasserstein distance, in units of the range.
    """
    real, synthetic = check_pair(real, synthetic, "histograms", least=1)
    return float(wasserstein(real.mean(axis=0), synthetic.mean(axis=0)))
