"""The prior of a latent diffusion model: fitted after training, used where it wins."""

import numpy as np

from dipy_synth.diffusion.guidance import guided_denoiser
from dipy_synth.diffusion.prior import GaussianPrior

_LEAST, _MOST = 0.05, 1.6  # noise over signal and the least, the widest spread
_BETTER = 0.9  # of the network's squared error
_IMAGES = 32  # held out, to compare on
_NUMBERS = 2**19  # latent numbers through the network at once


def fit_prior(network, schedule, pairs, held_out, *, subjects=None):
    """Fit a Gaussian prior, and find from which noise on it is better than a network.

    Parameters
    ----------
    network : UNet
        The trained denoiser.
    schedule : Schedule
        Its schedule.
    pairs, held_out : NoisyPairs
        Latents and conditions that it was trained on, and others.
    subjects : sequence of str, optional
        Whose latents were trained on, as of `GaussianPrior.fit`.

    Returns
    -------
    GaussianPrior or None
        None where there are no held-out latents, no axis holds on them, or the network
        is better along each even in the deepest noise.
    """
    if not len(held_out.latents):
        return None
    prior = GaussianPrior.fit(
        pairs.latents,
        pairs.conditions,
        normalizer=pairs.normalizer,
        categories=network.categories,
        subjects=subjects,
    )
    if prior is None:
        return None
    k = min(_IMAGES, len(held_out.latents))
    x0 = held_out.normalizer.normalize(np.asarray(held_out.latents[:k], "float32"))
    prior.begin = _begin(network, schedule, prior, x0, held_out.conditions[:k])
    return prior if np.isfinite(prior.begin).any() else None


def _begin(network, schedule, prior, x0, conditions):
    """Give, by axis, the least noise at which it is better, and never worse in deeper.

    Noise is over signal and the spread along the axis; infinite where the network is
    better.
    """
    spread = prior.spread()
    least, most = _LEAST * spread.min(), _MOST * spread.max()
    levels = np.geomspace(most, least, 1 + max(1, round(np.log2(most / least))))
    noise = np.random.default_rng(0).standard_normal(x0.shape, dtype="float32")
    truth, begin = prior.coordinates(x0), np.full(len(spread), np.inf)
    held = np.ones(len(spread), dtype=bool)
    for level in levels:
        t = float(schedule.times_at([level])[0])
        noisy = schedule.add_noise(x0, noise, t)
        own = prior.expected(noisy, t, schedule, conditions)
        other = prior.coordinates(_answers(network, schedule, noisy, t, conditions))
        own, other = (np.sum((found - truth) ** 2, axis=0) for found in (own, other))
        held &= (own <= other) & (level >= _LEAST * spread)
        if not held.any():
            break
        better = held & (own < _BETTER * other)
        begin[better] = level / spread[better]
    return begin


def _answers(network, schedule, noisy, t, conditions):
    size = max(1, _NUMBERS // noisy[0].size)
    return np.concatenate(
        [
            guided_denoiser(
                network.predict_on_batch, schedule, conditions[i : i + size], 1.0
            )(noisy[i : i + size], t)
            for i in range(0, len(noisy), size)
        ]
    )


def to_model(prior):
    """Give what a model folder keeps of a prior: configuration and arrays."""
    if prior is None:
        return {}, {}
    size = np.sqrt(prior.axes[0].size)  # brings the axes near 1, for half precision
    axes = (prior.axes * size).astype("float16")
    return {"prior": prior.to_config()}, {"prior": axes}


def from_model(config, arrays):
    """Give the prior that a model folder keeps, or None."""
    if "prior" not in config:
        return None
    axes = arrays["prior"].astype("float32")
    return GaussianPrior(axes / np.sqrt(axes[0].size), **config["prior"])
