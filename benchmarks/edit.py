"""What an edit does to held-out brains: identity, age read back, ventricles.

``python benchmarks/edit.py PREPARED --n 6 --years 30 --out OUT``: brains of a prepared
cohort on which the model was not trained, each made older (the younger half) or younger
by so many years at several strengths; and left as it is, which must change nothing.
Writes edit.json; the picture is that of `dipy_edit_mri`. Edits are kept in OUT: the
same command goes on where it was stopped.
"""

import argparse
from hashlib import sha256
from pathlib import Path
import time

import numpy as np
from runs import hardware

from dipy_synth.data.cohort import Cohort
from dipy_synth.metrics.anatomy import segment_tissues, ventricle_volume
from dipy_synth.metrics.similarity import psnr
from dipy_synth.nn.ldm import LDM
from dipy_synth.nn.predictor import CovariatePredictor
from dipy_synth.synthesis.edit import STEPS, edit_volume
from dipy_synth.utils.files import write_json
from dipy_synth.utils.labels import labels_on_side


def main():
    """Read the arguments, edit, write and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared")
    parser.add_argument("--model", default="ixi-2mm")
    parser.add_argument("--predictor", default="predictor-ixi-2mm")
    parser.add_argument("--n", type=int, default=6)
    parser.add_argument("--years", type=float, default=30)
    parser.add_argument("--strength", type=float, nargs="+", default=[0.6, 0.8, 1.0])
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", default="edit")
    args = parser.parse_args()
    ldm, cohort = LDM(args.model), Cohort.load(args.prepared)
    read = Reader(CovariatePredictor(args.predictor), cohort.grid)
    brains, rows, others = held_out(cohort, ldm.config["split"], args.n)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    content = {
        "model": ldm.config["weights_sha256"][:12],
        "n": len(rows),
        "held_out": len(others),
        "ages": [float(row["age"]) for row in rows],
        "years": args.years,
        "steps": args.steps,
        "hardware": hardware(),
        "real": read.real(others),
        "edits": [],
    }
    for guidance in args.guidance:
        for strength in args.strength:
            options = {"strength": strength, "guidance": guidance, "steps": args.steps}
            found = measure(ldm, brains, rows, others, read, args.years, options, out)
            print(options, found, flush=True)
            content["edits"].append({**options, **found})
            write_json(out / "edit.json", content)


def held_out(cohort, split, n):
    """Return brains that were not trained on, n of them spread over age; and all."""
    names = set(labels_on_side(split, cohort.subjects, "validation"))
    known = [
        i
        for i, (name, row) in enumerate(zip(cohort.subjects, cohort.rows))
        if name in names and row.get("age")
    ]
    known.sort(key=lambda i: float(cohort.rows[i]["age"]))
    volumes = cohort.volumes()
    others = [(np.asarray(volumes[i], "float32"), cohort.rows[i]) for i in known]
    n = min(n, len(known))  # the middle of n equal parts
    chosen = [int((i + 0.5) * len(known) / n) for i in range(n)]
    return [others[i][0] for i in chosen], [others[i][1] for i in chosen], others


class Reader:
    """What is read of a volume: the age by a predictor, the ventricles by a rule."""

    def __init__(self, predictor, grid):
        self.predictor, self.grid = predictor, grid

    def age(self, volumes):
        """Read ages: ndarray (n,), in years."""
        return np.asarray(self.predictor.predict(np.stack(volumes))["age"], "float64")

    def ventricles(self, volumes):
        """Measure ventricles: ndarray (n,), in mL."""
        labels = [segment_tissues(volume) for volume in volumes]
        return np.array([ventricle_volume(each, grid=self.grid) for each in labels])

    def real(self, others):
        """Fit what is read of real brains against their ages: dict."""
        ages = [float(row["age"]) for _, row in others]
        volumes = [volume for volume, _ in others]
        slopes = {"age": self.age(volumes), "ventricles": self.ventricles(volumes)}
        return {
            "slope_of_age_read": round(np.polyfit(ages, slopes["age"], 1)[0], 3),
            "ventricles_ml_a_year": round(
                np.polyfit(ages, slopes["ventricles"], 1)[0], 3
            ),
        }


def edited_once(ldm, brain, own, wanted, options, out):
    """Edit a brain, or read what was made before: two ndarray, and the seconds."""
    words = [ldm.config["weights_sha256"], own, wanted, options, float(brain.sum())]
    path = out / f"{sha256(repr(words).encode()).hexdigest()[:16]}.npz"
    if not path.is_file():
        start = time.time()
        edited, again = edit_volume(ldm, brain, own, wanted, **options)
        seconds = time.time() - start
        print(f"{own} to {wanted}: {seconds:.0f} s", flush=True)
        np.savez(path, edited=edited, again=again, seconds=seconds)
    with np.load(path) as kept:
        return kept["edited"], kept["again"], float(kept["seconds"])


def measure(ldm, brains, rows, others, read, years, options, out):
    """Edit brains and measure what came of it: dict."""
    steps = [years if i < len(rows) / 2 else -years for i in range(len(rows))]
    pairs, seconds = [], []
    for brain, row, step in zip(brains, rows, steps):
        own = {name: row.get(name) for name in ldm.schema.names}
        wanted = {**own, "age": float(own["age"]) + step}
        *pair, took = edited_once(ldm, brain, own, wanted, options, out)
        pairs.append(pair)
        seconds.append(took)
    edited = [
        np.where(brain > 0, brain + new - again, 0).clip(0, 1)
        for brain, (new, again) in zip(brains, pairs)
    ]
    ages = read.age(edited) - read.age(brains)
    grown = read.ventricles(edited) - read.ventricles(brains)
    masks = [brain > 0 for brain in brains]
    sizes = [np.abs(new - again).mean() for new, again in pairs]
    lost = [psnr(b, again, mask=m) for b, (_, again), m in zip(brains, pairs, masks)]
    own = dict(zip(ldm.schema.names, (rows[0].get(n) for n in ldm.schema.names)))
    new, again = edit_volume(ldm, brains[0], own, own, **options)
    return {
        "identity": round(identity(edited, brains, others), 3),
        "slope_of_age_read": round(through_origin(steps, ages), 3),
        "of_zero_years": float(np.abs(new - again).max()),
        "ventricles_ml_a_year": round(through_origin(steps, grown), 3),
        "ventricles_move_as_asked": round(float(np.mean(grown * steps > 0)), 3),
        "mean_change": round(float(np.mean(sizes)), 5),
        "psnr_of_reconstruction_db": round(float(np.mean(lost)), 2),
        "seconds_a_scan": round(float(np.median(seconds)), 1),
    }


def identity(edited, brains, others):
    """Return the share of edited brains whose nearest held-out brain is their own."""
    known = np.stack([volume.ravel() for volume, _ in others])
    right = 0
    for volume, brain in zip(edited, brains):
        nearest = np.argmin(((known - volume.ravel()) ** 2).sum(axis=1))
        right += np.array_equal(known[nearest], brain.ravel())
    return right / len(edited)


def through_origin(x, y):
    """Fit y = slope * x: float."""
    x, y = np.asarray(x, "float64"), np.asarray(y, "float64")
    return float(x @ y / (x @ x))


if __name__ == "__main__":
    main()
