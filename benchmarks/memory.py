"""Measure whether memory grows with a cohort, at full size.

``python benchmarks/memory.py WORK --volumes 100 1000``

Writes volumes of 80 x 96 x 80 voxels of 2 mm to a file, few phantoms with many noises,
and runs over each number of them: an epoch of training batches with mirror images, the
fit of the QC filter and its search for copies, and an evaluation without tissues beside
20 real volumes (as many training volumes as synthetic ones). Each runs in a process of
its own. What is reported is the most anonymous memory it takes (RssAnon of Linux:
without the pages of mapped files, which are given back when others need memory).
"""

import argparse
from contextlib import contextmanager
from multiprocessing import get_context
import os
from pathlib import Path
import platform
import threading
import time

import numpy as np

from dipy_synth.data.augment import Augmentation
from dipy_synth.data.cohort import Cohort
from dipy_synth.data.dataset import VolumeDataset
from dipy_synth.evaluation import Volumes, evaluate
from dipy_synth.grid import Grid
from dipy_synth.phantom import make_phantom
from dipy_synth.synthesis.qc_filter import QCFilter
from dipy_synth.utils.rows import VolumeRows

GRID, DRAWN, REAL = Grid(), 24, 20
MIRRORED = Augmentation(flip=0.5)


def main():
    """Read the arguments, write the volumes, measure, print markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--volumes", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--only", nargs="+", default=[*PARTS], choices=[*PARTS])
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    path = options.work / "volumes.npy"
    write_volumes(path, REAL + 2 * max(options.volumes))
    print(f"{platform.machine()}, {os.cpu_count()} CPU cores", flush=True)
    print("| part | volumes | memory, MiB | seconds |\n| --- | --- | --- | --- |")
    for name in options.only:
        for n in options.volumes:
            with get_context("spawn").Pool(1) as pool:
                most, seconds = pool.apply(measure, (name, path, n))
            print(f"| {name} | {n} | {most:.0f} | {seconds:.0f} |", flush=True)


def write_volumes(path, n):
    """Write n volumes as float16, each phantom with noises of its own."""
    stored = np.lib.format.open_memmap(path, "w+", "float16", (n, *GRID.shape))
    kept = {"shape": GRID.shape, "voxel_size": GRID.voxel_size}
    brains = [make_phantom(seed, **kept).data for seed in range(DRAWN)]
    for number in range(n):
        rng = np.random.default_rng([7, number])
        brain = brains[number % DRAWN]
        noise = rng.normal(0, 0.02, brain.shape).astype("float32")
        stored[number] = np.where(brain > 0, np.clip(brain + noise, 0.001, 1), 0)
    stored.flush()


def measure(name, path, n):
    """Run one part over n volumes: the memory it takes, in MiB, and seconds."""
    stored, started = np.load(path, mmap_mode="r"), time.monotonic()
    with most_memory() as found:
        PARTS[name](stored, n)
    return found[0], time.monotonic() - started


@contextmanager
def most_memory():
    """Yield a list that gets the most anonymous memory over what there was, in MiB."""
    before, found, done = memory(), [0.0], threading.Event()

    def look():
        while not done.wait(0.02):
            found[0] = max(found[0], memory() - before)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    yield found
    done.set()
    thread.join()


def memory():
    """Return the anonymous memory of this process, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


def train(stored, n):
    """Read an epoch of batches, mirrored as the autoencoder's are."""
    data = VolumeDataset(stored[:n], batch_size=2, augment=MIRRORED)
    for index in range(len(data)):
        data[index]


def qc_filter(stored, n):
    """Set the QC filter on n volumes, a fifth of them held out."""

    class Mapped(Cohort):
        def volumes(self, split=None):
            return VolumeRows(stored, np.flatnonzero(self.where(split)))

    keys = tuple(f"sub-{number:04d}" for number in range(n))
    split = np.array((["train"] * 4 + ["validation"]) * n)[:n]
    QCFilter.fit(Mapped(Path("."), GRID, keys, ({},) * n, split))


def evaluation(stored, n):
    """Evaluate n volumes beside few real ones and n training volumes."""
    parts = np.split(stored[: REAL + 2 * n], [REAL, REAL + n])
    rows = [{"age": 20 + number % 60} for number in range(n)]
    real, synthetic, known = (
        Volumes(part, GRID, name=name, rows=tuple(rows[: len(part)]))
        for part, name in zip(parts, ("real", "synthetic", "train"))
    )
    evaluate(real, synthetic, train=known, tissues=False)


PARTS = {"training data": train, "QC filter": qc_filter, "evaluation": evaluation}

if __name__ == "__main__":
    main()
