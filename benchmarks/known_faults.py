"""Measure what each metric of an evaluation gives for cohorts with known faults.

    python benchmarks/known_faults.py PREPARED [--samples COHORT] [--model ixi-2mm]

Beside the validation brains of a prepared cohort stand as many volumes of each kind:
training brains, the validation brains decoded, samples of a model, and real brains with
a planted fault. Prints a table in markdown; a metric's value is over all volumes.
"""

import argparse
from datetime import date

import numpy as np
from runs import hardware
from scipy.ndimage import gaussian_filter

from dipy_synth.evaluation.extractors import Extractor
from dipy_synth.evaluation.texture_comparison import TEXTURE_METRICS
from dipy_synth.evaluation.volumes import load_volumes
from dipy_synth.metrics.classifier import texture_features
from dipy_synth.metrics.comparison import METRICS, noise_like
from dipy_synth.metrics.description import describe
from dipy_synth.metrics.novelty import authenticity, feature_likelihood_divergence
from dipy_synth.metrics.planted_copies import plant_copies
from dipy_synth.metrics.spectrum import shuffle_phases
from dipy_synth.nn.predictor import CovariatePredictor
from dipy_synth.nn.vqvae import VQVAE

TEXTURE = ("texture_of_cortex", "texture_of_deep_parts", "auc_of_brains")
TEXTURE += ("auc_of_blocks", "power_distance", "power_0.75-1.00", "histogram_distance")
FEATURES = ("mmd", "precision", "recall", "vendi_ratio")
OF_TRAINING = {
    "authenticity": lambda known, a, b: authenticity(known, b),
    "FLD": feature_likelihood_divergence,
}


def main():
    """Read the arguments, plant the faults, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared")
    parser.add_argument("--samples")
    parser.add_argument("--model", default="ixi-2mm")
    options = parser.parse_args()
    real, train = (
        load_volumes(options.prepared, split=side) for side in ("validation", "train")
    )
    kinds = plant(real.volumes, train.volumes, VQVAE(options.model))
    if options.samples:
        made = load_volumes(options.samples, grid=real.grid)
        kinds = kinds | {f"samples ({len(made)})": made.volumes}
    predictor = CovariatePredictor()
    extract = Extractor.fit(predictor, train.volumes, fitted_on="train")
    columns = (*TEXTURE, *FEATURES, *OF_TRAINING)
    base = measure_parts(real.volumes, extract, real.grid)
    print(f"{date.today()}, {hardware()}: ", end="")
    print(f"{len(real)} validation and {len(train)} training brains\n")
    print(f"| {len(real)} volumes of | {' | '.join(columns)} |")
    print("|" + " --- |" * (len(columns) + 1))
    for kind, volumes in kinds.items():
        parts = measure_parts(volumes, extract, real.grid)
        found = compare(base, parts, extract.fitted)
        print(f"| {kind} | " + " | ".join(f"{found[c]:.3g}" for c in columns) + " |")


def plant(real, train, vqvae):
    """Return volumes by kind: as many training brains, decoded and faulty ones."""
    rng, n = np.random.default_rng(0), len(real)
    brains = np.asarray(real, "float32")
    chosen = np.asarray(train[np.sort(rng.permutation(len(train))[:n])], "float32")
    noise = rng.normal(0, 0.05, brains.shape).astype("float32")
    mean = chosen.mean(axis=0)
    return {
        "training brains, as they are": chosen,
        "decoded": vqvae.reconstruct(brains),
        "5 % of noise added": np.where(brains > 0, brains + noise, 0).clip(0, 1),
        "blotches for folds": [
            shuffle_phases(brain, seed=i) for i, brain in enumerate(brains)
        ],
        "a blur of half a voxel": [gaussian_filter(brain, 0.5) for brain in brains],
        "copies of training brains": plant_copies(chosen, "all combined"),
        "half way to their mean": (brains + mean) / 2,
        "one brain, other noise": np.where(brains[:1] > 0, brains[:1] + noise, 0).clip(
            0, 1
        ),
        "noise": noise_like(brains),
    }


def measure_parts(volumes, extract, grid):
    """Return the rows of all metrics, by part: dict."""
    volumes = np.asarray(volumes, "float32")
    parts = describe(volumes, voxel_size=grid.voxel_size)._asdict()
    parts["volumes"] = texture_features(parts["texture"])
    return parts | {"features": extract(volumes)}


def compare(real, synthetic, known):
    """Compute each metric of two cohorts, by name: dict of float."""
    found = {
        name: metric.function(real[part], synthetic[part])
        for part, metrics in TEXTURE_METRICS.items()
        for name, metric in metrics.items()
    }
    pair = real["features"], synthetic["features"]
    found |= {name: METRICS[name].function(*pair) for name in FEATURES}
    return found | {name: f(known, *pair) for name, f in OF_TRAINING.items()}


if __name__ == "__main__":
    main()
