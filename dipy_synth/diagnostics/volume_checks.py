"""Checks of scaling, autoencoder and samples."""

import numpy as np

from dipy_synth.diagnostics.data_checks import GIVE_COHORT
from dipy_synth.diagnostics.results import grade, make_result, skipped
from dipy_synth.diffusion.noise import NoiseStreams
from dipy_synth.diffusion.sampling_settings import SamplingSettings
from dipy_synth.metrics.array_checks import block_mean
from dipy_synth.metrics.regions import cut_brain
from dipy_synth.metrics.similarity import psnr
from dipy_synth.metrics.spectrum import band_power, power_ratio
from dipy_synth.utils.random import random_stream

SCALE = 0.01, 0.03  # of the range of intensities
ABOVE = 1.0  # dB
# standard deviation of samples over that of training latents
ALIKE, PLAUSIBLE = (0.6, 1.5), (0.35, 2.5)


def check_scale(context):
    """Check that scaling of latents and its inverse keep them unchanged."""
    ldm = context.ldm
    if context.sides():
        latents = np.asarray(context.side(context.sides()[0])[0][:2], "float32")
    else:
        rng = random_stream("diagnostics: volumes", seed=context.seed)
        noise = rng.standard_normal((2, *ldm.network.shape), dtype="float32")
        latents = ldm.normalizer.restore(noise)
    straight = ldm.vqvae.decode(latents)
    around = ldm.decode(ldm.normalizer.normalize(latents))
    apart = float(np.sqrt(np.mean((straight - around) ** 2)))
    passes, warns = SCALE
    return make_result(
        "latent scaling round trip",
        grade(passes=apart <= passes, warns=apart <= warns),
        f"volumes decoded directly, and after scaling and its inverse, differ by "
        f"{apart:.4f} (root mean square, of a range of 1)",
        expected=f"at most {passes}",
        advice="latents are normalised for training but not restored before decoding, "
        "or with other values: use one LatentNormalizer for both directions",
        values={"rms": apart},
    )


def check_round_trip(context):
    """Check that the autoencoder is better than block means of a volume."""
    name = "autoencoder round trip"
    if context.volumes is None:
        return skipped(name, "no volumes were given", GIVE_COHORT)
    vqvae, brains = context.ldm.vqvae, context.ldm.config.get("grid") is not None
    decoded = vqvae.reconstruct(
        context.volumes, batch_size=1 if vqvae.network.rank == 3 else 64
    )
    coarse = [in_blocks(volume, vqvae.network.factor) for volume in context.volumes]
    metrics = [
        [_psnr(volume, image, brains) for volume, image in zip(context.volumes, images)]
        for images in (decoded, coarse)
    ]
    got, floor = (float(np.mean(values)) for values in metrics)
    where = " in the brain" if brains else ""
    power = _power_kept(context, decoded) if brains else []
    fine = f" and {power[-1]:.0%} of their power in the finest band" if power else ""
    return make_result(
        name,
        grade(passes=got >= floor + ABOVE, warns=got >= floor),
        f"{len(context.volumes)} decoded volumes have {got:.1f} dB{where}{fine}; "
        f"means over blocks of {vqvae.network.factor} voxels have {floor:.1f} dB",
        expected=f"at least {ABOVE:g} dB above the means over blocks",
        advice="train the autoencoder longer, or use more channels; samples cannot "
        "be better than this",
        values={"psnr_db": got, "floor_db": floor, "power_ratio": power},
    )


def _power_kept(context, decoded):
    """Compute the power of decoded brains over that of the volumes, in four bands."""
    size = context.ldm.grid.voxel_size
    sides = [
        np.stack([band_power(cut_brain(volume, voxel_size=size)) for volume in volumes])
        for volumes in (context.volumes, decoded)
    ]
    return power_ratio(*sides).tolist()


def in_blocks(volume, size):
    """Replace each block of `size` voxels a side by its mean."""
    means = block_mean(volume[np.newaxis], size)[0]
    return np.kron(means, np.ones((size,) * volume.ndim))


def _psnr(volume, image, brains):
    return psnr(volume, image, mask=volume > 0 if brains else None)


def _make_samples(context, *, report=None):
    """Sample normalised latents by default settings: 4 brains or 64 small images.

    `report` is called after each step with its fraction of all steps.
    """
    ldm, n = context.ldm, 4 if context.ldm.vqvae.network.rank == 3 else 64
    wanted = _some_conditions(context, n)
    settings = SamplingSettings().completed(ldm.config["sampling"])
    share, samples = 1 / n / settings.steps, []
    for start in range(0, n, context.batch_size):
        numbers = range(start, min(n, start + context.batch_size))
        streams = NoiseStreams(context.seed, numbers, ldm.network.shape)
        samples.append(
            ldm.sample_latents(
                streams,
                wanted[numbers.start : numbers.stop],
                settings,
                callback=lambda step, x, x0: report and report(len(x0) * share),
            )
        )
    return np.concatenate(samples)


def _some_conditions(context, n):
    """Return the encoded conditions of n given subjects, or none: (n, n_conditions)."""
    if not context.sides():
        return np.full((n, len(context.ldm.schema.names)), np.nan, "float32")
    known = context.chosen(context.sides()[0])[1]
    return known[np.linspace(0, len(known) - 1, n).astype(int)]


def check_samples(context, report=None):
    """Check that samples vary as training latents do, channel by channel.

    Parameters and result are those of `check_overfit`. The samples are stored in the
    context.
    """
    if context.samples is None:
        context.samples = _make_samples(context, report=report)
    samples, size, std = context.samples, *_sizes(context.samples)
    if context.latents is not None:
        there = _sizes(context.chosen("latents")[0])
        size, std = size / there[0], std / there[1]
    metrics = np.concatenate([size, std])
    alike, plausible = (
        np.all((metrics >= a) & (metrics <= b)) for a, b in (ALIKE, PLAUSIBLE)
    )
    return make_result(
        "variability of samples",
        grade(passes=alike, warns=plausible),
        f"{len(samples)} samples are, channel by channel, {_ends(size)} as large as "
        f"training latents, and differ from each other {_ends(std)} as much",
        expected=f"{ALIKE[0]} to {ALIKE[1]}; below they collapse, above they explode",
        advice=_ADVICE,
        values={"size": size.tolist(), "std": std.tolist()},
    )


_ADVICE = (
    "fix other failures first; then train longer, use more steps (--steps), or a "
    "guidance nearer to 1"
)


def _sizes(latents):
    """Compute, by channel, the root mean square and the deviation over images."""
    axes = tuple(range(latents.ndim - 1))
    size = np.sqrt(np.mean(np.square(latents, dtype="float64"), axis=axes))
    std = np.sqrt(np.mean(np.var(latents, axis=0, ddof=1, dtype="float64"), axes[:-1]))
    return size, std


def _ends(values):
    return f"{values.min():.2f} to {values.max():.2f} times"
