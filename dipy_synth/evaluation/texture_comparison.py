"""Texture of the cortex in a synthetic cohort, between real brains, blotches and noise.

The features of the distribution metrics measure shape and size. Here folds are
distinguished from blotches: by power in four bands, intensities in the brain, texture
of blocks of 16 mm, and a classifier of real and synthetic brains.
"""

from functools import partial

from dipy_synth.metrics.classifier import block_auc, classifier_auc, texture_features
from dipy_synth.metrics.comparison import Metric, compare, noise_like
from dipy_synth.metrics.description import describe, describe_volume
from dipy_synth.metrics.histograms import histogram_distance
from dipy_synth.metrics.spectrum import (
    BANDS,
    power_distance,
    power_ratio,
    shuffle_phases,
)
from dipy_synth.metrics.texture import texture_distance
from dipy_synth.utils.parallel import named

BLOTCHES = "blotches"  # real brains, the phases of one band shuffled
NOISE = "voxel noise"
_AUC = {"bounds": (0, 1)}
_DISTANCE = {"bounds": (0, float("inf"))}


def _band(index):
    return Metric(lambda a, b: power_ratio(a, b)[index], two_sided=True, **_DISTANCE)


#: Part of a `Description` to its metrics.
TEXTURE_METRICS = {
    "texture": {
        "texture_of_cortex": Metric(texture_distance, **_DISTANCE),
        "texture_of_deep_parts": Metric(
            partial(texture_distance, region="deep"), **_DISTANCE
        ),
        "auc_of_blocks": Metric(block_auc, 4, **_AUC),
    },
    "volumes": {"auc_of_brains": Metric(classifier_auc, 4, **_AUC)},
    "histogram": {"histogram_distance": Metric(histogram_distance, **_DISTANCE)},
    "power": {
        "power_distance": Metric(power_distance, **_DISTANCE),
        **{
            f"power_{low:.2f}-{high:.2f}": _band(i)
            for i, (low, high) in enumerate(BANDS)
        },
    },
}


def compare_texture(real, synthetic, *, repeats=100, seed=0, each=map):
    """Compare the texture of two cohorts on one grid, the real one held out.

    Arguments are those of `evaluate`. Returns, for the ceilings "blotches" and "voxel
    noise", a tuple of Comparison: ceilings are real volumes with shuffled phases of one
    band, or with shuffled voxels.
    """
    options = {"voxel_size": real.grid.voxel_size}
    sides = [
        _parts(describe(v.volumes, each=named(each, f"texture, {side}"), **options))
        for side, v in (("real", real), ("synthetic", synthetic))
    ]
    found = {}
    for name, change in ((BLOTCHES, shuffle_phases), (NOISE, _noise)):
        items = [(volume, seed + i) for i, volume in enumerate(real.volumes)]
        changed = partial(_describe_changed, change=change)
        options |= {"function": changed, "each": named(each, f"texture, {name}")}
        ceiling = _parts(describe(items, **options))
        found[name] = tuple(
            comparison
            for part, metrics in TEXTURE_METRICS.items()
            for comparison in compare(
                *(side[part] for side in (*sides, ceiling)),
                metrics=metrics,
                repeats=repeats,
                seed=seed,
            )
        )
    return found


def _parts(description):
    """Return the rows of metrics, by name: dict of ndarray."""
    return description._asdict() | {"volumes": texture_features(description.texture)}


def _describe_changed(item, *, change, voxel_size):
    volume, seed = item
    return describe_volume(change(volume, seed=seed), voxel_size=voxel_size)


def _noise(volume, *, seed):
    return noise_like(volume[None], seed=seed)[0]
