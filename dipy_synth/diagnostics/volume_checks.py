"""Checks of the way to volumes: the scale, the autoencoder, and samples."""

import numpy as np

from dipy_synth.diagnostics.data_checks import GIVE_COHORT
from dipy_synth.diagnostics.results import found, judged, not_looked_at
from dipy_synth.diffusion.guidance import sample_latents, sampling_settings
from dipy_synth.diffusion.noise import NoiseStreams
from dipy_synth.diffusion.sampling_settings import SETTINGS
from dipy_synth.metrics.similarity import psnr

SCALE = 0.01, 0.03  # of the range of intensities
ABOVE = 1.0  # dB
ALIKE, ODD = (0.6, 1.5), (0.35, 2.5)  # spread of samples, of that of training latents


def check_scale(case):
    """Check that latents go into the network's scale and back unchanged."""
    ldm = case.ldm
    if case.sides():
        latents = np.asarray(case.side(case.sides()[0])[0][:2], "float32")
    else:
        rng = np.random.default_rng(case.seed)
        noise = rng.standard_normal((2, *ldm.network.shape), dtype="float32")
        latents = ldm.normalizer.restore(noise)
    straight = ldm.vqvae.decode(latents)
    around = ldm.decode(ldm.normalizer.normalize(latents))
    apart = float(np.sqrt(np.mean((straight - around) ** 2)))
    right, doubtful = SCALE
    return found(
        "scale there and back",
        judged(right=apart <= right, doubtful=apart <= doubtful),
        f"volumes decoded straight, and by way of the network's scale, differ by "
        f"{apart:.4f} (root mean square, of a range of 1)",
        expected=f"at most {right}",
        advice="latents are normalised for training but not restored before decoding, "
        "or by other numbers: use one LatentNormalizer for both directions",
        values={"rms": apart},
    )


def check_round_trip(case):
    """Check that the autoencoder gives back more than coarse blocks of a volume."""
    name = "autoencoder round trip"
    if case.volumes is None:
        return not_looked_at(name, "no volumes are at hand", GIVE_COHORT)
    vqvae, brains = case.ldm.vqvae, case.ldm.config.get("grid") is not None
    decoded = vqvae.predict(
        case.volumes, batch_size=1 if vqvae.network.rank == 3 else 64
    )
    coarse = [in_blocks(volume, vqvae.network.factor) for volume in case.volumes]
    figures = [
        [_psnr(volume, image, brains) for volume, image in zip(case.volumes, images)]
        for images in (decoded, coarse)
    ]
    got, floor = (float(np.mean(values)) for values in figures)
    where = " in the brain" if brains else ""
    return found(
        name,
        judged(right=got >= floor + ABOVE, doubtful=got >= floor),
        f"{len(case.volumes)} volumes come back at {got:.1f} dB{where}; means over "
        f"blocks of {vqvae.network.factor} voxels have {floor:.1f} dB",
        expected=f"at least {ABOVE:g} dB above the means over blocks",
        advice="train the autoencoder longer, or give it more channels; nothing "
        "generated can be better than this",
        values={"psnr_db": got, "floor_db": floor},
    )


def in_blocks(volume, size):
    """Replace each block of voxels by its mean.

    Parameters
    ----------
    volume : array (*shape)
        Multiples of `size`.
    size : int
        Voxels a side.

    Returns
    -------
    ndarray (*shape)
    """
    parts = [part for n in volume.shape for part in (n // size, size)]
    inner = tuple(range(1, len(parts), 2))
    means = np.asarray(volume, "float64").reshape(parts).mean(axis=inner, keepdims=True)
    return np.broadcast_to(means, parts).reshape(volume.shape)


def _psnr(volume, image, brains):
    return psnr(volume, image, mask=volume > 0 if brains else None)


def make_samples(case, *, told=None):
    """Sample normalised latents as the model recommends.

    Parameters
    ----------
    case : Case
        What is looked at.
    told : callable, optional
        Called after each step with the share of all steps that it was.

    Returns
    -------
    ndarray (n, *latent_shape)
        4 brains or 64 small images, with conditions of the cohort at hand.
    """
    ldm, n = case.ldm, 4 if case.ldm.vqvae.network.rank == 3 else 64
    wanted = _some_conditions(case, n)
    settings = sampling_settings(ldm.config["sampling"], **dict.fromkeys(SETTINGS))
    share, samples = 1 / n / settings["steps"], []
    for start in range(0, n, case.batch_size):
        numbers = range(start, min(n, start + case.batch_size))
        streams = NoiseStreams(case.seed, numbers, ldm.network.shape)
        samples.append(
            sample_latents(
                ldm.network,
                ldm.schedule,
                streams,
                wanted[numbers.start : numbers.stop],
                prior=ldm.prior,
                callback=lambda step, x, x0: told and told(len(x0) * share),
                **settings,
            )
        )
    return np.concatenate(samples)


def _some_conditions(case, n):
    """Give the encoded conditions of n subjects at hand, or none: (n, n_conditions)."""
    if not case.sides():
        return np.full((n, len(case.ldm.schema.names)), np.nan, "float32")
    known = case.chosen(case.sides()[0])[1]
    return known[np.linspace(0, len(known) - 1, n).astype(int)]


def check_samples(case, told=None):
    """Check that samples spread as training latents do, channel by channel.

    Parameters and result are those of `check_overfit`. The samples are kept with the
    case.
    """
    if case.samples is None:
        case.samples = make_samples(case, told=told)
    samples, size, spread = case.samples, *_sizes(case.samples)
    if case.latents is not None:
        there = _sizes(case.chosen("latents")[0])
        size, spread = size / there[0], spread / there[1]
    figures = np.concatenate([size, spread])
    alike, odd = (np.all((figures >= a) & (figures <= b)) for a, b in (ALIKE, ODD))
    return found(
        "spread of samples",
        judged(right=alike, doubtful=odd),
        f"{len(samples)} samples are, channel by channel, {_ends(size)} as large as "
        f"training latents, and differ from each other {_ends(spread)} as much",
        expected=f"{ALIKE[0]} to {ALIKE[1]}; below they collapse, above they explode",
        advice=_ADVICE,
        values={"size": size.tolist(), "spread": spread.tolist()},
    )


_ADVICE = (
    "mend what else is wrong here first; then train longer, take more steps (--steps), "
    "or a guidance nearer to 1"
)


def _sizes(latents):
    """Give, by channel, the root mean square and the spread over images."""
    axes = tuple(range(latents.ndim - 1))
    size = np.sqrt(np.mean(np.square(latents, dtype="float64"), axis=axes))
    spread = np.sqrt(
        np.mean(np.var(latents, axis=0, ddof=1, dtype="float64"), axes[:-1])
    )
    return size, spread


def _ends(values):
    return f"{values.min():.2f} to {values.max():.2f} times"
