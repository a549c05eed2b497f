"""Measure the time and the memory of evaluating a cohort.

    python benchmarks/evaluate.py [--n 100] [--train 100] [--no_tissues]

makes phantoms of 80 x 96 x 80 voxels of 2 mm, evaluates as many beside as many others,
and prints markdown: seconds of each part, on the clock and of a processor (which a busy
machine changes less), and the peak memory of the process.
"""

import argparse
from datetime import date
import logging
import os
import platform
import resource
import time

import numpy as np

from dipy_synth.evaluation import Volumes, evaluate
from dipy_synth.grid import Grid
from dipy_synth.phantom import make_phantom

GRID = Grid()


def main():
    """Read the arguments, draw, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--train", type=int, default=100)
    parser.add_argument("--no_tissues", action="store_true")
    options = parser.parse_args()
    sizes = (options.n, options.n, options.train)
    starts = np.cumsum([0, *sizes])
    real, synthetic, train = (
        draw(range(start, start + n)) for start, n in zip(starts, sizes)
    )
    parts = Parts()
    logging.getLogger("dipy").addHandler(parts)
    logging.getLogger("dipy").setLevel("INFO")
    before = peak()
    evaluate(real, synthetic, train=train, tissues=not options.no_tissues)
    parts.mark("end")
    shape = " x ".join(map(str, GRID.shape))
    print(f"{date.today()}, {platform.machine()}, {os.cpu_count()} CPU cores, ", end="")
    print(f"load {os.getloadavg()[0]:.1f}: {options.n} and {options.n} phantoms of ")
    print(f"{shape}, {options.train} training volumes\n")
    print("| part | seconds | of a processor |\n| --- | --- | --- |")
    for name, clock, processor in parts.seconds():
        print(f"| {name} | {clock:.0f} | {processor:.0f} |")
    print(f"\nPeak memory {peak():.2f} GiB, {before:.2f} GiB with the volumes loaded.")


def draw(seeds, drawn=12):
    """Draw few phantoms, and give each many noises: the time is the same."""
    made = [
        make_phantom(int(seed), shape=GRID.shape, voxel_size=GRID.voxel_size)
        for seed in seeds[:drawn]
    ]
    volumes = np.empty((len(seeds), *GRID.shape), "float16")
    for place, seed in enumerate(seeds):
        data = made[place % len(made)].data
        noise = np.random.default_rng(seed).normal(0, 0.02, data.shape)
        volumes[place] = np.where(data > 0, (data + noise).clip(0.05, 1), 0)
    rows = tuple(made[place % len(made)].covariates for place in range(len(seeds)))
    return Volumes(volumes, GRID, rows=rows)


def peak():
    """Return the peak memory of this process, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


class Parts(logging.Handler):
    """Record the time at which each part was logged."""

    def __init__(self):
        super().__init__()
        self.times = []
        self.mark("fitting features")

    def emit(self, record):
        """Take a message as the start of a part."""
        self.mark(record.getMessage())

    def mark(self, name):
        """Start a part."""
        self.times.append((name, time.perf_counter(), time.process_time()))

    def seconds(self):
        """Return each part and its seconds, of the clock and of a processor."""
        for (name, *start), (_, *stop) in zip(self.times, self.times[1:]):
            yield name, *np.subtract(stop, start)
        yield "all", *np.subtract(self.times[-1][1:], self.times[0][1:])


if __name__ == "__main__":
    main()
