"""Settings of a sampler, completed by a model's defaults."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
import math

from dipy_synth.diffusion.samplers import SAMPLERS, sample_ddim, sample_dpmpp_2m
from dipy_synth.errors import InputError
from dipy_synth.utils.number_checks import check_number, check_whole

_WITH_ETA = {"ddim": sample_ddim, "sde_dpmpp_2m": sample_dpmpp_2m}


@dataclass(frozen=True)
class SamplingSettings:
    """Settings of a sampler. None stands for the default of the model.

    Parameters
    ----------
    steps : int, optional
        Number of steps.
    sampler : str or callable, optional
        A key of `dipy_synth.diffusion.samplers.SAMPLERS`, or a function like those.
    guidance : float, optional
        Weight of classifier-free guidance; 1 is without guidance.
    guidance_rescale : float, optional
        Guidance rescale in [0, 1]: the fraction of the standard deviation added by
        guidance to remove.
    guidance_interval : (float, float), optional
        Noise-to-signal ratios between which guidance acts. In completed settings None
        is everywhere.
    autoguidance : float, optional
        Scale of autoguidance, from 0 to 10; 1 is without. Above 1, estimates are
        extrapolated from those of the guide, a weaker network: folds are clearer, and
        too much makes brains alike and sulci wide.
    autoguidance_interval : (float, float), optional
        Noise-to-signal ratios between which autoguidance acts.
    eta : float, optional
        Fraction, from 0 to 1, of fresh noise in a step of the samplers ddim and
        sde_dpmpp_2m; None is the sampler's own.

    Raises
    ------
    InputError
        If one is unknown or out of range, or `eta` is given with another sampler.
    """

    steps: int | None = None
    sampler: str | Callable | None = None
    guidance: float | None = None
    guidance_rescale: float | None = None
    guidance_interval: Sequence[float] | None = None
    autoguidance: float | None = None
    autoguidance_interval: Sequence[float] | None = None
    eta: float | None = None

    def __post_init__(self):
        if self.steps is not None:
            object.__setattr__(self, "steps", check_whole("steps", self.steps))
        if self.guidance is not None:
            check_number("guidance", self.guidance)
        if self.autoguidance is not None:
            check_number("autoguidance", self.autoguidance, low=0, high=10)
        for name in ("guidance_interval", "autoguidance_interval"):
            if getattr(self, name) is not None:
                interval = _interval(name, getattr(self, name))
                object.__setattr__(self, name, interval)
        if self.guidance_rescale is not None:
            check_number("guidance_rescale", self.guidance_rescale, low=0, high=1)
        if self.sampler is not None:
            self._check_sampler()

    def _check_sampler(self):
        name = self.sampler
        if not callable(name) and not (isinstance(name, str) and name in SAMPLERS):
            raise InputError(f"sampler {name!r}: expected one of {', '.join(SAMPLERS)}")
        if self.eta is None:
            return
        if name not in _WITH_ETA:
            raise InputError(
                f"eta {self.eta}: expected with sampler {' or '.join(_WITH_ETA)}, not "
                f"{name}"
            )
        check_number("eta", self.eta, low=0, high=1)

    def completed(self, defaults):
        """Complete the settings by a model's defaults.

        Parameters
        ----------
        defaults : dict
            The model's. Its ``eta`` applies to its own sampler only.

        Returns
        -------
        SamplingSettings
            Without autoguidance its interval is None, and its scale 1, or None where
            that of the model is. To complete them again changes nothing.

        Raises
        ------
        InputError
            If there is an interval for autoguidance, and no autoguidance.
        """
        given = self.to_config()
        filled = {k: defaults.get(k) if v is None else v for k, v in given.items()}
        if self.eta is None and filled["sampler"] != defaults.get("sampler"):
            filled["eta"] = None
        if filled["autoguidance"] in (None, 1):
            if self.autoguidance_interval is not None:
                raise InputError(
                    f"autoguidance_interval {self.autoguidance_interval} without "
                    "autoguidance: expected its scale, other than 1"
                )
            filled["autoguidance_interval"] = None
            if defaults.get("autoguidance") in (None, 1):
                filled["autoguidance"] = None
        elif filled["autoguidance_interval"] is None:
            interval = DEFAULT_SAMPLING["autoguidance_interval"]
            filled["autoguidance_interval"] = interval
        return SamplingSettings(**filled)

    def check_guide(self, there):
        """Refuse autoguidance where a guide is not there.

        Raises
        ------
        InputError
            If the scale of autoguidance is not 1, and there is no guide.
        """
        if self.autoguided and not there:
            raise InputError(
                f"autoguidance {self.autoguidance:g}: expected 1, since the model has "
                "no guide, a weaker network to extrapolate from"
            )

    @property
    def autoguided(self):
        """Whether autoguidance acts: bool."""
        return self.autoguidance not in (None, 1)

    @property
    def function(self):
        """The sampler with its `eta`: callable."""
        if callable(self.sampler):
            return self.sampler
        if self.eta is None:
            return SAMPLERS[self.sampler]
        return partial(_WITH_ETA[self.sampler], eta=self.eta)

    def to_config(self):
        """Return the settings as a dict, of JSON types but for a callable sampler."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


#: Defaults of a new model; those of a model are in its configuration.
DEFAULT_SAMPLING = {
    "sampler": "sde_dpmpp_2m",
    "steps": 40,
    "guidance": 1.5,
    "guidance_rescale": 0.0,
    "guidance_interval": [2.0, 1000.0],
    "autoguidance": 2.5,
    "autoguidance_interval": [0.5, 2.0],
}


def _interval(name, interval):
    """Return an interval of noise-to-signal ratios: list of float, (2,)."""
    try:
        low, high = (float(value) for value in interval)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if isinstance(interval, str) or not 0 <= low < high < math.inf:
        raise InputError(
            f"{name} {interval!r}: expected two noise-to-signal ratios, the lower first"
        )
    return [low, high]
