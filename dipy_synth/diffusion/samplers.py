"""Samplers: from noise to an image by a denoiser, as pure functions.

All share one signature, ``sampler(denoise, noise, times, *, callback=None)``:

denoise : callable
    ``denoise(x_t, t)`` gives the expected image (batch, ...) given the state
    (batch, ...) at time t (float).
noise : array (batch, ...)
    Standard normal noise, the state at ``times[0] = 1``.
times : array (steps + 1,)
    Decreasing times, the last of which is 0.
callback : callable, optional
    Called as ``callback(step, x_t, x0)`` after each step.

They integrate the probability flow of a rectified flow, whose velocity at x_t is
``(x_t - x0) / t``, and return the image (batch, ...).
"""


def sample_euler(denoise, noise, times, *, callback=None):
    """First order: one call of the denoiser a step.

    Parameters and result are described at the top of the module.

    References
    ----------
    Liu, Gong & Liu (2023). Flow straight and fast. ICLR.
    """
    x = noise
    for step, (t, t_next) in enumerate(zip(times[:-1], times[1:])):
        x0 = denoise(x, t)
        x = x + (t_next - t) * (x - x0) / t
        if callback is not None:
            callback(step, x, x0)
    return x


def sample_heun(denoise, noise, times, *, callback=None):
    """Second order: two calls of the denoiser a step, one in the last.

    The last step ends at t = 0, where the velocity cannot be evaluated, and is
    therefore one of Euler. Parameters and result are described at the top of the
    module.

    References
    ----------
    Karras et al. (2022). Elucidating the design space of diffusion-based generative
    models. NeurIPS, algorithm 1.
    """
    x = noise
    for step, (t, t_next) in enumerate(zip(times[:-1], times[1:])):
        x0 = denoise(x, t)
        slope = (x - x0) / t
        euler = x + (t_next - t) * slope
        if t_next > 0:
            slope = (slope + (euler - denoise(euler, t_next)) / t_next) / 2
        x = x + (t_next - t) * slope
        if callback is not None:
            callback(step, x, x0)
    return x


SAMPLERS = {"euler": sample_euler, "heun": sample_heun}


def network_calls(sampler, steps):
    """Count the denoiser's calls of a sampler."""
    return 2 * steps - 1 if sampler == "heun" else steps
