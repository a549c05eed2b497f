"""The ladder: images noised to rising levels and sampled back.

Features of a sample are determined at the noise levels that hide them: outline and size
at high noise, folds of the cortex where the noise is about as strong. The lowest rung
from which folds are not recovered is the noise level that is not yet learned.
"""

from dataclasses import dataclass

import numpy as np

from dipy_synth.diagnostics.data_checks import GIVE_COHORT
from dipy_synth.diagnostics.results import grade, make_result, skipped
from dipy_synth.diffusion.noise import NoiseStreams
from dipy_synth.diffusion.sampling_settings import SamplingSettings
from dipy_synth.metrics.regions import cut_brain
from dipy_synth.metrics.spectrum import band_power, power_ratio

RUNGS = (0.25, 0.6, 0.8, 1.5, 3.0, 9.0)  # noise-to-signal ratios
CLOSE, NEAR = (0.8, 1.25), (0.6, 1.67)  # relative power of the returned images
_BRAINS, _IMAGES = 2, 16


@dataclass(frozen=True)
class Ladder:
    """Images sampled back from rising noise levels.

    Attributes
    ----------
    ratios : tuple of float
        Noise-to-signal ratios.
    truth : ndarray of shape (n, *shape), float32
        The images, decoded from their latents.
    returned : ndarray of shape (len(ratios), n, *shape), float32
        Images sampled back from each level.
    """

    ratios: tuple
    truth: np.ndarray
    returned: np.ndarray


def climb(context, side, *, progress=None):
    """Add noise to latents, and sample from there with their own conditions.

    Parameters
    ----------
    context : DiagnosticContext
        The model and its latents.
    side : {"latents", "held_out"}
        Latents of the training set, or those held out.
    progress : callable, optional
        Called with the fraction done.

    Returns
    -------
    Ladder
    """
    ldm = context.ldm
    most = _BRAINS if ldm.vqvae.network.rank == 3 else _IMAGES
    x0, conditions = context.chosen(side, most=most)
    settings = SamplingSettings().completed(ldm.config["sampling"])
    times = ldm.schedule.sampling_times(settings.steps, size=x0[0].size)
    streams = NoiseStreams(context.seed, range(len(x0)), ldm.network.shape)
    denoise = ldm.denoiser(conditions, settings)
    starts = ldm.schedule.times_at(RUNGS)
    walks = [np.array([t, *times[times < t]]) for t in starts]
    total, returned = sum(len(walk) - 1 for walk in walks), []
    for walk in walks:
        state = ldm.schedule.add_noise(x0, streams.start(), walk[0])
        x = settings.function(
            denoise,
            state,
            walk,
            ldm.schedule,
            draw=streams.at_step,
            callback=lambda *_: progress and progress(1 / total),
        )
        returned.append(ldm.decode(x))
    return Ladder(RUNGS, ldm.decode(x0), np.stack(returned))


def check_ladder(context, progress=None):
    """Check that held-out brains are recovered from noise in full detail.

    The ladder is stored in the context, for its pictures. `progress` is called with the
    fraction done.
    """
    name = "ladder"
    sides = context.sides()
    if not sides:
        return skipped(name, "no latents were given", GIVE_COHORT)
    if context.ldm.config.get("grid") is None:
        return skipped(name, "power is computed for brains only", "look at the samples")
    context.ladder = climb(context, sides[0], progress=progress)
    size = context.ldm.grid.voxel_size
    truth = _power(context.ladder.truth, size)
    ratios = np.array(
        [power_ratio(truth, _power(v, size)) for v in context.ladder.returned]
    )
    close, near = (
        bool(np.all((ratios >= low) & (ratios <= high))) for low, high in (CLOSE, NEAR)
    )
    finest = ratios[:, -1]
    return make_result(
        name,
        grade(passes=close, warns=near),
        f"power after sampling back, relative to the brain: {finest.min():.2f} to "
        f"{finest.max():.2f} in the finest of four bands, {ratios.min():.2f} to "
        f"{ratios.max():.2f} in all",
        expected=f"{CLOSE[0]} to {CLOSE[1]} in all bands, from each level",
        advice="below 1 folds become blotches: train longer, with more of the lowest "
        "noise level that fails, and use a sampler with fresh noise (sde_dpmpp_2m); "
        "above 1 there is noise: more steps, or less autoguidance",
        values={
            "noise_to_signal": list(context.ladder.ratios),
            "power_ratio": ratios.tolist(),
        },
    )


def _power(volumes, voxel_size):
    return np.stack([band_power(cut_brain(v, voxel_size=voxel_size)) for v in volumes])
