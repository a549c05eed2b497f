"""Samplers: from noise to an image by a denoiser, as pure functions.

All share one signature, ``sampler(denoise, noise, times, schedule, *, draw=None,
callback=None)``:

denoise : callable
    ``denoise(x_t, t)`` returns the expected image (batch, ...) given the state
    (batch, ...) at time t (float).
noise : array of shape (batch, ...)
    Standard normal noise, the state at ``times[0] = 1``.
times : array of shape (steps + 1,)
    Decreasing times, the last of which is 0.
schedule : Schedule
    Schedule, for alpha and sigma at a time.
draw : callable, optional
    ``draw(step)`` returns fresh standard normal noise (batch, ...); needed by
    stochastic samplers, ignored by the others.
callback : callable, optional
    Called as ``callback(step, x_t, x0)`` after each step.

They return the image (batch, ...).
"""

from functools import partial
import math


def sample_ddpm(
    denoise, noise, times, schedule, *, draw, callback=None, variance="small"
):
    """Sample by the reverse chain (ancestral), with noise in every step but the last.

    Parameters and result are described at the top of the module, besides

    variance : {"small", "large"}, optional
        Variance of a step: that of the posterior given the image, or that of the
        forward step (beta-tilde and beta); the two bounds of :footcite:t:`ho2020ddpm`,
        eq. 7 and section 3.2.

    References
    ----------
    .. footbibliography::
    """

    def step(x, x0, here, after, number):
        sigma, (alpha_next, sigma_next) = here[1], after
        ratio, forward = _forward(here, after)
        mean = (ratio * sigma_next**2 * x + alpha_next * forward * x0) / sigma**2
        added = forward * (1 if variance == "large" else (sigma_next / sigma) ** 2)
        return mean + math.sqrt(added) * draw(number) if sigma_next > 0 else mean

    return _walk(step, denoise, noise, times, schedule, callback)


def sample_ddim(denoise, noise, times, schedule, *, draw=None, callback=None, eta=0.0):
    """Sample by DDIM, which keeps the estimated noise; deterministic for eta = 0.

    Parameters and result are described at the top of the module, besides

    eta : float, optional
        Fraction of fresh noise (:footcite:p:`song2021ddim`, eq. 12 and 16); 1 is that
        of `sample_ddpm` with small variance.

    References
    ----------
    .. footbibliography::
    """

    def step(x, x0, here, after, number):
        (alpha, sigma), (alpha_next, sigma_next) = here, after
        seen = (x - alpha * x0) / sigma
        fresh = eta * sigma_next / sigma * math.sqrt(_forward(here, after)[1])
        x = alpha_next * x0 + math.sqrt(max(sigma_next**2 - fresh**2, 0)) * seen
        return x + fresh * draw(number) if fresh else x

    return _walk(step, denoise, noise, times, schedule, callback)


def sample_dpmpp_2m(
    denoise, noise, times, schedule, *, draw=None, callback=None, eta=0.0
):
    """Sample by DPM-Solver++(2M), a two-step method of second order; one call a step.

    Parameters and result are described at the top of the module, besides

    eta : float, optional
        Fraction of fresh noise: 0 for the ODE (:footcite:p:`lu2022dpmpp`, algorithm 2),
        1 for the reverse SDE (section 6). As noise is replaced, errors of earlier steps
        decay: textures that the ODE blurs are kept, with about twice the steps.

    References
    ----------
    .. footbibliography::
    """
    before = {}

    def step(x, x0, here, after, number):
        (alpha, sigma), (alpha_next, sigma_next) = here, after
        width = _log_ratio(alpha_next, sigma_next) - _log_ratio(alpha, sigma)
        ahead = x0
        if before and math.isfinite(before["width"]) and math.isfinite(width):
            half = width / before["width"] / 2
            ahead = (1 + half) * x0 - half * before["x0"]
        before.update(x0=x0, width=width)
        if sigma_next == 0:
            return ahead
        # from pure noise nothing is kept, and all noise is fresh
        kept = math.exp(-eta * width) if math.isfinite(width) else float(eta == 0)
        shrink = kept * sigma_next / sigma
        fresh = sigma_next * math.sqrt(1 - kept**2)
        x = shrink * x + (alpha_next - shrink * alpha) * ahead
        return x + fresh * draw(number) if fresh else x

    return _walk(step, denoise, noise, times, schedule, callback)


def sample_euler(denoise, noise, times, schedule, *, draw=None, callback=None):
    """Sample by Euler steps, of first order; one call of the denoiser a step.

    Parameters and result are described at the top of the module. On any schedule,
    ``x / (alpha + sigma)`` moves on straight lines from noise to image
    :footcite:p:`liu2023flow`, and the step is taken in these coordinates; it equals
    that of DDIM.

    References
    ----------
    .. footbibliography::
    """

    def step(x, x0, here, after, number):
        return _along(x, _slope(x, x0, *here), here, after)

    return _walk(step, denoise, noise, times, schedule, callback)


def sample_heun(denoise, noise, times, schedule, *, draw=None, callback=None):
    """Sample by Heun steps, of second order; two calls a step, one in the last.

    The last step, at whose end the slope cannot be evaluated, is an Euler step
    (:footcite:p:`karras2022edm`, algorithm 1). Parameters and result are described at
    the top of the module.

    References
    ----------
    .. footbibliography::
    """

    def step(x, x0, here, after, number):
        slope = _slope(x, x0, *here)
        if after[1] > 0:
            guess = _along(x, slope, here, after)
            slope = (
                slope + _slope(guess, denoise(guess, times[number + 1]), *after)
            ) / 2
        return _along(x, slope, here, after)

    return _walk(step, denoise, noise, times, schedule, callback)


def _walk(step, denoise, noise, times, schedule, callback):
    """Run all steps; each gets (alpha, sigma) here and after."""
    x = noise
    pairs = [(float(schedule.alpha(t)), float(schedule.sigma(t))) for t in times]
    for number, t in enumerate(times[:-1]):
        x0 = denoise(x, t)
        x = step(x, x0, pairs[number], pairs[number + 1], number)
        if callback is not None:
            callback(number, x, x0)
    return x


def _forward(here, after):
    """Compute scale and variance of the forward step from `after` to `here`."""
    (alpha, sigma), (alpha_next, sigma_next) = here, after
    ratio = alpha / alpha_next
    return ratio, sigma**2 - ratio**2 * sigma_next**2


def _slope(x, x0, alpha, sigma):
    """Compute the flow's velocity, noise - x0, from a state and its expected image."""
    return (x - (alpha + sigma) * x0) / sigma


def _along(x, slope, here, after):
    """Step along a slope, in the coordinates where the flow is straight."""
    (alpha, sigma), (alpha_next, sigma_next) = here, after
    scale, scale_next = alpha + sigma, alpha_next + sigma_next
    distance = sigma_next / scale_next - sigma / scale
    return scale_next * (x / scale + distance * slope)


def _log_ratio(alpha, sigma):
    """Compute half the logarithm of the signal-to-noise ratio; infinite at the ends."""
    if not alpha or not sigma:
        return math.inf if alpha else -math.inf
    return math.log(alpha / sigma)


SAMPLERS = {
    "ddpm": sample_ddpm,
    "ddpm_large": partial(sample_ddpm, variance="large"),
    "ddim": sample_ddim,
    "dpmpp_2m": sample_dpmpp_2m,
    "euler": sample_euler,
    "heun": sample_heun,
    "sde_dpmpp_2m": partial(sample_dpmpp_2m, eta=1.0),
}


def network_calls(sampler, steps):
    """Count the denoiser's calls of a sampler of that name."""
    return 2 * steps - 1 if sampler == "heun" else steps
