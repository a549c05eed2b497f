"""How well brains can be drawn from random projections of them.

``python benchmarks/invert_projections.py PREPARED``: the brains of a prepared cohort in
blocks of 4 voxels; those of 40 are projected, and estimated from projections and the
projection matrix by the best linear estimate with principal components of the others.
"""

import argparse

import numpy as np

from dipy_synth.data.cohort import Cohort
from dipy_synth.metrics.array_checks import block_mean

SIZES, PROJECTED = (16, 64, 256, 1024), 40


def main():
    """Read the arguments, print one line a number of projections."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared")
    volumes = Cohort.load(parser.parse_args().prepared).volumes()
    coarse = np.concatenate([block_mean(volume[None], 4) for volume in volumes])
    coarse = coarse.reshape(len(volumes), -1).astype(float)
    rng = np.random.default_rng(5)
    order = rng.permutation(len(coarse))
    brains, others = coarse[order[:PROJECTED]], coarse[order[PROJECTED:]]
    mean = others.mean(axis=0)
    inside = mean > 0.04
    brains, others = ((x - mean)[:, inside] for x in (brains, others))
    for size in SIZES:
        matrix = rng.standard_normal((inside.sum(), size)) / size**0.5
        found = estimate(brains @ matrix, matrix, others)
        alike = np.corrcoef(found, brains)[:PROJECTED, PROJECTED:]
        own = alike.argmax(axis=1) == np.arange(PROJECTED)
        print(f"{size} projections: r {np.diag(alike).mean():.2f}, {own.sum()} known")


def estimate(projected, matrix, others):
    """Estimate brains, less the mean brain, from their projections: (n, voxels)."""
    _, sizes, vectors = np.linalg.svd(others, full_matrices=False)
    factors = vectors * sizes[:, None] / len(others) ** 0.5
    rest = 0.3 * others.var(axis=0).mean()
    spread = factors.T @ (factors @ matrix) + rest * matrix
    gram = matrix.T @ spread
    return (spread @ np.linalg.solve(gram, projected.T)).T


if __name__ == "__main__":
    main()
