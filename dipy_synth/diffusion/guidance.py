"""Sampling options, and classifier-free guidance."""

from functools import partial
import math

from keras import ops
import numpy as np

from dipy_synth.diffusion.samplers import SAMPLERS, sample_ddim, sample_dpmpp_2m
from dipy_synth.diffusion.sampling_settings import completed_settings
from dipy_synth.errors import InputError

_WITH_ETA = {"ddim": sample_ddim, "sde_dpmpp_2m": sample_dpmpp_2m}


def sampling_settings(defaults, **given):
    """Complete sampling options by a model's defaults, and check them.

    Parameters
    ----------
    defaults : dict
        The model's defaults.
    **given
        ``steps``, ``sampler``, ``guidance``, ``guidance_rescale``,
        ``guidance_interval`` and ``eta``, see `LDM.generate`; None for the default.

    Returns
    -------
    dict
        Arguments of `LDM.sample_latents`; ``eta`` becomes part of the sampler.

    Raises
    ------
    InputError
        If one is unknown or out of range.
    """
    settings = completed_settings(given, defaults)
    settings["steps"] = positive("steps", settings["steps"])
    name, eta = settings["sampler"], settings.pop("eta")
    if not callable(name):
        if name not in SAMPLERS:
            raise InputError(f"sampler {name!r}: expected one of {', '.join(SAMPLERS)}")
        settings["sampler"] = SAMPLERS[name]
    if eta is not None:
        if name not in _WITH_ETA:
            raise InputError(
                f"eta {eta}: expected with sampler {' or '.join(_WITH_ETA)}, not {name}"
            )
        check_share("eta", eta)
        settings["sampler"] = partial(_WITH_ETA[name], eta=eta)
    check_share("guidance_rescale", settings["guidance_rescale"])
    if not math.isfinite(settings["guidance"]):
        raise InputError(f"guidance {settings['guidance']}: expected a finite number")
    settings["guidance_interval"] = _interval(settings["guidance_interval"])
    return settings


def _interval(interval):
    """Return an interval of noise-to-signal ratios, or None for all."""
    if interval is None:
        return None
    low, high = map(float, interval) if len(interval) == 2 else (0.0, 0.0)
    if not 0 <= low < high < math.inf:
        raise InputError(
            f"guidance_interval {interval}: expected two noise-to-signal ratios, the "
            "lower first"
        )
    return low, high


def check_share(name, value):
    """Raise an InputError, naming a value, unless it is within [0, 1]."""
    if not 0 <= value <= 1:
        raise InputError(f"{name} {value}: expected a number from 0 to 1")


def sample_numbers(n, numbers):
    """Return the numbers of the samples, given or from their count."""
    n = (1 if numbers is None else len(numbers)) if n is None else n
    n = positive("n", n)
    numbers = range(n) if numbers is None else tuple(numbers)
    if len(numbers) != n:
        raise InputError(f"{len(numbers)} numbers for {n} samples")
    return numbers


def positive(name, value):
    """Return a value as int; raise an InputError if it is not whole, or below 1."""
    if value < 1 or value != int(value):
        raise InputError(f"{name} {value}: expected a whole number, at least 1")
    return int(value)


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
