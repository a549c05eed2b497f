"""Measure what is found in deep noise, by a network and by the prior of its model.

    python benchmarks/deep_noise.py PREPARED MODEL [--n_samples 16]

takes held-out brains, adds noise, and prints for each axis of the model's prior the
share of its variance that is found (1 - squared error over variance); then the spread
along the axes of samples asked for the age and sex of those brains, with the prior and
without, beside that of the brains themselves. Without guidance, which narrows it.
"""

import argparse
from datetime import date

import numpy as np
from runs import hardware

from dipy_synth.data.cohort import Cohort, rows_of
from dipy_synth.diffusion.guidance import guided_denoiser
from dipy_synth.diffusion.latents import encode_all
from dipy_synth.diffusion.noise import NoiseStreams
from dipy_synth.nn.ldm import LDM

TIMES = (0.8, 0.9, 0.95, 0.98, 1.0)


def main():
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared")
    parser.add_argument("model")
    parser.add_argument("--n_samples", type=int, default=16)
    options = parser.parse_args()
    cohort, ldm = Cohort.load(options.prepared), LDM(options.model)
    people = rows_of(cohort, "validation")
    latents = encode_all(cohort.volumes("validation"), ldm.vqvae)
    x0 = ldm.normalizer.normalize(latents)
    print(f"{date.today()}, {hardware()}: {len(x0)} held-out brains, ", end="")
    print(f"{len(ldm.prior.axes)} axes, the prior from {ldm.prior.begin} on\n")
    print("| t | network | network and prior |\n| --- | --- | --- |")
    conditions = ldm.schema.encode(people)
    for t in TIMES:
        found = [shares(ldm, prior, x0, conditions, t) for prior in (None, ldm.prior)]
        print(f"| {t} | {' | '.join(map(told, found))} |", flush=True)
    wanted = [{n: p.get(n) for n in ldm.schema.names} for p in people]
    wanted = wanted[: options.n_samples]
    print("\n| cohort | mean | standard deviation |\n| --- | --- | --- |")
    row("real", ldm.prior.coordinates(x0[: len(wanted)]))
    for n in (len(wanted), 200):  # where chance has put them
        noise = NoiseStreams(0, range(n), ldm.network.shape).start()
        told_noise = ldm.prior.coordinates(noise) * ldm.prior.spread()
        row(f"noise of the first {n} samples, as wide", told_noise)
    prior = ldm.prior
    for name, used in (("network and prior", prior), ("network", None)):
        ldm.prior = used
        made = ldm.generate(
            len(wanted), conditions=wanted, guidance=1.0, batch_size=4, progress=True
        )
        again = ldm.normalizer.normalize(encode_all(made, ldm.vqvae))
        row(name, prior.coordinates(again))


def shares(ldm, prior, x0, conditions, t):
    """Give the share of variance found along each axis at time t: ndarray (k,)."""
    noise = np.random.default_rng(0).standard_normal(x0.shape, dtype="float32")
    noisy = ldm.schedule.add_noise(x0, noise, t)
    answers = [
        guided_denoiser(
            ldm.network.predict_on_batch,
            ldm.schedule,
            conditions[i : i + 4],
            1.0,
            prior=prior,
        )(noisy[i : i + 4], t)
        for i in range(0, len(x0), 4)
    ]
    truth = ldm.prior.coordinates(x0)
    error = ldm.prior.coordinates(np.concatenate(answers)) - truth
    return 1 - np.sum(error**2, axis=0) / np.sum(truth**2, axis=0)


def row(name, coordinates):
    """Print mean and standard deviation along the axes."""
    figures = coordinates.mean(axis=0), coordinates.std(axis=0)
    print(f"| {name} | {' | '.join(told(f, 0) for f in figures)} |", flush=True)


def told(values, digits=2):
    """Write numbers one after the other."""
    return " ".join(f"{value:.{digits}f}" for value in values)


if __name__ == "__main__":
    main()
