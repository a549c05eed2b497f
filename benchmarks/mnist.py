"""Measure latent diffusion models of digits: FID, IS and class accuracy by sampler.

    python benchmarks/mnist.py IMAGES WORK [--n 500] [--only ROW ...]

WORK is what make_mnist.sh filled: a predictor, and runs of dipy_train_ldm. Writes
WORK/measured-500: samples of each row (kept when it is started again), digits.csv,
digits.json and digits.png. The predictor's features and probabilities are used
throughout, on as many images in every row; the reference is one half of the held-out
digits, the other half is the floor.
"""

import argparse
import csv
from datetime import date
from pathlib import Path
import time
from typing import NamedTuple

import numpy as np
from runs import hardware

from dipy_synth.data.image_cohort import ArrayCohort
from dipy_synth.diffusion.samplers import network_calls
from dipy_synth.metrics.distribution import fid, inception_score
from dipy_synth.metrics.similarity import psnr
from dipy_synth.networks.quantizer import usage
from dipy_synth.nn.ldm import LDM
from dipy_synth.nn.predictor import CovariatePredictor
from dipy_synth.utils.files import atomic_path, write_json
from dipy_synth.utils.montage import save_montage


class Row(NamedTuple):
    """How a row of the table is sampled; guidance 0 asks for no class."""

    run: str
    sampler: str
    steps: int
    guidance: float

    @property
    def name(self):
        """Return a name for options and files."""
        asked = f"guidance{self.guidance:g}" if self.guidance else "open"
        return f"{self.run}-{self.sampler}-{self.steps}-{asked}"


def rows():
    """Return the rows of the table, the cheap ones first."""
    fast = [
        *(("flow", "euler", steps) for steps in (10, 20, 50)),
        *(("flow", "heun", steps) for steps in (10, 20)),
        ("ddpm", "dpmpp_2m", 20),
        ("ddpm", "ddim", 20),
        ("ddpm", "ddim", 50),
        ("ddpm_v", "dpmpp_2m", 20),
        ("ddpm_v", "ddim", 50),
    ]
    slow = [
        (run, "ddpm", steps) for steps in (200, 300, 1000) for run in ("ddpm_v", "ddpm")
    ]
    for steps in (200, 300):  # chains of their own length
        for run in (f"ddpm_v_{steps}", f"ddpm_{steps}"):
            fast.append((run, "dpmpp_2m", 20))
            slow.append((run, "ddpm", steps))
    guided = [Row("flow", "heun", 12, weight) for weight in (1.5, 2.0, 3.0)]
    guided += [Row(run, "dpmpp_2m", 20, 2.0) for run in ("ddpm", "ddpm_v")]
    guided += [Row("flow", "sde_dpmpp_2m", steps, 2.0) for steps in (24, 48)]
    free = [Row(*one, weight) for weight in (1.0, 0.0) for one in fast]
    return guided + free + [Row(*one, weight) for weight in (1.0, 0.0) for one in slow]


SHOWN = ("flow-heun-12-guidance2", "ddpm_v-dpmpp_2m-20-guidance2")
SHOWN += ("ddpm_v-ddpm-200-guidance1", "ddpm-dpmpp_2m-20-guidance1")


def main():
    """Read the arguments, sample, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--only", nargs="*")
    options = parser.parse_args()
    out = options.work / f"measured-{options.n}"
    cohort = ArrayCohort.load(options.images)
    predictor = CovariatePredictor(options.work / "predictor")
    models = {}
    for row in rows():
        path = out / f"{row.name}.npz"
        if path.exists() or (options.only and row.name not in options.only):
            continue
        if row.run not in models:
            models[row.run] = LDM(options.work / row.run)
        sample(models[row.run], row, options.n, path)
        print(row.name, measure(predictor, *read(path), None), flush=True)
    write(cohort, predictor, LDM(options.work / "flow"), out, options.n)


def sample(ldm, row, n, path):
    """Generate `n` digits of a row, and keep them with their labels."""
    started = time.perf_counter()
    images, labels = generate(
        ldm,
        n,
        with_class=row.guidance > 0,
        sampler=row.sampler,
        steps=row.steps,
        guidance=row.guidance or 1.0,
        guidance_interval=(0, 1e4),
    )
    seconds = time.perf_counter() - started
    with atomic_path(path) as temporary:
        arrays = {"images": images, "labels": labels, "seconds": seconds}
        np.savez_compressed(temporary, **arrays)


def generate(ldm, n, *, with_class=True, **settings):
    """Generate `n` digits, of all classes alike: uint8, and labels if requested."""
    labels = np.arange(n) % 10
    images = ldm.generate(
        n,
        seed=0,
        conditions=[{"label": str(i)} for i in labels] if with_class else None,
        batch_size=500,
        progress=False,
        **settings,
    )
    return as_bytes(images), labels if with_class else labels[:0]


def as_bytes(images):
    """Round images in [0, 1] to what a file of digits holds: uint8."""
    return np.round(255 * np.asarray(images, "float32")).astype("uint8")


def read(path):
    """Read images in [0, 1] and labels, empty without a requested class."""
    with np.load(path) as stored:
        return stored["images"] / np.float32(255), stored["labels"]


def measure(predictor, images, labels, reference):
    """Compute the metrics of a row: dict of float; None where undefined."""
    p = predictor.probabilities(images, batch_size=250)
    classes = np.array(predictor.schema.columns[0].categories, dtype=int)
    given = classes[p.argmax(axis=1)]
    far = None
    if reference is not None:
        features = predictor(images, batch_size=250)
        far = round(fid(predictor(reference, batch_size=250), features), 2)
    return {
        "fid": far,
        "is": round(inception_score(p)[0], 2),
        "accuracy": round(float(np.mean(given == labels)), 3) if len(labels) else None,
        "classes": len(set(given.tolist())),
    }


def compared(cohort, ldm, n):
    """Return floor and ceiling of a table of samples: the reference, and rows of pairs.

    Held-out digits of the other half; the same encoded and decoded; decoded noise; the
    pixels of digits in any order.
    """
    held_out = np.asarray(cohort.volumes("validation"), "float32")
    labels = np.asarray(cohort.labels)[cohort.where("validation")]
    reference, real, labels = held_out[:n], held_out[n : 2 * n], labels[n : 2 * n]
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((n, *ldm.network.shape)).astype("float32")
    shuffled = rng.permuted(real.reshape(n, -1), axis=1).reshape(real.shape)
    none = labels[:0]
    return reference, {
        "real, held out": (real, labels),
        "the same, encoded and decoded": (
            ldm.vqvae.reconstruct(real, batch_size=250),
            labels,
        ),
        "noise, decoded": (ldm.decode(noise), none),
        "pixels in any order": (shuffled, none),
    }


def reconstruction(cohort, vqvae):
    """Compute reconstruction metrics of held-out digits, and the usage of codes."""
    images = np.asarray(cohort.volumes("validation"), "float32")
    network, decoded = vqvae.network, vqvae.reconstruct(images, batch_size=250)
    indices = np.asarray(
        network.quantizer.indices(vqvae.encode(images, batch_size=250))
    )
    used, perplexity = usage(indices, network.quantizer.sizes)
    ratio = np.mean([psnr(a, b) for a, b in zip(images, decoded)])
    return {
        "n": len(images),
        "psnr_db": round(float(ratio), 2),
        "codes_used": round(float(used), 3),
        "perplexity_of_codes": round(float(perplexity), 3),
    }


def write(cohort, predictor, ldm, out, n):
    """Measure all samples there are; write table and picture."""
    reference, pairs = compared(cohort, ldm, n)
    table = [
        {"sampled": name, **measure(predictor, *pair, reference)}
        for name, pair in pairs.items()
    ]
    there = [row for row in rows() if (out / f"{row.name}.npz").exists()]
    for row in there:
        path = out / f"{row.name}.npz"
        found = measure(predictor, *read(path), reference)
        calls = network_calls(row.sampler, row.steps) * (1 + (row.guidance > 1))
        seconds = round(float(np.load(path)["seconds"]), 1)
        table.append({**row._asdict(), "calls": calls, **found, "seconds": seconds})
    results = {"date": date.today().isoformat(), "hardware": hardware(), "n": n}
    results["autoencoder"] = reconstruction(cohort, ldm.vqvae)
    print(results)
    write_json(out / "digits.json", {**results, "rows": table})
    write_csv(out / "digits.csv", table)
    shown = [name for name in SHOWN if (out / f"{name}.npz").exists()]
    draw(out / "digits.png", pairs["real, held out"], shown, out)


def write_csv(path, table):
    """Write the table as a page shows it."""
    names = {"euler": "Euler", "heun": "Heun", "ddim": "DDIM", "ddpm": "DDPM"}
    names |= {"dpmpp_2m": "DPM-Solver++(2M)", "sde_dpmpp_2m": "SDE-DPM-Solver++(2M)"}
    with atomic_path(path) as temporary, open(temporary, "w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        head = ["Model", "Sampler", "Steps", "Calls", "Guidance"]
        writer.writerow([*head, "FID", "IS", "As asked, %"])
        for row in table:
            if "run" in row:
                asked = f"{row['guidance']:g}" if row["guidance"] else "no class"
                first = [row["run"], names[row["sampler"]], row["steps"], row["calls"]]
                first.append(asked)
            else:
                first = [row["sampled"], "", "", "", ""]
            share = row["accuracy"]
            share = "" if share is None else f"{100 * share:.1f}"
            metrics = [f"{row['fid']:.2f}", f"{row['is']:.2f}", share]
            writer.writerow([*first, *metrics])


def draw(path, real, shown, out):
    """Draw two digits a class of held-out digits and of some rows."""
    images, labels = real
    first = [np.flatnonzero(labels == i)[:2] for i in range(10)]
    groups = [images[np.concatenate(first)]]
    for name in shown:
        images, _ = read(out / f"{name}.npz")
        groups.append(
            images[:20].reshape(2, 10, 28, 28).swapaxes(0, 1).reshape(-1, 28, 28)
        )
    titles = ["real, held out", *(f"{name}, the first two a class" for name in shown)]
    save_montage(path, groups, titles=titles, columns=20)


if __name__ == "__main__":
    main()
