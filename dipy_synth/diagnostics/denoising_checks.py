"""Checks of the denoiser: error by noise level, large scales and conditions."""

import numpy as np

from dipy_synth.diagnostics.data_checks import GIVE_COHORT, KEEP_SOME
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
RISE = 0.02  # largest decrease of the error with rising noise
# fractions of the variance that the best linear estimate explains at high noise
FOUND, HARDLY_FOUND = 0.85, 0.4
COARSE_ERRORS = (0.1, 0.3, 0.6)  # residual variances of the best linear estimate
FEW = 8  # least number of training latents for a component
IGNORED = 1e-3  # relative change of the outputs without conditions
SURE = 2.0  # standard errors


def check_denoising(context, side):
    """Check a side's denoised latents against the best linear filter, by noise level.

    A preconditioned network starts from the error of a Wiener filter by position and
    channel; learning lowers it.
    """
    name = f"denoising, {WORDS[side]}"
    if context.side(side)[0] is None:
        split = context.ldm.config.get("split")
        if side == "held_out" and split and not split.get("validation"):
            return skipped(name, "the model has no validation subjects", KEEP_SOME)
        return skipped(name, f"no {WORDS[side]} latents were given", GIVE_COHORT)
    result = context.denoised(side)
    noise = noise_to_signal(context, result)
    errors = result.errors().mean(axis=1)
    linear = result.wiener_errors(context.ldm.normalizer.variance, noise)
    ratios = errors / linear
    beaten, rises = ratios < LEARNED, np.diff(errors) > -RISE
    lost = [f"{ratio:.2g}" for ratio in noise[~beaten]]
    words = (
        f"at {len(noise)} levels of noise the error is {ratios.min():.2f} to "
        f"{ratios.max():.2f} of that of a Wiener filter"
    )
    words += (
        f"; hardly better at noise {', '.join(lost)} times the signal" if lost else ""
    )
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
    "latents": "the network has not learned to denoise: train longer, and first fix "
    "the other failures here (a wrong scale has this effect, too)",
    "held_out": "where training latents fail, too, train longer; where they do not, "
    "the network overfits: more subjects, fewer epochs (--patience) or a smaller "
    "network",
}


def _verdict(side, beaten, rises):
    """Grade denoising: training latents must pass; held-out ones may fail a level."""
    if beaten.all() and rises.all():
        return PASS
    few = beaten.sum() >= len(beaten) - (1 if side == "latents" else 2)
    return WARN if few and rises.all() else FAIL


def noise_to_signal(context, result):
    """Compute the noise-to-signal ratio at each level."""
    schedule = context.ldm.schedule
    return schedule.sigma(result.times) / np.maximum(schedule.alpha(result.times), 1e-9)


def check_coarse(context):
    """Check that the component of largest variance is denoised at high noise.

    The size of a brain affects all latent voxels, so it is visible at noise levels that
    hide all else, and is determined there in sampling. A network that is rarely trained
    at such levels generates samples of about the mean size, whatever its error at other
    levels.
    """
    name = "large-scale structure at high noise"
    side = next(iter(context.sides()), None)
    if context.latents is None or len(context.latents) < FEW:
        return skipped(name, f"fewer than {FEW} training latents", GIVE_COHORT)
    result = context.along_widest(side, COARSE_ERRORS)
    errors, linear = result.errors().mean(axis=1), result.linear_errors()
    share = float(np.sum(1 - errors) / np.sum(1 - linear))
    return make_result(
        name,
        grade(passes=share >= FOUND, warns=share >= HARDLY_FOUND),
        f"on {WORDS[side]} latents, along the component of largest variance, the "
        f"network finds {share:.0%} of the variance that the best linear estimate "
        "explains",
        expected=f"{FOUND:.0%} or more",
        advice="samples will be too similar in size: train longer, or with a wider "
        "--noise_range, starting from this model with --initial",
        values={
            "noise_to_signal": noise_to_signal(context, result).tolist(),
            "errors": errors.tolist(),
            "linear_errors": linear.tolist(),
            "share_found": share,
        },
    )


def check_conditions(context):
    """Check that conditions have an effect, and that the right ones lower the error.

    Outputs with their own conditions are compared with those without conditions, and
    with conditions of other subjects, on the same latents and noise.
    """
    name = "conditions"
    if not context.ldm.schema.names:
        return skipped(name, "the model has no conditions", "")
    sides = [s for s in context.sides() if np.isfinite(context.chosen(s)[1]).any()]
    if not sides:
        return skipped(name, "conditions are unknown", GIVE_COHORT)
    own = context.denoised(sides[0])
    null, others = (context.denoised(sides[0], kind) for kind in ("null", "others"))
    change = _apart(own.answers, null.answers)
    known = np.isfinite(context.chosen(sides[0])[1]).any(axis=1)
    gains = [_gain(own, other, known) for other in (null, others)]
    return make_result(
        name,
        _verdict_of_conditions(change, gains),
        f"on {known.sum()} {WORDS[sides[0]]} latents the outputs change by "
        f"{change:.2g} without conditions; the right ones lower the error by "
        f"{_text(gains[0])} against none and {_text(gains[1])} against those of others",
        expected=f"a change above {IGNORED:g}, and errors no higher than without "
        f"conditions and lower than with wrong ones, by {SURE:g} standard errors",
        advice=_advice_on_conditions(change, gains),
        values={
            "change": change,
            "gain_over_none": list(gains[0]),
            "gain_over_others": list(gains[1]),
        },
    )


def _apart(x, y):
    """Compute the root mean square difference, relative to the size of the first."""
    size = np.sqrt(np.mean(x**2))
    return float(np.sqrt(np.mean((x - y) ** 2)) / max(size, 1e-12))


def _gain(own, other, known):
    """Compute the decrease of the error, and its standard error."""
    per_image = (other.errors() - own.errors()).mean(axis=0)[known]
    error = (
        np.std(per_image, ddof=1) / len(per_image) ** 0.5 if len(per_image) > 1 else 0
    )
    return float(per_image.mean()), float(error)


def _text(gain):
    return f"{gain[0]:.2g} ± {gain[1]:.1g}"


def _verdict_of_conditions(change, gains):
    """Grade conditions: ignored or harmful ones fail, those without effect warn."""
    if not change > IGNORED:
        return FAIL
    (over_none, none_error), (over_others, others_error) = gains
    if over_none < -SURE * none_error or over_others < -SURE * others_error:
        return FAIL
    return PASS if over_others > SURE * others_error else WARN


def _advice_on_conditions(change, gains):
    if not change > IGNORED:
        return (
            "the network ignores its conditions: train with --conditions and a "
            "--condition_dropout well below 1"
        )
    return (
        "conditions have an effect but do not lower the error: train longer, or with "
        "more subjects; check that participants.tsv is that of these scans; use a "
        "lower --guidance until then"
    )
