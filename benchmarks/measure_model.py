"""Measure a latent diffusion model on the validation subjects of its cohort.

    python benchmarks/measure_model.py PREPARED MODEL --out_dir OUT [--n_samples 16]

writes OUT/measures.json and OUT/real_and_synthetic.png. Metrics are compared with
what real, held-out brains give, since few mean anything alone. With --n_samples 0 only
the autoencoder is measured (MODEL may then be one alone), and the picture is
OUT/real_and_decoded.png.
"""

import argparse
from datetime import date
import os
from pathlib import Path
import platform
import time

import numpy as np
from scipy import ndimage

from dipy_synth.data.cohort import Cohort
from dipy_synth.metrics.sharpness import high_frequency_power
from dipy_synth.metrics.similarity import psnr, ssim
from dipy_synth.networks.blocks import space_to_depth
from dipy_synth.networks.patch_autoencoder import PATCH, sample_patches
from dipy_synth.networks.quantizer import usage
from dipy_synth.nn.ldm import LDM
from dipy_synth.nn.vqvae import VQVAE
from dipy_synth.utils.files import write_json
from dipy_synth.utils.montage import save_montage


def main():
    """Read the arguments, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared")
    parser.add_argument("model")
    parser.add_argument("--out_dir", type=Path, default=Path("measured"))
    parser.add_argument("--n_samples", type=int, default=16)
    options = parser.parse_args()
    cohort = Cohort.load(options.prepared)
    train, held_out = (
        np.asarray(cohort.volumes(side), "float32") for side in ("train", "validation")
    )
    measures = {
        "date": date.today().isoformat(),
        "hardware": f"{platform.machine()}, {os.cpu_count()} CPU cores",
    }
    model = LDM(options.model) if options.n_samples else None
    vqvae = model.vqvae if model else VQVAE(options.model)
    decoded = vqvae.reconstruct(held_out)
    measures["reconstruction"] = reconstruction(vqvae, train, held_out, decoded)
    shown, name, title = decoded, "real_and_decoded", "encoded and decoded"
    if model:
        started = time.perf_counter()
        shown = model.generate(options.n_samples, seed=0, progress=True)
        seconds = (time.perf_counter() - started) / options.n_samples
        voxel_ml = float(np.prod(cohort.grid.voxel_size)) / 1000
        measures["generation"] = generation(shown, train, held_out, voxel_ml)
        measures["seconds_per_volume"] = round(seconds, 2)
        name, title = "real_and_synthetic", "synthetic, seed 0, the first six"
    write_json(options.out_dir / "measures.json", measures)
    save_montage(
        options.out_dir / f"{name}.png",
        [held_out[:6], shown[:6]],
        titles=["real, never trained on", title],
        columns=6,
    )


def reconstruction(vqvae, train, held_out, decoded):
    """Compare decoded validation volumes with the originals, and with PCA."""
    network = vqvae.network
    used, perplexity = usage(codes_of_brains(vqvae, held_out), network.quantizer.sizes)
    found = {
        **comparison(held_out, decoded),
        "codes_used": used,
        "perplexity_of_codes": perplexity,
    }
    if network.architecture == "patch":
        n = network.latent_shape[-1]
        by_pca = _psnr(held_out, _pca(train, held_out, n))
        found[f"psnr_in_brain_db_of_unquantised_pca_{n}"] = _spread(by_pca)
    return found


def codes_of_brains(vqvae, volumes):
    """Return the codes of the positions that hold some brain, array (n, codebooks).

    The background is one code everywhere, which says nothing of the codebook.
    """
    network = vqvae.network
    indices = np.asarray(network.quantizer.indices(vqvae.encode(volumes)))
    blocks = space_to_depth(volumes[..., None], network.factor)
    return indices[(np.asarray(blocks) > 0).any(axis=-1)]


def comparison(real, decoded):
    """Compare volumes (n, *shape) in [0, 1] with their originals: metrics by name."""
    pairs = list(zip(real, decoded))
    return {
        "n": len(real),
        "psnr_in_brain_db": _spread(_psnr(real, decoded)),
        "ssim_in_brain": _spread([ssim(a, b, mask=a > 0) for a, b in pairs]),
        "ssim_of_volume": _spread([ssim(a, b) for a, b in pairs]),
        "high_frequency_power_of_real": _power(decoded) / _power(real),
    }


def generation(samples, train, held_out, voxel_ml):
    """Describe samples beside real brains that were not trained on."""
    return {
        "n": len(samples),
        "largest_component_share": _spread([_largest(v) for v in samples]),
        "brain_volume_ml": _spread(_volume(samples, voxel_ml)),
        "brain_volume_ml_of_real": _spread(_volume(held_out, voxel_ml)),
        "high_frequency_power_of_real": _power(samples) / _power(held_out),
        "correlation_with_nearest_training_brain": _spread(_nearest(samples, train)),
        "the_same_of_real_held_out_brains": _spread(_nearest(held_out, train)),
        "mean_correlation_between_samples": _between(samples),
        "the_same_between_real_brains": _between(held_out),
    }


def _psnr(real, other):
    return [psnr(a, b, mask=a > 0) for a, b in zip(real, other)]


def _pca(train, held_out, n):
    """Reconstruct from n unquantised principal components of the patches."""
    patches = (sample_patches(train * 2 - 1) + 1) / 2
    mean = patches.mean(axis=0)
    vectors = np.linalg.eigh(np.cov((patches - mean).T))[1][:, -n:]
    blocks = np.asarray(space_to_depth(held_out[..., None], PATCH)) - mean
    restored = blocks @ vectors @ vectors.T + mean
    return np.clip(_unblock(restored, held_out.shape), 0, 1)


def _unblock(blocks, shape):
    rank = len(shape) - 1
    blocks = blocks.reshape(*blocks.shape[:-1], *[PATCH] * rank)
    pairs = [axis for i in range(1, rank + 1) for axis in (i, i + rank)]
    return blocks.transpose(0, *pairs).reshape(shape)


def _power(volumes):
    return float(np.mean([high_frequency_power(v) for v in volumes]))


def _largest(volume):
    labels, _ = ndimage.label(volume > 0.04)
    counts = np.bincount(labels.ravel())[1:]
    return counts.max() / counts.sum() if len(counts) else 0.0


def _volume(volumes, voxel_ml):
    return [np.count_nonzero(v) * voxel_ml for v in volumes]


def _standard(volumes):
    flat = volumes.reshape(len(volumes), -1).astype("float64")
    flat = flat - flat.mean(axis=1, keepdims=True)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def _nearest(volumes, train):
    return (_standard(volumes) @ _standard(train).T).max(axis=1)


def _between(volumes):
    matrix = _standard(volumes) @ _standard(volumes).T
    return float(matrix[np.triu_indices(len(matrix), 1)].mean())


def _spread(values):
    values = np.asarray(values, "float64")
    return {"mean": round(float(values.mean()), 3), "sd": round(float(values.std()), 3)}


if __name__ == "__main__":
    main()
