"""Training step of the bundled U-Net by optimizer: AdamW of Keras, or of this package.

``stock`` is keras.optimizers.AdamW with Keras' own moving average, ``ours`` the
optimizer of `dipy_synth.training`. Time is that of the processor, of steps
by turns in one process; memory is the peak of a process of its own.

    python benchmarks/optimizer.py --steps 6
"""

import argparse
from datetime import date
from multiprocessing import get_context
import os
import resource
import sys
import time

from runs import hardware

KINDS = ("stock", "ours")


def main():
    """Print a row for each optimizer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ixi-2mm", help="a latent diffusion model")
    parser.add_argument("--batch", type=int, default=4, help="crops a batch")
    parser.add_argument("--crop", type=int, default=16, help="side of a crop, latents")
    parser.add_argument("--steps", type=int, default=6, help="timed steps of each")
    parser.add_argument("--precision", default="mixed_bfloat16")
    parser.add_argument("--core", type=int, default=0, help="the processor's core")
    parser.add_argument("--no_memory", action="store_true", help="time alone")
    options = parser.parse_args()
    times = in_a_process(measure_times, options)
    for kind in KINDS:
        first, steps = times[kind]
        memory = 0 if options.no_memory else in_a_process(measure_memory, options, kind)
        print(
            f"{kind:6} first step {first:6.1f} s, then {steps[len(steps) // 2]:6.3f} s "
            f"({steps[0]:.3f} to {steps[-1]:.3f}), peak {memory:6.0f} MB"
        )
    print(f"{date.today()}, {hardware()}, one core, {options.precision}")


def in_a_process(function, *arguments):
    """Call a function in a new process, and return its result."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def measure_times(options):
    """Return by optimizer the first step's time, and the sorted times of others."""
    batch, networks = prepare(options, KINDS)
    first = {kind: step(networks[kind], batch) for kind in KINDS}
    print(f"first steps {first}", file=sys.stderr, flush=True)
    found = {kind: [] for kind in KINDS}
    for _ in range(options.steps):
        for kind in KINDS:
            found[kind].append(step(networks[kind], batch))
            print(f"{kind} {found[kind][-1]:.3f} s", file=sys.stderr, flush=True)
    return {kind: (first[kind], sorted(found[kind])) for kind in KINDS}


def measure_memory(options, kind):
    """Return the peak memory of a process that takes two steps, in MB."""
    batch, networks = prepare(options, [kind])
    for _ in range(2):
        step(networks[kind], batch)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def prepare(options, kinds):
    """Return a batch, and compiled networks by optimizer, on one core."""
    os.sched_setaffinity(0, {options.core})  # before TensorFlow counts them
    import numpy as np

    from dipy_synth.diffusion.pairs import NoisyPairs
    from dipy_synth.networks.unet import UNet
    from dipy_synth.nn.ldm import LDM
    from dipy_synth.training import TrainingSettings, building

    ldm = LDM(options.model)
    shape = (options.batch, *ldm.vqvae.network.latent_shape)
    pairs = NoisyPairs(
        np.random.default_rng(0).standard_normal(shape, dtype="float32"),
        np.full((options.batch, len(ldm.schema.columns)), 0.5),
        ldm.schedule,
        normalizer=ldm.normalizer,
        crop=options.crop,
        batch_size=options.batch,
    )
    settings = TrainingSettings(precision=options.precision)
    networks = {}
    for kind in kinds:
        with building(settings):
            network = UNet.from_config(ldm.network.arguments())
            network.set_weights(ldm.network.get_weights())
            network.compile(make_optimizer(kind, settings))
        networks[kind] = network
    return pairs[0], networks


def make_optimizer(kind, settings):
    """Make an optimizer by its name, with the rate, decay and clipping of a run."""
    import keras

    from dipy_synth.training import optimizer

    if kind == "ours":
        return optimizer.make_optimizer(settings, batches=1000)
    rate = optimizer.WarmCosine(
        settings.learning_rate, warmup=30, updates=1000, accumulation=1
    )
    return keras.optimizers.AdamW(
        rate,
        weight_decay=settings.weight_decay,
        global_clipnorm=settings.clip_norm,
        use_ema=True,
        ema_momentum=settings.average,
    )


def step(network, batch):
    """Train on a batch; return the processor's time, in seconds."""
    start = time.process_time()
    network.train_on_batch(*batch)
    return time.process_time() - start


if __name__ == "__main__":
    main()
