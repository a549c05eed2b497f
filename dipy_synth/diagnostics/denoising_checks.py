"""Checks of what the denoiser has learned: latents out of noise, with conditions."""

import numpy as np

from dipy_synth.diagnostics.data_checks import GIVE_COHORT
from dipy_synth.diagnostics.results import (
    FAIL,
    PASS,
    WARN,
    grade,
    make_result,
    skipped,
)

WORDS = {"latents": "training", "held_out": "held-out"}
LEARNED = 0.97  # of a Wiener filter's error
RISE = 0.02  # how much an error may fall as the noise rises
FOUND, HARDLY_FOUND = 0.85, 0.4  # of what is there to be found in deep noise
COARSE_ERRORS = (0.1, 0.3, 0.6)  # left to the best multiple of what is seen
FEW = 8  # training latents, of which no component is told
IGNORED = 1e-3  # relative change of the answers without conditions
SURE = 2.0  # standard errors


def check_denoising(context, side):
    """Check the denoised latents against the best linear filter, by noise level.

    The error of a Wiener filter by position and channel is what a preconditioned
    network starts from; what it has learned is how far it is below.

    Parameters
    ----------
    context : DiagnosticContext
        What is looked at.
    side : {"latents", "held_out"}
        Latents of the training set, or those held out.

    Returns
    -------
    CheckResult
    """
    name = f"denoising, {WORDS[side]}"
    if context.side(side)[0] is None:
        return skipped(name, f"no {WORDS[side]} latents are at hand", GIVE_COHORT)
    looked = context.denoised(side)
    noise = _noise(context, looked)
    errors = looked.errors().mean(axis=1)
    linear = looked.wiener_errors(context.ldm.normalizer.variance, noise)
    ratios = errors / linear
    beaten, rises = ratios < LEARNED, np.diff(errors) > -RISE
    lost = [f"{ratio:.2g}" for ratio in noise[~beaten]]
    words = (
        f"at noise {_list(noise)} times the signal the error is {_list(ratios)} of "
        "what a Wiener filter leaves"
    )
    words += f"; hardly better at {', '.join(lost)}" if lost else ""
    words += "" if rises.all() else "; the error falls as the noise rises"
    return make_result(
        name,
        _verdict(side, beaten, rises),
        words,
        expected=f"below {LEARNED} at every level, and errors that rise with the noise",
        advice=_ADVICE[side],
        values={
            "noise_to_signal": noise.tolist(),
            "errors": errors.tolist(),
            "wiener_errors": linear.tolist(),
            "ratios": ratios.tolist(),
        },
    )


_ADVICE = {
    "latents": "the network has not learned to denoise: train longer, and first mend "
    "what else is wrong here (a wrong scale looks like this too)",
    "held_out": "where training latents fail, too, train longer; where they do not, "
    "the network knows what it has seen alone: more subjects, fewer epochs "
    "(--patience) or a smaller network",
}


def _verdict(side, beaten, rises):
    """Grade: training latents must be denoised; of unseen ones a level may fail."""
    if beaten.all() and rises.all():
        return PASS
    few = beaten.sum() >= len(beaten) - (1 if side == "latents" else 2)
    return WARN if few and rises.all() else FAIL


def _noise(context, looked):
    """Give noise over signal at each level."""
    schedule = context.ldm.schedule
    return schedule.sigma(looked.times) / np.maximum(schedule.alpha(looked.times), 1e-9)


def _list(values):
    return " ".join(f"{value:.2f}" for value in values)


def check_coarse(context):
    """Check that the widest variation is found in deep noise, where it is decided.

    The size of a brain is spread over all of its latent voxels, so it shows through
    noise that hides all else, and by the time the noise is no stronger than the signal
    it is settled. A network that saw such noise too rarely gives all samples about the
    mean size, however well it denoises elsewhere.
    """
    name = "large-scale structure at high noise"
    side = next(iter(context.sides()), None)
    if context.latents is None or len(context.latents) < FEW:
        return skipped(name, f"fewer than {FEW} training latents", GIVE_COHORT)
    looked = context.along_widest(side, COARSE_ERRORS)
    errors, linear = looked.errors().mean(axis=1), looked.linear_errors()
    share = float(np.sum(1 - errors) / np.sum(1 - linear))
    return make_result(
        name,
        grade(passes=share >= FOUND, warns=share >= HARDLY_FOUND),
        f"on {WORDS[side]} latents, along the component that varies most, error at "
        f"three levels of noise {_list(errors)}, of the best multiple of what is seen "
        f"{_list(linear)}; {share:.0%} is found of what that finds",
        expected=f"{FOUND:.0%} or more",
        advice="samples will be too much alike in size: train longer, or with a wider "
        "--noise_range, going on from this model with --initial",
        values={
            "noise_to_signal": _noise(context, looked).tolist(),
            "errors": errors.tolist(),
            "linear_errors": linear.tolist(),
            "share_found": share,
        },
    )


def check_conditions(context):
    """Check that conditions are heard, and that the right ones help.

    Answers with their own conditions are compared with answers without any, and with
    answers to those of other subjects, on the same latents and noise.
    """
    name = "conditions"
    if not context.ldm.schema.names:
        return skipped(name, "the model has no conditions", "")
    sides = [s for s in context.sides() if np.isfinite(context.chosen(s)[1]).any()]
    if not sides:
        return skipped(name, "conditions are not known", GIVE_COHORT)
    own = context.denoised(sides[0])
    null, others = (context.denoised(sides[0], kind) for kind in ("null", "others"))
    heard = _apart(own.answers, null.answers)
    known = np.isfinite(context.chosen(sides[0])[1]).any(axis=1)
    gains = [_gain(own, other, known) for other in (null, others)]
    return make_result(
        name,
        _verdict_of_conditions(heard, gains),
        f"on {known.sum()} {WORDS[sides[0]]} latents the answers change by {heard:.1e} "
        f"without conditions; the right ones lower the error by {_told(gains[0])} "
        f"against none and {_told(gains[1])} against those of others",
        expected=f"a change above {IGNORED:g}, and errors no higher than without "
        f"conditions and lower than with wrong ones, by {SURE:g} standard errors",
        advice=_advice_on_conditions(heard, gains),
        values={
            "change": heard,
            "gain_over_none": list(gains[0]),
            "gain_over_others": list(gains[1]),
        },
    )


def _apart(x, y):
    """Give the root mean square difference, of the size of the first."""
    size = np.sqrt(np.mean(x**2))
    return float(np.sqrt(np.mean((x - y) ** 2)) / max(size, 1e-12))


def _gain(own, other, known):
    """Give by how much the error is lower, and its standard error."""
    per_image = (other.errors() - own.errors()).mean(axis=0)[known]
    error = (
        np.std(per_image, ddof=1) / len(per_image) ** 0.5 if len(per_image) > 1 else 0
    )
    return float(per_image.mean()), float(error)


def _told(gain):
    return f"{gain[0]:.1e} ± {gain[1]:.0e}"


def _verdict_of_conditions(heard, gains):
    """Grade: ignored or harmful conditions fail; without effect they warn."""
    if not heard > IGNORED:
        return FAIL
    (over_none, none_error), (over_others, others_error) = gains
    if over_none < -SURE * none_error or over_others < -SURE * others_error:
        return FAIL
    return PASS if over_others > SURE * others_error else WARN


def _advice_on_conditions(heard, gains):
    if not heard > IGNORED:
        return (
            "the network does not hear its conditions: train with --conditions and a "
            "--condition_dropout well below 1"
        )
    return (
        "conditions are heard but do not help here: train longer, or with more "
        "subjects; check that participants.tsv is that of these scans; ask for them "
        "with a lower --guidance until then"
    )
