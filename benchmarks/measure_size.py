"""Measure a training step and a reconstruction of one brain at a size.

    python benchmarks/measure_size.py BRAIN --shape 128 128 128 [--preset 128]

takes the middle of the brain in a skull-stripped T1 (NIfTI), at its own voxel size,
and prints markdown: seconds and peak memory, each of a process of its own, on whole
volumes and on the crops that the preset is trained on.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from multiprocessing import get_context
import os
import platform
import resource
import time

import numpy as np

TURNS = 4  # the first is compiled and does not count


def main():
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("brain")
    parser.add_argument("--shape", type=int, nargs=3, default=[128, 128, 128])
    parser.add_argument("--preset", default="128")
    parser.add_argument("--precision", default="float32")
    options = parser.parse_args()
    print(f"{date.today()}, {platform.machine()}, {os.cpu_count()} CPU cores,", end=" ")
    print(f"preset {options.preset}, {options.precision}\n")
    print("| what | shape | median s | peak GiB |\n| --- | --- | --- | --- |")
    for what in (reconstruction, whole_step, crop_step):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            shape, seconds, peak = pool.submit(measure, what, options).result()
        cells = (what.__doc__, " x ".join(map(str, shape)), f"{seconds:.2f}")
        print(f"| {' | '.join(cells)} | {peak:.2f} |", flush=True)


def measure(what, options):
    """Give the shape, the median seconds and the peak memory (GiB) of a thing."""
    volume = read(options.brain, tuple(options.shape))
    shape, do = what(volume, options)
    times = []
    for _ in range(TURNS):
        started = time.perf_counter()
        do()
        times.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return shape, float(np.median(times[1:])), peak


def read(path, shape):
    """Give the middle of a brain, scaled to [0, 1], on so many voxels."""
    from dipy_synth.data.images import read_volume

    data = np.asarray(read_volume(path)[0], "float32")
    middle = np.mean([np.min(np.nonzero(data), 1), np.max(np.nonzero(data), 1)], axis=0)
    data = np.pad(data, [(n // 2, n) for n in shape])
    start = middle.astype(int)  # the padding is half a side
    cut = data[tuple(slice(a, a + n) for a, n in zip(start, shape))]
    return np.clip(cut / np.percentile(data[data > 0], 99.5), 0, 1)


def network_of(shape, options):
    """Make the preset's network."""
    from dipy_synth.networks.architectures import make_autoencoder
    from dipy_synth.networks.presets import find_preset
    from dipy_synth.training import TrainingSettings, building

    preset = find_preset(options.preset)
    with building(TrainingSettings(precision=options.precision)):
        return make_autoencoder({"shape": shape, **preset["network"]}), preset


def reconstruction(volume, options):
    """reconstruction"""
    network, _ = network_of(volume.shape, options)
    images = volume[None, ..., None] * 2 - 1
    return volume.shape, lambda: network.decode(network.encode(images))


def whole_step(volume, options):
    """training step, whole volume"""
    return _step(volume, volume.shape, options)


def crop_step(volume, options):
    """training step, a crop as in the preset"""
    from dipy_synth.data.augment import crop_shape, random_crop
    from dipy_synth.networks.presets import find_preset

    shape = crop_shape(volume.shape, find_preset(options.preset)["crop"], multiple=8)
    part = random_crop(volume, shape, np.random.default_rng(0))
    return _step(part, shape, options)


def _step(volume, shape, options):
    import keras

    network, _ = network_of(shape, options)
    network.compile(keras.optimizers.AdamW(1e-4))
    images = volume[None, ..., None] * 2 - 1
    return shape, lambda: network.train_on_batch(images)


if __name__ == "__main__":
    main()
