"""Distances of the distributions of features of two cohorts.

Every metric takes features of real volumes, then those of synthetic ones, one row per
volume, see `dipy_synth.metrics.features`. At small n such a value is meaningful only
with its floor and ceiling, see `dipy_synth.metrics.comparison`.
"""

import numpy as np
from scipy.spatial.distance import cdist, pdist

from dipy_synth.errors import InputError
from dipy_synth.metrics.array_checks import check_features, check_pair
from dipy_synth.utils.random import random_stream


def frechet_distance(mean, covariance, other_mean, other_covariance):
    """Compute the squared Fréchet distance of two Gaussians.

    It is ``|m - m'|^2 + tr(C) + tr(C') - 2 tr((C C')^(1/2))``
    :footcite:p:`dowson1982frechet`. The last trace is the sum of the singular values of
    ``C^(1/2) C'^(1/2)``: no square root of a matrix that is not symmetric is taken, so
    singular covariances do no harm.

    Parameters
    ----------
    mean, other_mean : array_like of shape (d,)
        Means of the features.
    covariance, other_covariance : array_like of shape (d, d)
        Covariances of the features, symmetric and not negative.

    Returns
    -------
    float
        In squared units of the features; 0 for equal Gaussians.

    References
    ----------
    .. footbibliography::
    """
    shift = np.asarray(mean, float) - np.asarray(other_mean, float)
    shared = np.linalg.norm(_root(covariance) @ _root(other_covariance), "nuc")
    traces = np.trace(covariance) + np.trace(other_covariance)
    return float(shift @ shift + traces - 2 * shared)


def fid(real, synthetic):
    """Compute the Fréchet distance of Gaussians fitted to features, FID.

    The trace of the root (:footcite:p:`heusel2017fid`, eq. 6) is taken from the
    features and not from covariances, so it is exact with fewer volumes than features,
    and there no d x d matrix is made.

    Parameters
    ----------
    real, synthetic : array_like of shape (n, d) and (m, d)
        Features of each volume.

    Returns
    -------
    float
        In squared units of the features. Two samples of one distribution give more
        than 0, the more the fewer they are: compare metrics of equal n only.

    References
    ----------
    .. footbibliography::
    """
    real, synthetic = check_pair(real, synthetic)
    shift = real.mean(axis=0) - synthetic.mean(axis=0)
    a, b = _factor(real), _factor(synthetic)
    # C = a'a and C' = b'b, so C C' and (a b')(a b')' have the same eigenvalues.
    shared = np.linalg.norm(a @ b.T, "nuc")
    return float(shift @ shift + np.sum(a**2) + np.sum(b**2) - 2 * shared)


def kid(real, synthetic):
    """Compute the unbiased squared MMD with a cubic kernel, KID.

    Kernel and estimate are those of :footcite:t:`binkowski2018kid`.

    Parameters
    ----------
    real, synthetic : array_like of shape (n, d) and (m, d)
        Features of each volume.

    Returns
    -------
    float
        Its mean over samples of one distribution is 0 whatever their sizes, so single
        values fall below 0 too.

    References
    ----------
    .. footbibliography::
    """
    real, synthetic = check_pair(real, synthetic)
    pairs = ((real, real), (synthetic, synthetic), (real, synthetic))
    return _unbiased(*((a @ b.T / a.shape[1] + 1) ** 3 for a, b in pairs))


def kid_of_subsets(real, synthetic, *, size=None, subsets=100, seed=0):
    """Compute KID over random subsets of both cohorts, as it is usually reported.

    Parameters
    ----------
    real, synthetic : array_like of shape (n, d) and (m, d)
        Features of each volume.
    size : int, optional
        Volumes in a subset; half of the smaller cohort by default.
    subsets : int, optional
        Number of subsets.
    seed : int, optional
        Random seed.

    Returns
    -------
    mean : float
    sd : float
        Over the subsets, with n as the divisor.
    interval : tuple of float, (2,)
        The middle 95 % of the subsets.

    Raises
    ------
    InputError
        If a subset would be larger than a cohort, or of fewer than two.
    """
    real, synthetic = check_pair(real, synthetic)
    smaller = min(len(real), len(synthetic))
    size = max(smaller // 2, 2) if size is None else size
    if not 2 <= size <= smaller:
        raise InputError(f"KID: subsets of {size}; expected 2 to {smaller}")
    rng = random_stream("distribution: subsets", seed=seed)
    values = [
        kid(*(x[rng.choice(len(x), size, replace=False)] for x in (real, synthetic)))
        for _ in range(subsets)
    ]
    low, high = np.quantile(values, [0.025, 0.975])
    return float(np.mean(values)), float(np.std(values)), (float(low), float(high))


def mmd(real, synthetic, *, bandwidth=None):
    """Compute the unbiased squared MMD with a Gaussian kernel.

    The estimate is eq. 3 of :footcite:t:`gretton2012mmd`.

    Parameters
    ----------
    real, synthetic : array_like of shape (n, d) and (m, d)
        Features of each volume.
    bandwidth : float, optional
        Standard deviation of the kernel, in units of the features; the median distance
        between two real volumes by default. (Of the real ones only: so it does not
        depend on the evaluated cohort.)

    Returns
    -------
    float
        At most 2; its mean over samples of one distribution is 0.

    References
    ----------
    .. footbibliography::
    """
    real, synthetic = check_pair(real, synthetic)
    if bandwidth is None:
        bandwidth = np.median(pdist(real))
    if not bandwidth > 0:
        raise InputError(f"MMD: bandwidth {bandwidth}; expected a number > 0")
    pairs = ((real, real), (synthetic, synthetic), (real, synthetic))
    scale = -0.5 / bandwidth**2
    return _unbiased(*(np.exp(scale * cdist(a, b, "sqeuclidean")) for a, b in pairs))


def inception_score(probabilities, *, splits=1):
    """Compute the inception score of class probabilities, IS.

    It is the exponential of the mean divergence of a volume's probabilities from the
    mean ones (:footcite:p:`salimans2016is`, section 4).

    Parameters
    ----------
    probabilities : array_like of shape (n, classes)
        Class probabilities of each volume; rows sum to 1.
    splits : int, optional
        Number of parts of the volumes, in their order; each has its own score.

    Returns
    -------
    mean : float
        From 1 (all alike, or all undecided) to the number of classes (each decided,
        all classes equally often).
    sd : float
        Over the parts, with n as the divisor.

    Raises
    ------
    InputError
        If rows are not probabilities, or a part would be empty.

    References
    ----------
    .. footbibliography::
    """
    p = check_features(probabilities, "class probabilities", least=max(splits, 1))
    if splits < 1 or np.any(p < 0) or not np.allclose(p.sum(axis=1), 1, atol=1e-3):
        raise InputError(
            f"class probabilities: {splits} parts of rows from {p.min():.3g}, summing "
            f"to {p.sum(axis=1).mean():.3g}; expected rows >= 0 that sum to 1"
        )
    edges = [i * len(p) // splits for i in range(splits + 1)]
    scores = [_score(p[a:b]) for a, b in zip(edges, edges[1:])]
    return float(np.mean(scores)), float(np.std(scores))


def precision_recall(real, synthetic, *, k=5):
    """Compute precision and recall by balls around each volume.

    A ball reaches to the k-th nearest neighbour in its own cohort
    (:footcite:p:`kynkaanniemi2019precision`, eq. 2). Precision is the fraction of
    synthetic volumes in a ball of a real one, recall the reverse.

    Parameters
    ----------
    real, synthetic : array_like of shape (n, d) and (m, d)
        Features of each volume.
    k : int, optional
        Number of the neighbour.

    Returns
    -------
    precision, recall : float
        In [0, 1]. Over samples of one distribution they stay below 1.

    References
    ----------
    .. footbibliography::
    """
    real, synthetic = check_pair(real, synthetic, least=k + 1)
    apart = cdist(real, synthetic)
    precise = (apart < _radii(real, k)[:, np.newaxis]).any(axis=0)
    recalled = (apart < _radii(synthetic, k)).any(axis=1)
    return float(precise.mean()), float(recalled.mean())


def density_coverage(real, synthetic, *, k=5):
    """Compute density and coverage, robust forms of precision and recall.

    Density :footcite:p:`naeem2020density` is the number of balls of real volumes that
    hold a synthetic one, so that the wide ball of one outlier counts once; coverage is
    the fraction of real volumes whose ball holds a synthetic one.

    Parameters
    ----------
    real, synthetic : array_like of shape (n, d) and (m, d)
        Features of each volume.
    k : int, optional
        Number of the neighbour.

    Returns
    -------
    density : float
        About 1 for equal distributions; not bounded by 1.
    coverage : float
        In [0, 1].

    References
    ----------
    .. footbibliography::
    """
    real, _ = check_pair(real, synthetic, least=k + 1)
    inside = cdist(real, synthetic) < _radii(real, k)[:, np.newaxis]
    return float(inside.sum(axis=0).mean() / k), float(inside.any(axis=1).mean())


def _root(matrix):
    """Compute the square root of a symmetric matrix; clip negative rounding errors."""
    values, vectors = np.linalg.eigh(np.asarray(matrix, float))
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def _factor(features):
    """Compute the smallest matrix `a` for which a'a is the covariance."""
    centered = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)
    if len(features) <= features.shape[1]:
        return centered
    return np.linalg.qr(centered, mode="r")


def _unbiased(within, others, between):
    """Compute unbiased MMD^2 from three kernel matrices, without their diagonals."""
    means = [
        (matrix.sum() - np.trace(matrix)) / (len(matrix) * (len(matrix) - 1))
        for matrix in (within, others)
    ]
    return float(sum(means) - 2 * between.mean())


def _score(p):
    """Compute exp of the mean KL divergence of each row from their mean."""
    ratio = np.log(np.maximum(p, 1e-300)) - np.log(np.maximum(p.mean(axis=0), 1e-300))
    return np.exp(np.sum(p * ratio, axis=1).mean())


def _radii(features, k):
    """Compute the distance of each row to its k-th nearest neighbour: (n,)."""
    return np.partition(cdist(features, features), k, axis=1)[:, k]
