"""Checks of what the network is given: latents, noise, and who is on which side."""

import numpy as np

from dipy_synth.diagnostics.results import found, judged, not_looked_at
from dipy_synth.utils.files import read_json

GIVE_COHORT = "give the cohort it was trained on (--prepared)"
MEAN, STD = 0.05, 0.05  # how far from 0 and 1 is right; twice that is doubtful
CLEAN, LEAK = 1e-3, 5e-3  # share of the image's power left where sampling starts
STEEP = 30  # how much of its error the network may have multiplied in the first step


def check_latents(case):
    """Check that the network's input has mean 0 and standard deviation 1."""
    name = "latents at the input"
    if case.latents is None:
        return not_looked_at(name, "no training latents are at hand", GIVE_COHORT)
    mean, std = input_statistics(case)
    offset, spread = np.abs(mean).max(), np.abs(std - 1).max()
    verdict = judged(
        right=offset <= MEAN and spread <= STD,
        doubtful=offset <= 2 * MEAN and spread <= 2 * STD,
    )
    return found(
        name,
        verdict,
        f"over {len(case.latents)} training latents, channel by channel, the mean is "
        f"{mean.min():.3f} to {mean.max():.3f} and the standard deviation "
        f"{std.min():.3f} to {std.max():.3f}",
        expected=f"mean within {MEAN} of 0, standard deviation within {STD} of 1",
        advice="the normaliser is not that of these latents: fit it on the whole "
        "training set (LatentNormalizer.fit), and train the network anew",
        values={
            "mean": mean.tolist(),
            "std": std.tolist(),
            "mean_overall": float(mean.mean()),
            "std_overall": float(np.sqrt(np.mean(std**2 + mean**2) - mean.mean() ** 2)),
        },
    )


def input_statistics(case):
    """Measure the normalised training latents, one image at a time.

    Returns
    -------
    mean, std : ndarray of float64, (channels,)
    """
    total, squares = 0.0, 0.0
    for latent in case.latents:
        x0 = case.ldm.normalizer.normalize(np.asarray(latent, "float64"))
        axes = tuple(range(x0.ndim - 1))
        total, squares = total + x0.mean(axis=axes), squares + (x0**2).mean(axis=axes)
    mean = total / len(case.latents)
    mean = mean.round(6) + 0.0  # no -0.000
    return mean, np.sqrt(np.maximum(squares / len(case.latents) - mean**2, 0))


def check_terminal_noise(case):
    """Check that sampling starts where training ended: at noise.

    References
    ----------
    Lin et al. (2024). Common diffusion noise schedules and sample steps are flawed.
    WACV.
    """
    schedule, steps = case.ldm.schedule, case.ldm.config["sampling"]["steps"]
    first, second = schedule.sampling_times(steps)[:2]
    alpha, sigma = (float(f(first)) for f in (schedule.alpha, schedule.sigma))
    left = alpha**2 / (alpha**2 + sigma**2)
    gain = float(schedule.alpha(second)) / alpha if alpha else np.inf
    steep = schedule.prediction == "noise" and gain > STEEP
    words = (
        f"where sampling starts, {left:.2g} of the image's power is left "
        f"(alpha-bar of the schedule's end)"
    )
    advice = "rescale the chain (--zero_terminal_snr with --prediction v), or train a "
    advice += (
        "rectified flow; sampling starts at pure noise, which this network never saw"
    )
    if steep:
        words += (
            f"; the first of {steps} steps multiplies the network's error by {gain:.0f}"
        )
        if left <= CLEAN:
            advice = (
                "predict v, not the noise, where a chain ends in noise (--prediction v)"
            )
    return found(
        "noise where sampling starts",
        judged(right=left <= CLEAN and not steep, doubtful=left <= LEAK),
        words,
        expected=f"at most {CLEAN:g}; above {LEAK:g} the image shows through",
        advice=advice,
        values={"alpha_bar": left, "snr": alpha**2 / max(sigma**2, 1e-12)},
    )


def check_split(case):
    """Check that no subject is on both sides, and that all parts know the same."""
    name, split = "training and validation", case.ldm.config.get("split") or {}
    train, held_out = (set(split.get(side, ())) for side in ("train", "validation"))
    if not train:
        return not_looked_at(
            name, "the model does not tell who it was trained on", "train it again"
        )
    problems = [
        *_both_sides("the model", train, held_out),
        *_problems_of_cohort(case, train, held_out),
        *_problems_of_autoencoder(case, train, held_out),
        *_problems_of_run(case),
    ]
    seen = ["the model", *(["its run"] if case.run else [])]
    seen += ["the cohort"] if case.cohort_split else []
    seen += ["the autoencoder's own run"] if case.vqvae else []
    words = f"{len(train)} subjects to train and {len(held_out)} to validate, none on "
    words += f"both sides (of {', '.join(seen)})"
    return found(
        name,
        judged(right=not problems and held_out, doubtful=not problems),
        "; ".join(problems) or words,
        expected="no subject on both sides, the same sides for autoencoder and U-Net",
        advice="prepare the cohort with one split and train both on it"
        if problems
        else "keep some subjects for validation: without them nothing tells memory "
        "from learning",
        values={"train": len(train), "validation": len(held_out)},
    )


def _both_sides(who, train, held_out):
    both = sorted(train & held_out)
    return [f"{who}: {_some(both)} on both sides"] if both else []


def _problems_of_cohort(case, train, held_out):
    """Compare with the cohort at hand, if it is the one that was trained on."""
    split = case.cohort_split
    if not split or not train & {*split["train"], *split["validation"]}:
        return []
    moved = sorted(train & set(split["validation"]) | held_out & set(split["train"]))
    return [f"{_some(moved)} changed sides in the cohort"] if moved else []


def _problems_of_autoencoder(case, train, held_out):
    """Compare with the run of the autoencoder: its split and its latents."""
    if case.vqvae is None:
        return []
    seen = sorted(set(case.vqvae.config["split"]["train"]) & held_out)
    problems = [f"the autoencoder was trained on {_some(seen)}"] if seen else []
    if not _encode_alike(case.ldm.vqvae, case.vqvae, case.volumes):
        problems.append("this autoencoder gives other latents than the model's own")
    return problems


def _encode_alike(one, other, volumes):
    """Tell whether two autoencoders give the same latents; decoders may differ."""
    here, there = one.network, other.network
    if here.shape != there.shape or here.latent_shape != there.latent_shape:
        return False
    if volumes is None:
        volumes = np.random.default_rng(0).random((1, *here.shape), dtype="float32")
    ours, theirs = (vqvae.encode(volumes[:1]) for vqvae in (one, other))
    # weights in float16 are of the same run
    return np.sqrt(np.mean((ours - theirs) ** 2)) <= 0.02 * np.std(ours)


def _problems_of_run(case):
    """Check that the latents a run keeps are of the autoencoder it tells of."""
    if case.run is None:
        return []
    wanted = read_json(case.run / "settings.json").get("about", {}).get("autoencoder")
    problems = []
    for side in ("train", "validation"):
        path = case.run / f"latents-{side}.json"
        if wanted and path.is_file() and read_json(path).get("vqvae") != wanted:
            problems.append(f"{path.name} is of another autoencoder than the run")
    return problems


def _some(names):
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
