"""Checks of the inputs of the network: latents, noise and split."""

import numpy as np

from dipy_synth.diagnostics.results import grade, make_result, skipped
from dipy_synth.utils.files import read_object
from dipy_synth.utils.labels import labels_on_side
from dipy_synth.utils.random import random_stream

GIVE_COHORT = "pass the cohort it was trained on (--prepared)"
KEEP_SOME = (
    "keep some subjects for validation: without them overfitting is not detected"
)
MEAN, STD = 0.05, 0.05  # largest deviation that passes; up to twice it is a warning
CLEAN, LEAK = 1e-3, 5e-3  # fraction of the signal power where sampling starts
STEEP = 30  # largest gain of the network's error in the first step


def check_latents(context):
    """Check that normalised latents have mean 0 and the variance of the model's map."""
    name = "latents at the input"
    if context.latents is None:
        return skipped(name, "no training latents were given", GIVE_COHORT)
    mean, own = _input_statistics(context)
    recorded = context.ldm.normalizer.variance
    recorded = np.sqrt(recorded.mean(axis=tuple(range(recorded.ndim - 1))))
    std = own / recorded
    offset, excess = np.abs(mean).max(), np.abs(std - 1).max()
    verdict = grade(
        passes=offset <= MEAN and excess <= STD,
        warns=offset <= 2 * MEAN and excess <= 2 * STD,
    )
    return make_result(
        name,
        verdict,
        f"over {len(context.latents)} training latents, channel by channel, the mean "
        f"is within {offset:.2g} of 0, and the standard deviation, divided by that "
        f"recorded in the model, within {excess:.2g} of 1",
        expected=f"mean within {MEAN} of 0, ratio within {STD} of 1",
        advice="the normalizer is not that of these latents: fit it to the whole "
        "training set (LatentNormalizer.fit), and train the network again",
        values={
            "mean": mean.tolist(),
            "std": std.tolist(),
            "mean_overall": float(mean.mean()),
            "std_overall": float(np.sqrt(np.mean(own**2 + mean**2) - mean.mean() ** 2)),
        },
    )


def _input_statistics(context):
    """Compute mean and SD of normalised training latents: two arrays (channels,)."""
    total, squares = 0.0, 0.0
    for latent in context.latents:
        x0 = context.ldm.normalizer.normalize(np.asarray(latent, "float64"))
        axes = tuple(range(x0.ndim - 1))
        total, squares = total + x0.mean(axis=axes), squares + (x0**2).mean(axis=axes)
    mean = total / len(context.latents)
    mean = mean.round(6) + 0.0  # no -0.000
    return mean, np.sqrt(np.maximum(squares / len(context.latents) - mean**2, 0))


def check_terminal_noise(context):
    """Check that the noise at the start of sampling is that at the end of training.

    With common schedules it is not :footcite:p:`lin2024flawed`.

    References
    ----------
    .. footbibliography::
    """
    schedule, steps = context.ldm.schedule, context.ldm.config["sampling"]["steps"]
    first, second = schedule.sampling_times(steps)[:2]
    alpha, sigma = (float(f(first)) for f in (schedule.alpha, schedule.sigma))
    left = alpha**2 / (alpha**2 + sigma**2)
    gain = float(schedule.alpha(second)) / alpha if alpha else np.inf
    steep = schedule.prediction == "noise" and gain > STEEP
    words = (
        f"where sampling starts, {left:.2g} of the signal power is left "
        f"(alpha-bar of the schedule's end)"
    )
    advice = "rescale the chain (--zero_terminal_snr with --prediction v), or train a "
    advice += (
        "rectified flow; sampling starts from pure noise, on which this network was "
        "not trained"
    )
    if steep:
        words += (
            f"; the first of {steps} steps multiplies the network's error by {gain:.0f}"
        )
        if left <= CLEAN:
            advice = (
                "predict v, not the noise, where a chain ends in noise (--prediction v)"
            )
    return make_result(
        "noise where sampling starts",
        grade(passes=left <= CLEAN and not steep, warns=left <= LEAK),
        words,
        expected=f"at most {CLEAN:g}; above {LEAK:g} the signal is visible",
        advice=advice,
        values={"alpha_bar": left, "snr": alpha**2 / max(sigma**2, 1e-12)},
    )


def check_split(context):
    """Check that no subject is on both sides, and that all parts share one split."""
    name, split = "training and validation", context.ldm.config.get("split") or {}
    train, held_out = (set(split.get(side, ())) for side in ("train", "validation"))
    if not train:
        return skipped(name, "the model does not record its subjects", "train it again")
    problems = [
        *_both_sides("the model", train, held_out),
        *_problems_of_cohort(context, split),
        *_problems_of_autoencoder(context, split),
        *_problems_of_run(context),
    ]
    seen = ["the model", *(["its run"] if context.run else [])]
    seen += ["the cohort"] if context.cohort_split else []
    seen += ["the autoencoder's own run"] if context.vqvae else []
    words = f"{len(train)} subjects to train and {len(held_out)} to validate, none on "
    words += f"both sides (of {', '.join(seen)})"
    return make_result(
        name,
        grade(passes=not problems and held_out, warns=not problems),
        "; ".join(problems) or words,
        expected="no subject on both sides, the same sides for autoencoder and U-Net",
        advice="prepare the cohort with one split and train both on it"
        if problems
        else KEEP_SOME,
        values={"train": len(train), "validation": len(held_out)},
    )


def _both_sides(who, train, held_out):
    both = sorted(train & held_out)
    return [f"{who}: {_some(both)} on both sides"] if both else []


def _problems_of_cohort(context, split):
    """Compare with the given cohort, if it is that of the training."""
    sides = context.cohort_split
    if not sides:
        return []
    moved = labels_on_side(split, sides["validation"], "train")
    moved += labels_on_side(split, sides["train"], "validation")
    return [f"{_some(moved)} changed sides in the cohort"] if moved else []


def _problems_of_autoencoder(context, split):
    """Compare with the run of the autoencoder: its split and its latents."""
    if context.vqvae is None:
        return []
    theirs, problems = context.vqvae.config["split"], []
    if theirs.get("salt") == split.get("salt"):
        seen = set(theirs["train"]) & set(split["validation"])
        problems = (
            [f"the autoencoder was trained on {len(seen)} of them"] if seen else []
        )
    if not _encode_alike(context.ldm.vqvae, context.vqvae, context.volumes):
        problems.append("this autoencoder has other latents than the model's own")
    return problems


def _encode_alike(one, other, volumes):
    """Return whether two autoencoders have the same latents; decoders may differ."""
    here, there = one.network, other.network
    if here.shape != there.shape or here.latent_shape != there.latent_shape:
        return False
    if volumes is None:
        rng = random_stream("diagnostics: autoencoders", seed=0)
        volumes = rng.random((1, *here.shape), dtype="float32")
    ours, theirs = (vqvae.encode(volumes[:1]) for vqvae in (one, other))
    # equal up to float16 rounding: weights of the same run
    return np.sqrt(np.mean((ours - theirs) ** 2)) <= 0.02 * np.std(ours)


def _problems_of_run(context):
    """Check that the stored latents of a run are of its autoencoder."""
    if context.run is None:
        return []
    wanted = (
        read_object(context.run / "settings.json").get("about", {}).get("autoencoder")
    )
    problems = []
    for side in ("train", "validation"):
        path = context.run / f"latents-{side}.json"
        if wanted and path.is_file() and read_object(path).get("vqvae") != wanted:
            problems.append(f"{path.name} is of another autoencoder than the run")
    return problems


def _some(names):
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
