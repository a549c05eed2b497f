"""What lies between a sampler and the U-Net: choices, noise per sample, guidance."""

from functools import partial
import math

from keras import ops
import numpy as np

from dipy_synth.diffusion.samplers import SAMPLERS
from dipy_synth.diffusion.sampling_settings import completed_settings
from dipy_synth.errors import InputError


def sampling_settings(defaults, **given):
    """Fill what was left open with what a model recommends, and check it.

    Parameters
    ----------
    defaults : dict
        The recommended values.
    **given
        ``steps``, ``sampler``, ``guidance``, ``guidance_rescale`` and ``eta`` as
        `LDM.generate` takes them; None is left open.

    Returns
    -------
    dict
        All but ``eta``, which is in the sampler, as `sample_latents` takes them.

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
        if name != "ddim":
            raise InputError(f"eta {eta}: expected with sampler ddim, not {name}")
        _check_share("eta", eta)
        settings["sampler"] = partial(SAMPLERS[name], eta=eta)
    _check_share("guidance_rescale", settings["guidance_rescale"])
    if not math.isfinite(settings["guidance"]):
        raise InputError(f"guidance {settings['guidance']}: expected a finite number")
    return settings


def _check_share(name, value):
    if not 0 <= value <= 1:
        raise InputError(f"{name} {value}: expected a share from 0 to 1")


def sample_numbers(n, numbers):
    """Give the numbers of the samples, from how many there are or from themselves."""
    n = (1 if numbers is None else len(numbers)) if n is None else n
    n = positive("n", n)
    numbers = range(n) if numbers is None else tuple(numbers)
    if len(numbers) != n:
        raise InputError(f"{len(numbers)} numbers for {n} samples")
    return numbers


def positive(name, value):
    """Give a value as int; an InputError names it if it is not whole, or below 1."""
    if value < 1 or value != int(value):
        raise InputError(f"{name} {value}: expected a whole number, at least 1")
    return int(value)


def sample_latents(
    network,
    schedule,
    streams,
    conditions,
    *,
    steps,
    sampler,
    guidance,
    guidance_rescale,
    prior=None,
    callback=None,
):
    """Walk a batch from noise to latents.

    Parameters
    ----------
    network : UNet
        The denoiser.
    schedule : Schedule
        The schedule it was trained with.
    streams : NoiseStreams
        The noise of the batch.
    conditions : array (batch, n_conditions)
        Encoded conditions; NaN where nothing is asked for.
    steps, sampler, guidance, guidance_rescale
        As `sampling_settings` gives them.
    prior : GaussianPrior, optional
        What answers in deep noise.
    callback : callable, optional
        As the samplers take it.

    Returns
    -------
    ndarray (batch, *shape)
    """
    denoise = guided_denoiser(
        network.predict_on_batch,
        schedule,
        conditions,
        guidance,
        rescale=guidance_rescale,
        prior=prior,
    )
    times = schedule.sampling_times(steps, size=math.prod(streams.shape))
    options = {"draw": streams.at_step, "callback": callback}
    return sampler(denoise, streams.start(), times, schedule, **options)


def guided_denoiser(
    predict, schedule, conditions, guidance, *, rescale=0.0, prior=None
):
    """Give the expected latents as a function of state and time.

    With guidance, the prediction without conditions is moved towards, and past, the one
    with them. Where nothing was asked for the two are the same, and one is made.

    Parameters
    ----------
    predict : callable
        The network, from a dict as `UNet` takes it to its prediction.
    schedule : Schedule
        Turns predictions into images.
    conditions : array (batch, n_conditions)
        Encoded conditions; NaN where nothing is asked for.
    guidance : float
        Weight of the conditions; 1 is the network's own answer.
    rescale : float, optional
        Guidance widens the spread of the prediction, sample by sample, which shows as
        too much contrast. This share of it is taken back, 0 none and 1 all.
    prior : GaussianPrior, optional
        What answers, in deep noise, along the axes where latents vary most.

    Returns
    -------
    callable
        ``denoise(x_t, t)``, as the samplers take it.

    References
    ----------
    Ho & Salimans (2022). Classifier-free diffusion guidance. arXiv:2207.12598.
    Lin et al. (2024). Common diffusion noise schedules and sample steps are flawed.
    WACV, eq. 14 to 16 (rescale).
    """
    open_ended = np.full_like(conditions, np.nan)
    guided = guidance != 1 and not np.isnan(conditions).all()

    def answer(x, t, wanted):
        inputs = {
            "latents": np.asarray(x, "float32"),
            "time": np.full(len(x), t, "float32"),
            "conditions": wanted,
        }
        # in training on several devices, each predicts the whole batch
        return ops.convert_to_numpy(predict(inputs))[: len(x)]

    def denoise(x, t):
        prediction = answer(x, t, conditions)
        if guided:
            plain = answer(x, t, open_ended)
            moved = plain + guidance * (prediction - plain)
            prediction = _rescaled(moved, prediction, rescale) if rescale else moved
        x0 = schedule.to_x0(prediction, x, t)
        if prior is None:
            return x0
        return prior.correct(x0, x, t, schedule, conditions, guidance=guidance)

    return denoise


def _rescaled(moved, prediction, share):
    """Bring a share of the spread of each sample back to what it was unguided."""
    axes = tuple(range(1, moved.ndim))
    there, wanted = (x.std(axis=axes, keepdims=True) for x in (moved, prediction))
    return moved * (1 + share * (wanted / np.maximum(there, 1e-8) - 1))
