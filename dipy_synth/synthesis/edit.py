"""Counterfactuals: a brain as it would be under other conditions.

Abduction, action, prediction [1]_: the latents of a scan are inverted, under its own
conditions, a part of the way to the noise that the model makes them of; from there the
sampler goes back twice, under its own conditions and under others. What the two differ
by is the effect of the conditions on this brain; what the autoencoder and the inversion
lose is in both, and cancels.

References
----------
.. [1] Sanchez & Tsaftaris (2022). Diffusion causal models for counterfactual
   estimation. CLeaR.
"""

from dataclasses import dataclass, field
import math

import numpy as np

from dipy_synth.conditions import is_missing
from dipy_synth.diffusion.inversion import invert_ddim, partial_times
from dipy_synth.diffusion.samplers import sample_ddim
from dipy_synth.diffusion.sampling_settings import SamplingSettings
from dipy_synth.errors import InputError
from dipy_synth.utils.cells import as_number

STRENGTH, STEPS, GUIDANCE = 1.0, 24, 2.0


@dataclass(frozen=True)
class Edit:
    """What is to be changed of a scan, and how.

    Parameters
    ----------
    conditions : dict, optional
        Values that the scan is to have, such as ``{"age": 80}``.
    change : dict, optional
        Numbers to be added to the scan's own, such as ``{"age": 30.0}``.
    own : dict, optional
        The scan's own conditions, which go before those of the study's tables.
    strength : float, optional
        Share of the sampler's steps that the scan goes towards the noise, above 0, to
        1 for all of the way.
    steps : int, optional
        Steps of the whole way.
    guidance : float, optional
        Weight of the conditions on the way back; 1 is the model's own estimate, whose
        effect is smaller than that of real years (doc/benchmarks/editing.rst).

    Raises
    ------
    InputError
        If nothing is to be changed, a condition is there twice, or a number is out of
        range.
    """

    conditions: dict = field(default_factory=dict)
    change: dict = field(default_factory=dict)
    own: dict = field(default_factory=dict)
    strength: float = STRENGTH
    steps: int = STEPS
    guidance: float = GUIDANCE

    def __post_init__(self):
        if not self.conditions and not self.change:
            raise InputError("nothing to edit: expected conditions, or a change of one")
        if twice := sorted(set(self.conditions) & set(self.change)):
            raise InputError(
                f"condition {twice[0]}: expected in conditions or in change, not both"
            )
        if not 0 < self.strength <= 1:
            raise InputError(
                f"strength {self.strength}: expected a number above 0, at most 1"
            )
        if self.steps < 2 or self.steps != int(self.steps):
            raise InputError(f"steps {self.steps}: expected a whole number, at least 2")
        if not math.isfinite(self.guidance):
            raise InputError(f"guidance {self.guidance}: expected a finite number")

    @classmethod
    def parse(cls, schema, *, conditions=(), change=(), own=(), **options):
        """Read an edit as it is typed, by the conditions of a model.

        Parameters
        ----------
        schema : ConditionSchema
            The conditions of the model.
        conditions, change, own : sequence of str, optional
            Each ``name=value``.
        **options
            ``strength``, ``steps``, ``guidance``.

        Returns
        -------
        Edit
        """
        steps = dict(_step(word, schema) for word in change)
        return cls(schema.parse(conditions), steps, schema.parse(own), **options)

    def rows(self, known, schema):
        """Return the conditions of a scan, its own and those that it is to have.

        Parameters
        ----------
        known : dict
            What the tables tell of it.
        schema : ConditionSchema
            The conditions of the model.

        Returns
        -------
        own, wanted : dict
            Every condition of the model; None where it is not known.

        Raises
        ------
        InputError
            If a number is to be changed that is not known.
        """
        told = {**known, **self.own}
        own = {n: None if is_missing(told.get(n)) else told[n] for n in schema.names}
        wanted = {**own, **self.conditions}
        for name, step in self.change.items():
            number = as_number(own[name])
            if number is None:
                raise InputError(
                    f"{name} is not known, so it cannot be changed by {step:g}; "
                    f"expected it in participants.tsv, or own_conditions {name}=..."
                )
            wanted[name] = round(number + step, 3)
        return own, wanted

    def to_config(self):
        """Describe how it is done in JSON's own types, as sidecars do: dict."""
        return {
            "Strength": float(self.strength),
            "Steps": int(self.steps),
            "Guidance": float(self.guidance),
        }


def _step(word, schema):
    """Read what is to be added to a condition, ``age=-5``: (name, float)."""
    name, _, value = word.partition("=")
    if not name or not value:
        raise InputError(f"change {word}: expected name=number")
    if name not in schema.names:
        there = ", ".join(schema.names) or "none, the model is unconditional"
        raise InputError(f"no condition {name}; expected one of {there}")
    kind, step = schema.columns[schema.names.index(name)].kind, as_number(value)
    if kind != "number" or step is None or "," in value:
        raise InputError(
            f"change {word}: expected a number to add to a condition that is a number"
        )
    return name, step


def edit_volume(
    ldm,
    volume,
    own,
    wanted,
    *,
    strength=STRENGTH,
    steps=STEPS,
    guidance=GUIDANCE,
):
    """Generate a brain again, under its own conditions and under others.

    Parameters
    ----------
    ldm : LDM
        A model with weights and conditions.
    volume : ndarray, (*shape)
        A prepared volume in [0, 1].
    own, wanted : dict
        Its conditions, and those that it is to have; None where one is not known.
    strength, steps, guidance : optional
        As of `Edit`.

    Returns
    -------
    edited, reconstructed : ndarray of float32, (*shape)
        Volumes in [0, 1]; the same where the conditions are.
    """
    rows = ldm.schema.encode([own, wanted])
    same = np.array_equal(*rows, equal_nan=True)
    latents = ldm.normalizer.normalize(ldm.vqvae.encode(np.asarray(volume)[None]))
    whole = ldm.schedule.sampling_times(steps, size=latents[0].size)
    times = partial_times(whole, strength)
    state = invert_ddim(ldm.denoiser(rows[:1]), latents, times, ldm.schedule)
    rows = rows[:1] if same else rows
    interval = ldm.config["sampling"].get("guidance_interval")
    settings = SamplingSettings(guidance=guidance, guidance_interval=interval)
    denoise = ldm.denoiser(rows, settings)
    start = np.repeat(state, len(rows), axis=0)
    decoded = ldm.decode(sample_ddim(denoise, start, times, ldm.schedule))
    return decoded[-1], decoded[0]
