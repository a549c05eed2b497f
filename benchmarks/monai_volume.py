"""Time that a volume of equal quality takes: our sampler, and MONAI's chain.

    python benchmarks/monai_volume.py PREPARED RUN [--n_samples 28] [--out_dir OUT]

RUN is one of dipy_train_ldm on the prepared cohort, without conditions, whose latents
can be halved evenly as often as its U-Net halves them. MONAI's U-Net of the same widths
learns the same latents, normalised alike, in as many steps of the same batch size and
precision, with the same optimiser and averaging, to undo a chain of 1000 steps with
MONAI's default betas. It does so twice: the noise is predicted, as in MONAI's tutorials
and with its clipping of images to [-1, 1]; and the velocity, without clipping, for the
shorter chain. All start from the same noise, and our autoencoder decodes for all. Ours
samples in float32, MONAI's in bfloat16, which is faster there. Stopped, the same
command goes on; another RUN needs another OUT.

Prints a table of quality, and of seconds a volume, in turns: one at a time, without the
decoder and with it, and some at a time with it. Of MONAI's calls the first 20 are
timed, for the others take as long. Beside other work, --busy counts processor time;
keep to one core then (taskset -c 0). Needs torch, monai and einops.
"""

import argparse
from datetime import date
from functools import partial
import math
from pathlib import Path
import statistics
import time

from compare_monai import need_monai
from monai_chain import theirs, train
import numpy as np
from runs import hardware
from sampling import formatted, power

from dipy_synth.data.cohort import Cohort
from dipy_synth.diffusion.noise import NoiseStreams
from dipy_synth.diffusion.samplers import network_calls
from dipy_synth.diffusion.sampling_settings import SamplingSettings
from dipy_synth.metrics.distribution import fid, kid_of_subsets
from dipy_synth.metrics.diversity import similarity_within
from dipy_synth.metrics.features import VoxelPCA
from dipy_synth.nn.ldm import LDM
from dipy_synth.utils.files import atomic_path
from dipy_synth.utils.montage import save_montage

METHODS = [  # whose, sampler, steps, and what MONAI's U-Net predicts
    ("MONAI", "ddpm", 1000, "epsilon"),
    ("MONAI", "ddim", 50, "epsilon"),
    ("MONAI", "ddim", 50, "v_prediction"),
    ("ours", "dpmpp_2m", 6),
    ("ours", "dpmpp_2m", 12),
    ("ours", "dpmpp_2m", 24),
    ("ours", "euler", 24),
]
TIMED = 20  # calls of MONAI's
SHOWN = 6


def main():
    """Read the arguments, train, sample, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared")
    parser.add_argument("run", type=Path)
    parser.add_argument("--n_samples", type=int, default=28)
    parser.add_argument("--batch_size", type=int, default=7, help="of sampling")
    parser.add_argument("--turns", type=int, default=3, help="that are timed")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch")
    parser.add_argument(
        "--busy", action="store_true", help="count processor time, not wall time"
    )
    parser.add_argument("--out_dir", type=Path, default=Path("monai_volume"))
    options = parser.parse_args()
    need_monai()
    import torch

    torch.set_num_threads(options.threads)
    ldm, out = LDM(options.run), options.out_dir
    chains = {
        name: train(options.run, name, out / f"{name}.pt")
        for name in ("epsilon", "v_prediction")
    }
    methods = {
        (who, *how): ours(ldm, *how) if who == "ours" else theirs(chains[how[-1]], *how)
        for who, *how in METHODS
    }
    made = {key: keep(key, method, ldm, options) for key, method in methods.items()}
    sizes = (1, options.batch_size)
    seconds = [in_turns(ldm, methods, size, options) for size in sizes]
    report(Cohort.load(options.prepared), ldm, made, seconds, options)


def ours(ldm, name, steps):
    """Return a function of noise streams to latents."""
    settings = SamplingSettings(steps=steps, sampler=name, guidance=1.0)

    def make(streams):
        nothing = ldm.schema.encode([{}] * len(streams.numbers))
        return ldm.sample_latents(streams, nothing, settings)

    return make


def keep(key, method, ldm, options):
    """Generate the samples of a method in batches; return their volumes."""
    latents, size = [], options.batch_size
    for start in range(0, options.n_samples, size):
        numbers = range(start, min(start + size, options.n_samples))
        name = "-".join(map(str, (*key, start, numbers.stop)))
        path = options.out_dir / "latents" / f"{name}.npy"
        if not path.exists():
            made = method(NoiseStreams(0, numbers, ldm.network.shape))
            with atomic_path(path) as temporary:
                np.save(temporary, made)
        latents.append(np.load(path))
    return ldm.decode(np.concatenate(latents))


def in_turns(ldm, methods, size, options):
    """Time each method, and the decoder, turn by turn: seconds a volume, of some."""
    streams = NoiseStreams(0, range(size), ldm.network.shape)
    jobs = {"decoder": partial(ldm.decode, streams.start())}
    for key, make in methods.items():
        calls = {"calls": TIMED} if key[0] == "MONAI" else {}
        jobs[key] = partial(make, streams, **calls)
    found = {key: [] for key in jobs}
    clock = time.process_time if options.busy else time.perf_counter
    for turn in range(options.turns + 1):
        for key, call in jobs.items():
            started = clock()
            call()
            if turn:  # the first warms up
                found[key].append(clock() - started)
    scale = {key: key[2] / TIMED for key in methods if key[0] == "MONAI"}
    return {
        key: statistics.median(times) * scale.get(key, 1) / size
        for key, times in found.items()
    }


# ---- the table


def report(cohort, ldm, made, seconds, options):
    """Print the table and what follows from it, and draw the samples."""
    train, real = (
        np.asarray(cohort.volumes(side), "float32") for side in ("train", "validation")
    )
    extract = VoxelPCA(train, components=16, factor=2, whiten=True)
    litre = math.prod(cohort.grid.voxel_size) / 1e6
    print(f"\n{date.today()}, {hardware()}: {options.n_samples} samples, ", end="")
    weights = sum(math.prod(v.shape) for v in ldm.network.trainable_variables)
    print(f"{len(real)} held-out brains; our U-Net has {weights:,} weights", end="")
    print("; processor time\n" if options.busy else "; wall time\n")
    print("| method | calls | s, sampling | s, with decoder | s, of ", end="")
    print(f"{options.batch_size} at a time | KID | FID | power | MS-SSIM | litres |")
    print(f"|{' --- |' * 10}")

    def row(title, cost, volumes):
        features = extract(real), extract(volumes)
        kid, far = kid_of_subsets(*features), fid(*features)
        sizes = np.sum(volumes > 0, axis=(1, 2, 3)) * litre
        alike = similarity_within(volumes, pairs=200)
        metrics = [
            *(["", ""] if "held-out" in title else [formatted(kid), f"{far:.1f}"]),
            f"{power(volumes) / power(real):.2f}",
            f"{alike.mean:.3f} ± {alike.error:.3f}",
            f"{sizes.mean():.2f} ± {sizes.std(ddof=1):.2f}",
        ]
        print(f"| {' | '.join([title, *cost, *metrics])} |", flush=True)
        return {"KID": kid[0], "FID": far}

    decoded = ldm.vqvae.decode(ldm.vqvae.encode(real))
    row("held-out brains", [""] * 4, real)
    row("held-out brains, decoded", [""] * 4, decoded)
    row("training brains", [""] * 4, train)
    mean = np.mean(train, axis=0, keepdims=True)
    row("their mean, again and again", [""] * 4, np.repeat(mean, len(real), axis=0))
    found = {}
    for key, volumes in made.items():
        calls = key[2] if key[0] == "MONAI" else network_calls(*key[1:])
        single, many = (one[key] + one["decoder"] for one in seconds)
        cost = [f"{number:.3g}" for number in (seconds[0][key], single, many)]
        measured = row(" ".join(map(str, key)), [str(calls), *cost], volumes)
        found[key] = measured, calls, single, many
    for metric in ("KID", "FID"):
        conclude(found, metric)
    rows = [volumes[:SHOWN] for volumes in (real, *made.values())]
    titles = ["held-out brains", *(" ".join(map(str, key)) for key in made)]
    path = options.out_dir / "samples.png"
    save_montage(path, rows, titles=titles, columns=SHOWN)


def conclude(found, metric):
    """Return the smallest number of calls that is no worse than each MONAI chain."""
    for key in (key for key in found if key[0] == "MONAI"):
        measured, calls, single, many = found[key]
        equal = [
            one
            for other, one in found.items()
            if other[0] == "ours" and one[0][metric] <= measured[metric]
        ]
        title = f"\n{' '.join(map(str, key))} ({metric} {measured[metric]:.3f})"
        if not equal:
            print(f"{title}: none of ours is as near.")
            continue
        own = min(equal, key=lambda one: one[1:])
        print(
            f"{title}: ours is no worse with {own[1]} calls ({own[0][metric]:.3f}), "
            f"in 1/{single / own[2]:.1f} of the time, 1/{many / own[3]:.1f} in batches."
        )


if __name__ == "__main__":
    main()
