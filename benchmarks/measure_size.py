"""Measure training steps and a reconstruction of one brain at a size.

    python benchmarks/measure_size.py BRAIN --shape 128 128 128 [--preset 128]

takes the middle of the brain in a skull-stripped T1 (NIfTI), at its own voxel size,
and prints markdown: seconds and peak memory, each of a process of its own, of the
autoencoder on whole volumes and on the crops that the preset is trained on, and of the
U-Net on the latents of whole volumes. The last column is the peak without what the
process held before the network was made, which is TensorFlow itself.
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
    parser.add_argument("--unet", default="default", help="preset of the U-Net")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--batch_size", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[what.__name__ for what in ROWS])
    options = parser.parse_args()
    print(f"{date.today()}, {platform.machine()}, {os.cpu_count()} CPU cores,", end=" ")
    print(f"presets {options.preset} and {options.unet}, {options.precision}, ", end="")
    print(f"batch {options.batch_size}\n")
    print("| what | shape | median s | peak GiB | without TensorFlow |")
    print("| --- | --- | --- | --- | --- |")
    for what in ROWS:
        if what.__name__ not in options.only:
            continue
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            shape, *measured = pool.submit(measure, what, options).result()
        cells = (
            what.__doc__,
            " x ".join(map(str, shape)),
            *(f"{x:.2f}" for x in measured),
        )
        print(f"| {' | '.join(cells)} |", flush=True)


def measure(what, options):
    """Return shape, median seconds, peak and added memory (GiB)."""
    volume = read(options.brain, tuple(options.shape))
    import keras

    keras.ops.zeros(1)  # starts the backend
    before = peak_gib()
    shape, do = what(volume, options)
    times = []
    for _ in range(TURNS):
        started = time.perf_counter()
        do()
        times.append(time.perf_counter() - started)
    return shape, float(np.median(times[1:])), peak_gib(), peak_gib() - before


def peak_gib():
    """Return the peak memory of the process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def read(path, shape):
    """Return the middle of a brain, scaled to [0, 1], on so many voxels."""
    from dipy_synth.data.nifti import read_volume

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
    images = batch_of(volume, options)
    return volume.shape, lambda: network.decode(network.encode(images))


def batch_of(volume, options):
    """Return a volume as often as a batch has it, as the network takes it."""
    return np.repeat(volume[None, ..., None] * 2 - 1, options.batch_size, axis=0)


def whole_step(volume, options):
    """training step, whole volumes"""
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
    images = batch_of(volume, options)
    return shape, lambda: network.train_on_batch(images)


def unet_step(volume, options):
    """training step of the U-Net, whole latents"""
    import keras

    from dipy_synth.networks.presets import UNET_PRESETS, find_preset
    from dipy_synth.networks.unet import UNet
    from dipy_synth.training import TrainingSettings, building

    shape = network_of(volume.shape, options)[0].latent_shape
    with building(TrainingSettings(precision=options.precision)):
        network = UNet(
            shape,
            categories=(0, 2),
            **find_preset(options.unet, UNET_PRESETS)["network"],
        )
    network.compile(keras.optimizers.AdamW(1e-4), loss="mse")
    rng, n = np.random.default_rng(0), options.batch_size
    inputs = {
        "latents": rng.standard_normal((n, *shape), dtype="float32"),
        "noise_level": np.zeros(n, "float32"),
        "conditions": np.zeros((n, 2), "float32"),
    }
    return shape, lambda: network.train_on_batch(inputs, inputs["latents"])


ROWS = (reconstruction, whole_step, crop_step, unet_step)

if __name__ == "__main__":
    main()
