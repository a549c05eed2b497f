"""Denoising errors of held-out latents, by denoiser and noise level."""

import numpy as np

from dipy_synth.diffusion.gaussian import GaussianDenoiser
from dipy_synth.utils.random import random_stream

_RATIOS = np.geomspace(1.0, 300.0, 18)  # noise-to-signal ratios compared
_IMAGES = 16
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
        subjects=rows // pairs.views,
    )


def choose_threshold(network, gaussian, held_out, *, seed=0):
    """Find the noise level above which a Gaussian denoiser is better than a network.

    Parameters
    ----------
    network : callable
        Map from encoded conditions (1, n_conditions) to the network's denoiser.
    gaussian : GaussianDenoiser
        The Gaussian denoiser.
    held_out : NoisyPairs
        Held-out pairs with a normalizer.
    seed : int, optional
        Seed of the noise.

    Returns
    -------
    float
        Noise-to-signal ratio, at most the highest that the network is trained on.
    """
    schedule = held_out.schedule
    ratios = _RATIOS[schedule.highest_ratio >= _RATIOS]
    if not len(ratios):
        return schedule.highest_ratio
    x0 = held_out.normalizer.normalize(held_out.latents[:_IMAGES])

    def closed_form(conditions):
        return lambda x, t: gaussian(x, t, schedule, conditions)

    of_network, of_gaussian = (
        denoising_errors(
            d, schedule, x0, held_out.conditions[:_IMAGES], ratios, seed=seed
        )
        for d in (network, closed_form)
    )
    # better there and at all higher levels
    better = np.cumprod((of_gaussian < of_network)[::-1])[::-1].astype(bool)
    first = ratios[better][0] if better.any() else schedule.highest_ratio
    return float(first * 0.999)


def denoising_errors(denoiser, schedule, x0, conditions, ratios, *, seed=0):
    """Compute the mean squared error of the estimated latents by noise level.

    Parameters
    ----------
    denoiser : callable
        Map from encoded conditions (1, n_conditions) to ``denoise(x_t, t)``.
    schedule : Schedule
        The schedule.
    x0 : ndarray of shape (n, *latent_shape)
        Normalised latents.
    conditions : ndarray of shape (n, n_conditions)
        Their conditions, encoded.
    ratios : sequence of float
        Noise-to-signal ratios.
    seed : int, optional
        Seed of the noise.

    Returns
    -------
    ndarray of shape (len(ratios),)
    """
    errors = []
    for level, t in enumerate(schedule.times_at(ratios)):
        rng, total = random_stream("denoising errors", level, seed=seed), 0.0
        for one, wanted in zip(x0, conditions):
            noise = rng.standard_normal((1, *one.shape), dtype="float32")
            x_t = schedule.add_noise(one[None], noise, t)
            total += float(np.mean((denoiser(wanted[None])(x_t, t) - one) ** 2))
        errors.append(total / len(x0))
    return np.array(errors)


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
