"""Classifier two-sample test of real and synthetic brains.

A classifier is trained to separate the two cohorts, and tested on left-out volumes
:footcite:p:`lopezpaz2017classifier`. An AUC of 0.5 is chance, 1 a perfect separation.

References
----------
.. footbibliography::
"""

import numpy as np
from scipy.special import ndtr

from dipy_synth.errors import InputError
from dipy_synth.metrics.array_checks import check_pair
from dipy_synth.metrics.texture import (
    FEATURES,
    REGIONS,
    pooled_moments,
    shrink,
    volume_moments,
)
from dipy_synth.utils.random import random_stream

FOLDS, DIVISIONS = 5, 2


def classifier_auc(real, synthetic, *, subjects=None, seed=0):
    """Compute the cross-validated AUC of a linear classifier, real or synthetic.

    Linear discriminant analysis with a shrunk covariance
    (:footcite:p:`chen2010shrinkage`, eq. 23). Features are standardised, and the
    classifier fitted, on the other folds alone.

    Parameters
    ----------
    real, synthetic : array_like of shape (n, d) and (m, d)
        Features of each volume, such as `texture_features` makes.
    subjects : sequence, (n,), optional
        Subject of each real volume; those of one subject share a fold. By default each
        volume is of another subject.
    seed : int, optional
        Seed of the divisions into folds.

    Returns
    -------
    float
        Mean over the folds, 5 or as many as volumes of the smaller cohort, of two
        random divisions; values below 0.5 are chance.

    References
    ----------
    .. footbibliography::
    """
    real, synthetic = check_pair(real, synthetic)
    subjects = np.arange(len(real)) if subjects is None else np.asarray(subjects)
    if len(subjects) != len(real):
        raise InputError(f"{len(subjects)} subjects of {len(real)} real volumes")
    n = len(np.unique(subjects))
    rng, found = random_stream("classifier: splits", seed=seed), []
    for _ in range(DIVISIONS):
        parts = _folds(min(FOLDS, n, len(synthetic)), subjects, len(synthetic), rng)
        for a, b in parts:
            direction = _discriminant(real[~a], synthetic[~b])
            found.append(_auc(real[a] @ direction, synthetic[b] @ direction))
    return float(np.mean(found))


def block_auc(real, synthetic):
    """Compute the AUC of a classifier of single blocks of 16 mm, of the cortex.

    It still varies where the AUC of whole brains is 1. The classifier is that of
    `classifier_auc`, on the features of blocks, in folds of volumes. Scores of blocks
    are assumed normal, so that AUC = Phi(d) follows from their means and variances
    :footcite:p:`bamber1975area`, and those from the moments.

    Parameters
    ----------
    real, synthetic : array_like of shape (n, k) and (m, k)
        Moments of each volume, as `dipy_synth.metrics.texture.texture_moments` computes
        them.

    Returns
    -------
    float
        Mean over folds.

    References
    ----------
    .. footbibliography::
    """
    real, synthetic = check_pair(real, synthetic)
    rng = random_stream("classifier: folds", seed=0)
    folds = min(FOLDS, len(real), len(synthetic))
    found = []
    for a, b in _folds(folds, np.arange(len(real)), len(synthetic), rng):
        (m0, c0), (m1, c1) = (
            pooled_moments(rows) for rows in (real[~a], synthetic[~b])
        )
        direction = _solve(m1 - m0, (c0 + c1) / 2, len(real) + len(synthetic))
        (m0, c0), (m1, c1) = (pooled_moments(rows) for rows in (real[a], synthetic[b]))
        std = np.sqrt(max(direction @ (c0 + c1) @ direction, 1e-12))
        found.append(ndtr(direction @ (m1 - m0) / std))
    return float(np.mean(found))


def texture_features(rows):
    """Compute features of each volume from its moments: (n, 4 * d), float64.

    They are means and logarithms of standard deviations of the features of blocks, of
    cortex and of deep parts. `rows` are of
    `dipy_synth.metrics.texture.texture_moments`.
    """
    columns, diagonal = [], np.equal(*np.triu_indices(len(FEATURES)))
    for region in REGIONS:
        means, seconds = volume_moments(rows, region)
        squares = seconds[:, diagonal]
        columns += [means, np.log(np.maximum(squares - means**2, 0) + 1e-8) / 2]
    return np.concatenate(columns, axis=1)


def _folds(folds, subjects, m, rng):
    """Yield the masks of left-out real and synthetic volumes: bool (n,), (m,)."""
    names, index = np.unique(subjects, return_inverse=True)
    mine = (rng.permutation(len(names)) % folds)[index]
    others = rng.permutation(m) % folds
    for fold in range(folds):
        yield mine == fold, others == fold


def _discriminant(real, synthetic):
    """Return the direction, (d,), that separates two samples best."""
    means = real.mean(axis=0), synthetic.mean(axis=0)
    within = np.concatenate([real - means[0], synthetic - means[1]])
    return _solve(means[1] - means[0], within.T @ within / len(within), len(within))


def _solve(apart, covariance, n):
    """Return the direction by a covariance of n samples, shrunk as a correlation."""
    scale = np.sqrt(np.maximum(np.diag(covariance), 1e-12))
    correlation = shrink(covariance / np.outer(scale, scale), n)
    return np.linalg.solve(correlation, apart / scale) / scale


def _auc(real, synthetic):
    """Return the fraction of pairs in the right order; equal ones count half."""
    apart = synthetic[:, np.newaxis] - real
    return float(np.mean((apart > 0) + 0.5 * (apart == 0)))
