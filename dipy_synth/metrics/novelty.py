"""Metrics of novelty and diversity: authenticity, Vendi score, feature likelihood."""

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import logsumexp, softmax

from dipy_synth.errors import InputError
from dipy_synth.metrics.array_checks import check_features
from dipy_synth.utils.random import random_stream

LEAST_SD = 0.05  # of a feature's SD: the narrowest Gaussian about a sample
_STEPS = 100  # of expectation maximisation


def authenticity(train, synthetic):
    """Compute the fraction of authentic samples: AuthPct.

    A sample is authentic if its nearest training volume is further from it than that
    volume is from its own nearest neighbour in the training set
    (:footcite:p:`alaa2022faithful`, section 3.3).

    Parameters
    ----------
    train : array_like of shape (n, d)
        Features of training volumes.
    synthetic : array_like of shape (m, d)
        Features of samples.

    Returns
    -------
    float
        In [0, 1]: 0 for copies, and for new volumes of the same distribution about a
        half in few dimensions, more in many.

    References
    ----------
    .. footbibliography::
    """
    train = check_features(train, "training features")
    synthetic = check_features(
        synthetic, "synthetic features", least=1, width=train.shape[1]
    )
    apart = cdist(synthetic, train)
    own = cdist(train, train)
    np.fill_diagonal(own, np.inf)
    nearest = apart.argmin(axis=1)
    return float(np.mean(apart.min(axis=1) > own.min(axis=1)[nearest]))


def vendi_score(features, *, scale=None):
    """Compute the effective number of different volumes: the Vendi score.

    It is the exponential of the entropy of the eigenvalues of the volumes' similarity
    matrix, divided by their number (:footcite:p:`friedman2023vendi`, eq. 1).

    Parameters
    ----------
    features : array_like of shape (n, d)
        Features of each volume.
    scale : float, optional
        Width of a Gaussian similarity, ``exp(-|x - y|^2 / (2 scale^2))``. By default
        the similarity is the cosine, as in the paper.

    Returns
    -------
    float
        From 1, where all are equal, to n, where all similarities are 0.

    References
    ----------
    .. footbibliography::
    """
    features = check_features(features, "features", least=1)
    if scale is None:
        norms = np.linalg.norm(features, axis=1, keepdims=True)
        unit = features / np.maximum(norms, 1e-12)
        similar = unit @ unit.T
    else:
        similar = np.exp(-cdist(features, features, "sqeuclidean") / (2 * scale**2))
    np.fill_diagonal(similar, 1)
    values = np.linalg.eigvalsh(similar / len(similar))
    values = values[values > 1e-12]
    return float(np.exp(-np.sum(values * np.log(values))))


def vendi_ratio(real, synthetic):
    """Compute the Vendi score of synthetic volumes as a share of that of real ones.

    Parameters
    ----------
    real, synthetic : array_like of shape (n, d) and (m, d)
        Features of each volume; the first ``min(n, m)`` of either side are taken.

    Returns
    -------
    float
        Below 1 where synthetic volumes are less diverse; 1 / n where all are alike.
    """
    n = min(len(real), len(synthetic))
    return vendi_score(synthetic[:n]) / vendi_score(real[:n])


def feature_likelihood_divergence(train, held_out, synthetic, *, seed=0):
    """Compute the feature likelihood divergence, FLD.

    In FLD (:footcite:p:`jiralerspong2023fld`, eq. 4) the density is a mixture of
    Gaussians about the samples, with equal weights and with variances fitted to the
    training volumes by expectation maximisation. The likelihood of held-out volumes is
    high where samples are near, many, and no copies: a copy's Gaussian is narrow and
    holds only its original. The zero is the value of half of the training volumes as
    samples, with variances fitted to the other half.

    Parameters
    ----------
    train, held_out, synthetic : array_like of shape (n, d), (h, d) and (m, d)
        Features of training volumes, of real volumes held out, and of samples.
    seed : int, optional
        Seed of the halves.

    Returns
    -------
    float
        In hundredths of a nat per feature; less is better.

    References
    ----------
    .. footbibliography::
    """
    train = check_features(train, "training features", least=4)
    width = train.shape[1]
    others = [
        check_features(x, f"{name} features", least=1, width=width)
        for name, x in (("held-out", held_out), ("synthetic", synthetic))
    ]
    mean, sd = train.mean(axis=0), train.std(axis=0)
    if not sd.all():
        raise InputError("training features: one is constant; expected none")
    train, held_out, synthetic = ((x - mean) / sd for x in (train, *others))
    order = random_stream("novelty: halves", seed=seed).permutation(len(train))
    half, rest = np.array_split(train[order], 2)
    found = _surprise(held_out, synthetic, fit_variances(synthetic, train))
    base = _surprise(held_out, half, fit_variances(half, rest))
    return float(100 * (found - base) / width)


def fit_variances(centers, points):
    """Fit the variance, (m,), of a Gaussian about each center (m, d) to points (n, d).

    Features are standardised; variances are at least 0.05 squared.
    """
    squares = cdist(points, centers, "sqeuclidean")
    d = points.shape[1]
    variances = np.full(len(centers), np.mean(squares) / d)
    for _ in range(_STEPS):
        share = softmax(_log_densities(squares, variances, d), axis=1)
        weights = share.sum(axis=0)
        fitted = (share * squares).sum(axis=0) / np.maximum(d * weights, 1e-12)
        variances = np.maximum(np.where(weights > 1e-9, fitted, variances), LEAST_SD**2)
    return variances


def _log_densities(squares, variances, d):
    """Return the log density of each Gaussian in d dimensions at each point: (n, m)."""
    return -squares / (2 * variances) - d / 2 * np.log(2 * np.pi * variances)


def _surprise(points, centers, variances):
    """Return the mean negative log density of points under the mixture: float."""
    squares = cdist(points, centers, "sqeuclidean")
    logs = _log_densities(squares, variances, points.shape[1])
    return float(-np.mean(logsumexp(logs, axis=1) - np.log(len(centers))))
