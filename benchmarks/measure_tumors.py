"""Measure whether tumours are as asked, beside shuffled labels: type, lobe and side.

    python benchmarks/measure_tumors.py WORK [WORK ...] --out_dir OUT

WORK is what make_tumors.sh filled. Writes OUT/tumors.csv, tumors.json and tumors.png.

Tumours are read in three ways. The predictor is a network trained on implants in the
training brains, and is tested on those in brains held out. The difference needs no
network: it is that to the same brain without a tumour, of an implant its own scan, of a
synthetic volume the one from the same noise; where it is largest lies the tumour. The
mask is the label map beside the volume: its middle says the place, and its Dice with
the difference above a threshold, which is that best for training implants, says whether
it lies where the picture's tumour does. What the autoencoder keeps of implants is the
most that synthetic volumes can show.
"""

import argparse
import csv
from dataclasses import dataclass, replace
from datetime import date
import json
from pathlib import Path

import numpy as np
from runs import hardware, history, minutes
from scipy import ndimage

from dipy_synth.data.cohort import Cohort
from dipy_synth.data.label_maps import read_label_map
from dipy_synth.evaluation import Volumes, load_volumes
from dipy_synth.nn.predictor import CovariatePredictor
from dipy_synth.nn.vqvae import VQVAE
from dipy_synth.phantom import KINDS, LOCATIONS
from dipy_synth.utils.files import atomic_path, write_json
from dipy_synth.utils.montage import save_montage

BLUR = 6.0  # mm, of a difference
SHUFFLES = 1000
THRESHOLDS = np.arange(0.02, 0.4, 0.02)  # of a blurred difference
QUESTIONS = ("tumour", "type", "lobe", "side")
TITLES = {  # of the sides that are read
    "validation": "implants, held out",
    "decoded": "the same, encoded and decoded",
    "synthetic": "synthetic",
}


def main():
    """Read the arguments, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("works", type=Path, nargs="+")
    parser.add_argument("--out_dir", type=Path, default=Path("measured-tumors"))
    options = parser.parse_args()
    results = {"date": date.today().isoformat(), "hardware": hardware(), "cohorts": {}}
    groups, titles = [], []
    for work in options.works:
        name = work.name.split("-")[-1]
        sides = sides_of(work)
        centers = centers_of(sides["train"])
        threshold = best_threshold(*masked_pairs(sides, "train"))
        results["cohorts"][name] = {
            "volumes": {key: len(side) for key, side in sides.items()},
            "minutes": minutes_of(work),
            "threshold": threshold,
            "rows": [
                *by_predictor(sides, work),
                *by_difference(sides, centers),
                *by_mask(sides, centers, threshold),
            ],
        }
        for kind in KINDS:
            groups += [
                cut(sides[s], kind, centers) for s in ("validation", "synthetic")
            ]
            titles += [f"{name}, {kind}: {TITLES['validation']}", "synthetic, as asked"]
    write_json(options.out_dir / "tumors.json", results)
    write_csv(options.out_dir / "tumors.csv", results["cohorts"])
    save_montage(
        options.out_dir / "tumors.png", groups, titles=titles, columns=len(LOCATIONS)
    )
    print(json.dumps(results, indent=1))


def sides_of(work):
    """Return volumes of a cohort: trained on, held out, decoded, and synthetic ones."""
    cohort = Cohort.load(work / "prepared")
    sides = {}
    for side in ("train", "validation"):
        chosen = np.flatnonzero(cohort.where(side))
        sides[side] = Masked(
            cohort.volumes(side),
            cohort.grid,
            names=tuple(cohort.keys[i] for i in chosen),
            rows=tuple(cohort.rows[i] for i in chosen),
            masks=np.asarray(cohort.label_maps(side)) > 0,
        )
    held, vqvae = sides["validation"], VQVAE(work / "vqvae")
    maps = cohort.label_maps("validation")
    latents = vqvae.encode(held.volumes, label_maps=np.asarray(maps), batch_size=8)
    decoded, maps = vqvae.decode(latents, return_labels=True, batch_size=8)
    sides["decoded"] = replace(held, volumes=decoded, masks=maps > 0)
    for name in ("synthetic", "plain"):
        found = load_volumes(work / name, grid=cohort.grid)
        paths = sorted((work / name).glob("sub-*/anat/*_dseg.nii.gz"))
        masks = np.stack([read_label_map(path)[0] > 0 for path in paths])
        sides[name] = Masked(
            found.volumes, found.grid, names=found.names, rows=found.rows, masks=masks
        )
    return sides


@dataclass(frozen=True)
class Masked(Volumes):
    """Volumes with the masks of their tumours, (n, I, J, K), bool."""

    masks: np.ndarray | None = None

    def take(self, chosen, *, name=None):
        """Select volumes and their masks."""
        return replace(super().take(chosen, name=name), masks=self.masks[chosen])


# --- reading ----------------------------------------------------------------------


def by_predictor(sides, work):
    """Return rows of the predictions from implants and synthetic volumes."""
    predictor = CovariatePredictor(work / "predictor")
    for name, title in TITLES.items():
        volumes = sides[name]
        read = predictor.predict(volumes.volumes)
        where = with_tumour(volumes)
        places = np.array(volumes.column("location"))[where]
        seen = np.array(read["location"])[where]
        kinds, found = np.array(volumes.column("tumor")), np.array(read["tumor"])
        pairs = {
            "tumour": (where, found != "none"),
            "type": (kinds[where], found[where]),
            "lobe": (lobes(places), lobes(seen)),
            "side": (flanks(places), flanks(seen)),
        }
        yield {"read from": title, "by": "predictor", **answers(pairs)}


def by_difference(sides, centers):
    """Return rows of the largest difference to the brain without a tumour."""
    for name, title in TITLES.items():
        volumes, without = pairs_of(sides, name)
        places = np.array(volumes.column("location"))
        seen = np.array([nearest(p, centers) for p in peaks(volumes, without)])
        pairs = {"lobe": (lobes(places), lobes(seen))}
        pairs |= {"side": (flanks(places), flanks(seen))}
        yield {"read from": title, "by": "difference", **answers(pairs)}


def answers(pairs):
    """Compute, per question, the correct predictions, and those of shuffled ones."""
    rng = np.random.default_rng(0)
    return {
        question: {
            "n": len(asked),
            "right": float(np.mean(asked == read)),
            "interval": wilson(int(np.sum(asked == read)), len(asked)),
            "shuffled": float(
                np.mean([rng.permutation(asked) == read for _ in range(SHUFFLES)])
            ),
        }
        for question, (asked, read) in pairs.items()
    }


def wilson(k, n, z=1.96):
    """Compute the 95 % interval of a fraction k / n, by Wilson's score."""
    middle = (k + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * np.sqrt(k * (n - k) / n + z**2 / 4)
    return [float(middle - half), float(middle + half)]


def lobes(places):
    """Return the lobes of places."""
    return np.array([str(place).rsplit("-", 1)[0] for place in places])


def flanks(places):
    """Return the sides of places."""
    return np.array([str(place).rsplit("-", 1)[-1] for place in places])


def with_tumour(volumes):
    """Return which volumes have a requested tumour."""
    return np.array([kind != "none" for kind in volumes.column("tumor")])


# --- where the difference lies ----------------------------------------------------


def pairs_of(sides, name):
    """Return volumes with a tumour, and for each the same brain without."""
    volumes = sides[name]
    if name == "synthetic":  # the first ones share their noise with `plain`
        where = np.flatnonzero(with_tumour(volumes)[: len(sides["plain"])])
        return volumes.take(where), sides["plain"].volumes[where]
    where = np.flatnonzero(with_tumour(volumes))
    plain = {
        key.split("_")[0]: i
        for i, key in enumerate(volumes.names)
        if volumes.rows[i]["tumor"] == "none"
    }
    own = [plain[volumes.names[i].split("_")[0]] for i in where]
    return volumes.take(where), volumes.volumes[own]


def peaks(volumes, without):
    """Return the voxel of the largest difference, blurred: ndarray (n, 3)."""
    smooth = differences(volumes, without)
    return np.array([np.unravel_index(one.argmax(), one.shape) for one in smooth])


def differences(volumes, without):
    """Return the absolute differences, blurred: list of ndarray (I, J, K)."""
    sigma = BLUR / np.array(volumes.grid.voxel_size)
    return [
        ndimage.gaussian_filter(np.abs(one.astype("float32") - other), sigma)
        for one, other in zip(volumes.volumes, without)
    ]


def centers_of(train):
    """Return the centre of each place, in voxels, by implants in training brains."""
    volumes, without = pairs_of({"train": train}, "train")
    places, found = np.array(volumes.column("location")), peaks(volumes, without)
    return {place: np.median(found[places == place], axis=0) for place in LOCATIONS}


def nearest(peak, centers):
    """Name the place whose middle is nearest to a voxel."""
    return min(centers, key=lambda place: np.sum((centers[place] - peak) ** 2))


# --- where the mask lies -----------------------------------------------------------


def by_mask(sides, centers, threshold):
    """Return rows of the masks: their place, and their Dice with the difference."""
    for name, title in TITLES.items():
        smooth, masks, volumes = masked_pairs(sides, name)
        places = np.array(volumes.column("location"))
        middles = [np.argwhere(m).mean(axis=0) if m.any() else None for m in masks]
        seen = np.array([m is not None and nearest(m, centers) for m in middles])
        pairs = {"lobe": (lobes(places), lobes(seen))}
        pairs |= {"side": (flanks(places), flanks(seen))}
        overlap = dices(masks, [one > threshold for one in smooth])
        yield {"read from": title, "by": "mask", **answers(pairs), "dice": overlap}


def masked_pairs(sides, name):
    """Return blurred differences, masks, and the volumes with a tumour of a side."""
    volumes, without = pairs_of(sides, name)
    return differences(volumes, without), volumes.masks, volumes


def best_threshold(smooth, masks, volumes):
    """Return the threshold of differences with the largest mean Dice: float."""
    scores = [
        np.mean([dice(mask, one > threshold) for mask, one in zip(masks, smooth)])
        for threshold in THRESHOLDS
    ]
    return float(THRESHOLDS[int(np.argmax(scores))])


def dice(one, other):
    """Compute the Dice of two masks; 0 where one of them is empty."""
    total = one.sum() + other.sum()
    return float(2 * (one & other).sum() / total) if total else 0.0


def dices(masks, others):
    """Compute the mean Dice with its interval, and that of shuffled masks: dict."""
    found = [dice(a, b) for a, b in zip(masks, others)]
    order = np.random.default_rng(0).permutation(len(masks))
    error = 1.96 * np.std(found) / np.sqrt(len(found))
    return {
        "n": len(found),
        "right": float(np.mean(found)),
        "interval": [float(np.mean(found) - error), float(np.mean(found) + error)],
        "shuffled": float(np.mean([dice(masks[i], b) for i, b in zip(order, others)])),
        "empty": int(sum(not mask.any() for mask in masks)),
    }


# --- what a page shows ------------------------------------------------------------


def cut(volumes, kind, centers):
    """Cut the first volume with a type at each place, through its middle."""
    kinds, places = volumes.column("tumor"), volumes.column("location")
    slices = []
    for place in LOCATIONS:
        chosen = [i for i, a in enumerate(zip(kinds, places)) if a == (kind, place)]
        level = int(round(centers[place][2]))
        empty = np.zeros(volumes.volumes.shape[1:3], "float32")
        one = volumes.volumes[chosen[0]][:, :, level] if chosen else empty
        slices.append(one.T[::-1])
    return np.stack(slices)


def minutes_of(work):
    """Return the durations of the trainings in minutes, by their histories."""
    names = ("vqvae", "predictor", "ldm")
    return {name: round(minutes(history(work / name)), 1) for name in names}


def write_csv(path, cohorts):
    """Write the table as a page shows it."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        head = [f"{question.capitalize()}, %" for question in QUESTIONS]
        writer.writerow(["Brains", "Read from", "By", "n", *head, "Dice, %"])
        for name, found in cohorts.items():
            for row in found["rows"]:
                writer.writerow([name, *line(row)])


def line(row):
    """Format the cells of a row; "50.0 (40-60; 8)" is per cent, interval, shuffled."""
    cells = []
    for question in (*QUESTIONS, "dice"):
        one = row.get(question)
        cells.append("")
        if one:
            low, high = (100 * x for x in one["interval"])
            right, chance = 100 * one["right"], 100 * one["shuffled"]
            cells[-1] = f"{right:.1f} ({low:.0f}-{high:.0f}; {chance:.1f})"
    n = "/".join(
        str(m) for m in dict.fromkeys(row[q]["n"] for q in QUESTIONS if q in row)
    )
    return [row["read from"], row["by"], n, *cells]


if __name__ == "__main__":
    main()
