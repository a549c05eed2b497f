"""Counterfactuals: a brain as it would be under other conditions.

Abduction, action, prediction :footcite:p:`sanchez2022diffusion`: the latents of a scan
are inverted towards noise under its own conditions; from there the sampler runs twice,
under its own conditions and under others. The difference of the two is the effect of
the conditions on this brain. Errors of the autoencoder and of the inversion are in
both, and cancel.

References
----------
.. footbibliography::
"""

from dataclasses import dataclass, field

import numpy as np

from dipy_synth.diffusion.inversion import invert_ddim, partial_times
from dipy_synth.diffusion.samplers import sample_ddim
from dipy_synth.diffusion.sampling_settings import SamplingSettings
from dipy_synth.errors import InputError
from dipy_synth.utils.cells import as_number
from dipy_synth.utils.number_checks import check_number, check_whole

STRENGTH, STEPS, GUIDANCE = 1.0, 24, 2.0
_INTERVAL = (0.3, 1000.0)  # noise-to-signal ratios with guidance


@dataclass(frozen=True)
class Edit:
    """A change of conditions, and the settings of the inversion.

    Parameters
    ----------
    conditions : dict, optional
        New values, such as ``{"age": 80}``.
    change : dict, optional
        Differences to the scan's own values, such as ``{"age": 30.0}``.
    own : dict, optional
        The scan's own conditions; they override those of the study's tables.
    strength : float, optional
        Fraction of the steps that are inverted, in (0, 1].
    steps : int, optional
        Number of steps from noise to image.
    guidance : float, optional
        Weight of classifier-free guidance in sampling; 1 is without, whose effect is
        smaller than that of real years (doc/benchmarks/editing.rst).

    Raises
    ------
    InputError
        If there is no change, a condition is there twice, or a number is out of range.
    """

    conditions: dict = field(default_factory=dict)
    change: dict = field(default_factory=dict)
    own: dict = field(default_factory=dict)
    strength: float = STRENGTH
    steps: int = STEPS
    guidance: float = GUIDANCE

    def __post_init__(self):
        if not self.conditions and not self.change:
            raise InputError("nothing to edit: expected conditions, or a change")
        if twice := sorted(set(self.conditions) & set(self.change)):
            raise InputError(
                f"condition {twice[0]}: expected in conditions or in change, not both"
            )
        if not 0 < check_number("strength", self.strength) <= 1:
            raise InputError(
                f"strength {self.strength}: expected a number above 0, at most 1"
            )
        check_whole("steps", self.steps, low=2)
        check_number("guidance", self.guidance)

    @classmethod
    def parse(cls, schema, *, conditions=(), change=(), own=(), **options):
        """Read an edit from words, by the conditions of a model.

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
        """Return the conditions of a scan, its own and the new ones.

        Parameters
        ----------
        known : dict
            Its row in the tables.
        schema : ConditionSchema
            The conditions of the model.

        Returns
        -------
        own, wanted : dict
            Every condition of the model; None where unknown.

        Raises
        ------
        InputError
            If a number to change is not known.
        """
        names = schema.columns_of([*known])
        row = {names.get(name, name): value for name, value in known.items()} | self.own
        own = {c.name: c.typed(row.get(c.name)) for c in schema.columns}
        wanted = {**own, **self.conditions}
        for name, step in self.change.items():
            if own[name] is None:
                raise InputError(
                    f"{name} is not known, so it cannot be changed by {step:g}; "
                    f"expected it in participants.tsv, or own_conditions {name}=..."
                )
            wanted[name] = round(own[name] + step, 3)
        return own, wanted

    def to_config(self):
        """Return the settings as in sidecars: CamelCase keys, JSON values."""
        return {
            "Strength": float(self.strength),
            "Steps": int(self.steps),
            "Guidance": float(self.guidance),
        }


def _step(word, schema):
    """Read the change of a condition, ``age=-5``: (name, float)."""
    name, _, value = word.partition("=")
    if not name or not value:
        raise InputError(f"change {word}: expected name=number")
    if name not in schema.names:
        there = ", ".join(schema.names) or "none, the model is unconditional"
        raise InputError(f"no condition {name}; expected one of {there}")
    kind, step = schema.columns[schema.names.index(name)].kind, as_number(value)
    if kind != "number" or step is None or "," in value:
        raise InputError(
            f"change {word}: expected a number, with a decimal point, to add to a "
            "condition that is a number"
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
    """Generate a brain anew under its own conditions and under others.

    Parameters
    ----------
    ldm : LDM
        A model with weights and conditions.
    volume : ndarray of shape (*shape)
        A prepared volume in [0, 1].
    own, wanted : dict
        Its own conditions and the new ones; None where unknown.
    strength, steps, guidance : optional
        See `Edit`.

    Returns
    -------
    edited, reconstructed : ndarray of shape (*shape), float32
        Volumes in [0, 1]; equal for equal conditions.
    """
    rows = ldm.schema.encode([own, wanted])
    same = np.array_equal(*rows, equal_nan=True)
    latents = ldm.normalizer.normalize(ldm.vqvae.encode(np.asarray(volume)[None]))
    whole = ldm.schedule.sampling_times(steps, size=latents[0].size)
    times = partial_times(whole, strength)
    state = invert_ddim(ldm.denoiser(rows[:1]), latents, times, ldm.schedule)
    rows = rows[:1] if same else rows
    settings = SamplingSettings(guidance=guidance, guidance_interval=_INTERVAL)
    denoise = ldm.denoiser(rows, settings)
    start = np.repeat(state, len(rows), axis=0)
    decoded = ldm.decode(sample_ddim(denoise, start, times, ldm.schedule))
    return decoded[-1], decoded[0]
