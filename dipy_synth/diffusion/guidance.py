"""Classifier-free guidance and autoguidance."""

from keras import ops
import numpy as np

from dipy_synth.diffusion.sampling_settings import SamplingSettings


def guided_denoiser(
    predict,
    schedule,
    conditions,
    settings=None,
    *,
    guide=None,
    variance=1.0,
    gaussian=None,
):
    """Build the denoiser: the expected latents as a function of state and time.

    Classifier-free guidance :footcite:p:`ho2022guidance` extrapolates from the
    network's estimate without conditions through the one with them. Without conditions
    the two are equal, and only one is computed. Autoguidance
    :footcite:p:`karras2024autoguidance` extrapolates from the estimate of a weaker
    network, the guide, under the same conditions, without what would only make a
    channel stronger (projected guidance :footcite:p:`sadat2025projected`): folds are
    moved, not deepened. Where both act, both changes are added.

    Parameters
    ----------
    predict : callable
        The network: maps the dict of inputs of `UNet` to its prediction.
    schedule : Schedule
        Schedule, which converts predictions to images.
    conditions : ndarray of shape (batch, n_conditions)
        Encoded conditions; NaN where missing.
    settings : SamplingSettings, optional
        Scales and intervals :footcite:p:`kynkaanniemi2024interval` of guidance, and its
        rescale (:footcite:p:`lin2024flawed`, eq. 14 to 16); what is None does not act.
    guide : callable, optional
        The weaker network, for autoguidance, with inputs and outputs of `predict`.
    variance : float or ndarray of shape (*latent_shape), optional
        Variance of the normalised latents at each position and channel.
    gaussian : GaussianDenoiser, optional
        Used in place of the network above its threshold.

    Returns
    -------
    callable
        ``denoise(x_t, t)``, for the samplers.

    Raises
    ------
    InputError
        If autoguidance is set, and there is no guide.

    References
    ----------
    .. footbibliography::
    """
    settings = settings or SamplingSettings()
    unconditional = np.full_like(conditions, np.nan)
    known = not np.isnan(conditions).all()
    guidance = _scale(settings.guidance if known else None, settings.guidance_interval)
    autoguidance = _scale(settings.autoguidance, settings.autoguidance_interval)
    settings.check_guide(guide is not None)

    def estimate(x, t, rows, network=predict):
        x = np.asarray(x, "float32")
        inputs = {
            "latents": schedule.scale_input(x, t, variance=variance),
            "noise_level": np.full(len(x), schedule.noise_level(t), "float32"),
            "conditions": rows,
        }
        # during training on several devices, each predicts the whole batch
        prediction = ops.convert_to_numpy(network(inputs))[: len(x)]
        return schedule.to_x0(prediction, x, t, variance=variance)

    def denoise(x, t):
        ratio = schedule.noise_to_signal(t)
        scale, extrapolation = guidance(ratio), autoguidance(ratio)
        if gaussian is not None and ratio > gaussian.threshold:
            return gaussian(x, t, schedule, conditions, guidance=scale)
        own = x0 = estimate(x, t, conditions)
        if scale != 1:
            plain = estimate(x, t, unconditional)
            moved = plain + scale * (own - plain)
            x0 = _rescaled(moved, own, settings.guidance_rescale or 0.0)
        if extrapolation != 1:
            weaker = estimate(x, t, conditions, guide)
            x0 = x0 + _across((extrapolation - 1) * (own - weaker), x0)
        return x0

    return denoise


def _scale(scale, interval):
    """Return the guidance scale as a function of the noise-to-signal ratio."""
    low, high = interval or (0.0, np.inf)
    return lambda ratio: scale if scale is not None and low <= ratio <= high else 1.0


def _across(change, x0):
    """Leave out what would only make each channel of an estimate stronger."""
    axes = tuple(range(1, x0.ndim - 1))
    along = np.sum(change * x0, axis=axes, keepdims=True)
    along /= np.maximum(np.sum(x0**2, axis=axes, keepdims=True), 1e-8)
    return change - np.maximum(along, 0) * x0


def _rescaled(moved, prediction, share):
    """Rescale each sample towards its standard deviation without guidance."""
    if not share:
        return moved
    axes = tuple(range(1, moved.ndim))
    there, target = (x.std(axis=axes, keepdims=True) for x in (moved, prediction))
    return moved * (1 + share * (target / np.maximum(there, 1e-8) - 1))
