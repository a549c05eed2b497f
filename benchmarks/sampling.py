"""Measure quality against calls of the network, by sampler.

    python benchmarks/sampling.py PREPARED MODEL [--n_samples 16]

makes the same samples by each sampler with more and more steps, and prints a table:
calls of the network for a volume; how far volumes are from those of the most calls
(root mean square of the difference, in the brain, beside that of two other samples);
high-frequency power of that of real held-out brains; and KID against them, by principal
components of coarse voxels, beside that of training brains.
"""

import argparse
from datetime import date
from itertools import combinations
import os
import platform
import time

import numpy as np

from dipy_synth.data.cohort import Cohort
from dipy_synth.diffusion.samplers import network_calls
from dipy_synth.metrics.distribution import kid_of_subsets
from dipy_synth.metrics.features import VoxelPCA
from dipy_synth.metrics.sharpness import high_frequency_power
from dipy_synth.nn.ldm import LDM

# Sampler and steps; the last is what the others are compared with.
ROWS = [
    ("euler", 24),
    ("heun", 6),
    ("heun", 12),
    ("dpmpp_2m", 6),
    ("dpmpp_2m", 12),
    ("dpmpp_2m", 24),
    ("dpmpp_2m", 96),
]


def main():
    """Read the arguments, generate, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared")
    parser.add_argument("model")
    parser.add_argument("--n_samples", type=int, default=16)
    options = parser.parse_args()
    cohort, ldm = Cohort.load(options.prepared), LDM(options.model)
    train, real = (
        np.asarray(cohort.volumes(side), "float32") for side in ("train", "validation")
    )
    # the same people by every sampler: those of the real volumes
    sides = cohort.where("validation")
    people = [row for row, kept in zip(cohort.rows, sides) if kept]
    wanted = [
        {name: people[i % len(people)].get(name) for name in ldm.schema.names}
        for i in range(options.n_samples)
    ]
    found = [sample(ldm, wanted, *row) for row in reversed(ROWS)][::-1]
    reference, extract = found[-1][0], VoxelPCA(train, components=16, whiten=True)
    print(f"{date.today()}, {platform.machine()}, {os.cpu_count()} CPU cores: ", end="")
    print(f"{len(wanted)} samples, {len(real)} real brains\n")
    print("| sampler | steps | calls | seconds a volume | difference | power | KID |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for (name, steps), (volumes, seconds) in zip(ROWS, found):
        metrics = [
            f"{difference(volumes, reference):.4f}",
            f"{power(volumes) / power(real):.2f}",
            formatted(kid_of_subsets(extract(real), extract(volumes))),
        ]
        cost = [str(network_calls(name, steps)), f"{seconds:.1f}"]
        print(f"| {' | '.join([name, str(steps), *cost, *metrics])} |")
    others = np.mean([difference(a, b) for a, b in combinations(reference[:6], 2)])
    print(
        f"\nDifference of two other samples {others:.4f}; KID of training brains ",
        end="",
    )
    print(formatted(kid_of_subsets(extract(real), extract(train))))


def sample(ldm, wanted, sampler, steps):
    """Generate volumes; return them and the seconds per volume."""
    started = time.perf_counter()
    volumes = ldm.generate(
        len(wanted), conditions=wanted, sampler=sampler, steps=steps, progress=True
    )
    return volumes, (time.perf_counter() - started) / len(wanted)


def difference(volumes, others):
    """Compute the root mean square of a difference, where either has brain."""
    brain = (volumes > 0) | (others > 0)
    return float(np.sqrt(np.mean((volumes - others)[brain] ** 2)))


def power(volumes):
    """Compute the mean high-frequency power."""
    return float(np.mean([high_frequency_power(volume) for volume in volumes]))


def formatted(found):
    """Write a KID with its interval."""
    mean, _, (low, high) = found
    return f"{mean:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
