"""How much of what a model starts from depends on the number of training brains?

Before a step of training, the autoencoder of the preset ``default`` is a PCA of patches
of 4 voxels, and the denoiser a Wiener filter by the mean and variance of each position
and channel of the latents. Both are fitted here to growing parts of the training side
and measured on held-out brains::

    python benchmarks/subjects.py PREPARED
"""

import argparse

import numpy as np

from dipy_synth.data.cohort import Cohort
from dipy_synth.metrics.similarity import psnr
from dipy_synth.networks.blocks import depth_to_space, space_to_depth

PATCH, NUMBERS = 4, 16
NOISE = (0.25, 0.8, 3.0)  # over the standard deviation of the latents


def main():
    """Print a row a number of brains."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared")
    parser.add_argument("--subjects", type=int, nargs="+", default=[4, 8, 16, 32, 64])
    options = parser.parse_args()
    cohort = Cohort.load(options.prepared)
    train, held_out = (
        np.asarray(cohort.volumes(side), "float32") for side in ("train", "validation")
    )
    order = np.random.default_rng(0).permutation(len(train))
    print(f"{len(held_out)} held-out brains; noise-to-signal ratios {NOISE}")
    for n in [*(k for k in options.subjects if k < len(train)), len(train)]:
        basis = fit_pca(train[order[:n]])
        decibel = [psnr(v, restore(v, basis), mask=v > 0) for v in held_out]
        errors = wiener(encode(train[order[:n]], basis), encode(held_out, basis))
        shares = " ".join(f"{share:.3f}" for share in errors)
        print(f"{n:4} brains: PCA {np.mean(decibel):.2f} dB; error left {shares}")


def patches(volumes):
    """Cut volumes (n, *shape) into patches: (n, *positions, PATCH**3)."""
    return np.asarray(space_to_depth(volumes[..., None], PATCH))


def fit_pca(volumes):
    """Fit NUMBERS components to the patches that hold some brain: mean, vectors."""
    cut = patches(volumes)
    cut = cut[(cut > 0).any(axis=-1)]
    mean = cut.mean(axis=0)
    return mean, np.linalg.eigh(np.cov((cut - mean).T))[1][:, -NUMBERS:]


def encode(volumes, basis):
    """Bring volumes to their latents: (n, *positions, NUMBERS)."""
    mean, vectors = basis
    return (patches(volumes) - mean) @ vectors


def restore(volume, basis):
    """Encode and decode one volume."""
    mean, vectors = basis
    decoded = encode(volume[None], basis) @ vectors.T + mean
    return np.clip(np.asarray(depth_to_space(decoded, PATCH))[0, ..., 0], 0, 1)


def wiener(known, held_out):
    """Denoise held-out latents: mean squared error over their variance, by noise."""
    mean, variance = known.mean(axis=0), known.var(axis=0, ddof=1)
    signal = held_out.var()
    rng, shares = np.random.default_rng(1), []
    for ratio in NOISE:
        noise = ratio * np.sqrt(signal) * rng.standard_normal(held_out.shape)
        gain = variance / (variance + ratio**2 * signal)
        estimate = mean + gain * (held_out + noise - mean)
        shares.append(float(np.mean((estimate - held_out) ** 2) / signal))
    return shares


if __name__ == "__main__":
    main()
