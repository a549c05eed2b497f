"""Denoisers in closed form: a Gaussian of training pairs, errors of a Wiener filter."""

import numpy as np

from dipy_synth.diffusion.gaussian import GaussianDenoiser

_FITTED = 512  # images that a Gaussian is fitted to, at most


def fit_gaussian(pairs, *, categories=()):
    """Fit a Gaussian denoiser to training pairs, without shifted images.

    Parameters
    ----------
    pairs : NoisyPairs
        Training pairs with a normalizer; at most 512 of their images are used.
    categories : sequence of int, optional
        Number of categories of each condition, 0 for a number.

    Returns
    -------
    GaussianDenoiser
    """
    rows = np.flatnonzero(~np.any(pairs.shifts, axis=1))
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, _FITTED).astype(int))]
    return GaussianDenoiser.fit(
        pairs.normalizer.normalize(pairs.latents[rows]),
        pairs.conditions[rows],
        pairs.normalizer.variance,
        categories=categories,
        subjects=pairs.subjects[rows],
    )


def wiener_errors(x0, variance, ratios):
    """Compute the error of a Wiener filter by position and channel, by noise level.

    Parameters
    ----------
    x0 : ndarray of shape (n, *latent_shape)
        Normalised latents.
    variance : ndarray of shape (*latent_shape)
        Variance of the training latents.
    ratios : sequence of float
        Noise-to-signal ratios.

    Returns
    -------
    ndarray of shape (len(ratios),)
        Mean squared error, over the noise as well.
    """
    square, errors = np.mean(np.square(x0), axis=0), []
    for ratio in ratios:
        kept = variance / (variance + ratio**2)
        errors.append(np.mean((1 - kept) ** 2 * square + (kept * ratio) ** 2))
    return np.array(errors)
