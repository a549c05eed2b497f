"""Classifier-free guidance."""

from keras import ops
import numpy as np


def guided_denoiser(
    predict,
    schedule,
    conditions,
    guidance,
    *,
    rescale=0.0,
    interval=None,
    variance=1.0,
    gaussian=None,
):
    """Build the denoiser: the expected latents as a function of state and time.

    With classifier-free guidance, the estimate without conditions is extrapolated
    through the one with them. Without conditions the two are equal, and only one is
    computed.

    Parameters
    ----------
    predict : callable
        The network: maps the dict of inputs of `UNet` to its prediction.
    schedule : Schedule
        Schedule, which converts predictions to images.
    conditions : ndarray of shape (batch, n_conditions)
        Encoded conditions; NaN where missing.
    guidance : float
        Guidance scale; 1 is the network's own estimate.
    rescale : float, optional
        Guidance rescale in [0, 1]: the fraction of the standard deviation added by
        guidance to remove, per sample.
    interval : (float, float), optional
        Noise-to-signal ratios between which guidance acts; everywhere by default.
    variance : float or ndarray of shape (*latent_shape), optional
        Variance of the normalised latents, for a preconditioned network.
    gaussian : GaussianDenoiser, optional
        Used in place of the network above its threshold.

    Returns
    -------
    callable
        ``denoise(x_t, t)``, for the samplers.

    References
    ----------
    Ho & Salimans (2022). Classifier-free diffusion guidance. arXiv:2207.12598.
    Lin et al. (2024). Common diffusion noise schedules and sample steps are flawed.
    WACV, eq. 14 to 16 (rescale).
    Kynkaanniemi et al. (2024). Applying guidance in a limited interval improves sample
    and distribution quality in diffusion models. NeurIPS.
    """
    unconditional = np.full_like(conditions, np.nan)
    guided = guidance != 1 and not np.isnan(conditions).all()
    low, high = interval or (0.0, np.inf)

    def estimate(x, t, rows):
        x = np.asarray(x, "float32")
        inputs = {
            "latents": schedule.scale_input(x, t, variance=variance),
            "noise_level": np.full(len(x), schedule.noise_level(t), "float32"),
            "conditions": rows,
        }
        # during training on several devices, each predicts the whole batch
        prediction = ops.convert_to_numpy(predict(inputs))[: len(x)]
        return schedule.to_x0(prediction, x, t, variance=variance)

    def denoise(x, t):
        ratio = schedule.noise_to_signal(t)
        acts = guided and low <= ratio <= high
        if gaussian is not None and ratio > gaussian.threshold:
            scale = guidance if acts else 1.0
            return gaussian(x, t, schedule, conditions, guidance=scale)
        x0 = estimate(x, t, conditions)
        if not acts:
            return x0
        plain = estimate(x, t, unconditional)
        moved = plain + guidance * (x0 - plain)
        return _rescaled(moved, x0, rescale) if rescale else moved

    return denoise


def _rescaled(moved, prediction, share):
    """Rescale each sample towards its standard deviation without guidance."""
    axes = tuple(range(1, moved.ndim))
    there, target = (x.std(axis=axes, keepdims=True) for x in (moved, prediction))
    return moved * (1 + share * (target / np.maximum(there, 1e-8) - 1))
