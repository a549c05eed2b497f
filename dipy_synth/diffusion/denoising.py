"""How well held-out latents are denoised, and by which denoiser."""

import numpy as np

from dipy_synth.diffusion.gaussian import GaussianDenoiser
from dipy_synth.utils.random import random_stream

_RATIOS = np.geomspace(1.0, 300.0, 18)  # noise-to-signal ratios compared
_IMAGES = 16


def fit_gaussian(ldm, data, rows):
    """Fit a Gaussian denoiser, for the noise levels that the network is not trained on.

    Parameters
    ----------
    ldm : LDM
        With a network, its schedule and its normalizer.
    data : NoisyPairs
        Latents and conditions that it is trained on.
    rows : ndarray of int
        Rows of `data` to fit to.

    Returns
    -------
    GaussianDenoiser
    """
    gaussian = GaussianDenoiser.fit(
        ldm.normalizer.normalize(data.latents[rows]),
        data.conditions[rows],
        ldm.normalizer.variance,
        categories=ldm.network.categories,
    )
    gaussian.threshold = ldm.schedule.highest_ratio
    return gaussian


def choose_threshold(ldm, held_out, *, seed=0):
    """Lower the threshold of a model's Gaussian denoiser to where it is better.

    Parameters
    ----------
    ldm : LDM
        With a trained network and a Gaussian denoiser.
    held_out : NoisyPairs
        Latents that it was not trained on.
    seed : int, optional
        Seed of the noise.
    """
    highest = min(ldm.schedule.highest_ratio, _RATIOS[-1])
    ratios = _RATIOS[_RATIOS <= highest]
    if not (len(held_out.latents) and len(ratios)):
        return
    x0 = ldm.normalizer.normalize(held_out.latents[:_IMAGES])
    conditions = held_out.conditions[:_IMAGES]
    errors = []
    for threshold in (np.inf, 0.0):  # the network alone, the Gaussian alone
        ldm.gaussian.threshold = threshold
        errors.append(
            denoising_errors(
                ldm.denoiser, ldm.schedule, x0, conditions, ratios, seed=seed
            )
        )
    network, closed = errors
    # better there and at all higher levels
    better = np.cumprod((closed < network)[::-1])[::-1].astype(bool)
    first = ratios[better][0] if better.any() else ldm.schedule.highest_ratio
    ldm.gaussian.threshold = float(first * 0.999)


def denoising_errors(denoiser, schedule, x0, conditions, ratios, *, seed=0):
    """Return the mean squared error of the estimated latents by noise level.

    Parameters
    ----------
    denoiser : callable
        From encoded conditions (1, n_conditions) to a denoiser as the samplers take it.
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
    """Return what a Wiener filter by position and channel leaves, by noise level.

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
