"""Deterministic inversion: from an image to the noise that a sampler starts from."""

import numpy as np


def partial_times(times, strength):
    """Return the last part of a sampler's times.

    Parameters
    ----------
    times : ndarray of shape (steps + 1,)
        Decreasing times, the last of which is 0.
    strength : float
        Fraction of the steps, in (0, 1]; one step at least.

    Returns
    -------
    ndarray of shape (n + 1,)
        The last n + 1 times, where n is that fraction of the steps.
    """
    return times[-(max(1, round(strength * (len(times) - 1))) + 1) :]


def invert_ddim(denoise, image, times, schedule, *, corrections=1):
    """Find the state from which `sample_ddim` leads to an image.

    The steps of the deterministic sampler are taken backwards. The estimate of the
    clean image that a step needs is that at its noisier end, which is not known yet: it
    is initialised by that of the step before (:footcite:p:`song2021ddim`, section 4.3),
    and corrected by fixed-point iterations :footcite:p:`pan2023inversion`.

    Parameters
    ----------
    denoise : callable
        ``denoise(x_t, t)``, as for the samplers.
    image : ndarray of shape (batch, ...)
        Images.
    times : ndarray of shape (n + 1,)
        Decreasing times, the last of which is 0.
    schedule : Schedule
        Schedule, for alpha and sigma at a time.
    corrections : int, optional
        Fixed-point iterations of each step.

    Returns
    -------
    ndarray of shape (batch, ...)
        The state at ``times[0]``.

    References
    ----------
    .. footbibliography::
    """
    upwards = [float(t) for t in reversed(times)]
    pairs = [(float(schedule.alpha(t)), float(schedule.sigma(t))) for t in upwards]
    x, x0 = _first(denoise, image, upwards[1], pairs[1][0], corrections)
    for t, here, after in zip(upwards[2:], pairs[1:], pairs[2:]):
        guess = _noisier(x, x0, here, after)
        for _ in range(corrections):
            x0 = denoise(guess, t)
            guess = _noisier(x, x0, here, after)
        x = guess
    return x


def _first(denoise, image, t, alpha, corrections):
    """Invert the sampler's last step, which ends at its estimate of the image."""
    image = np.asarray(image, "float32")
    x = alpha * image
    for _ in range(corrections):
        x = x + alpha * (image - denoise(x, t))
    return x, image


def _noisier(x, x0, here, after):
    """Take a step of DDIM backwards, with a known estimate of the image."""
    (alpha, sigma), (alpha_next, sigma_next) = here, after
    return alpha_next * x0 + sigma_next * (x - alpha * x0) / sigma
