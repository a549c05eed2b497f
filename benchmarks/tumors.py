"""Tumours as asked for? Type, lobe and side, in phantoms and in real brains.

    python benchmarks/tumors.py implant SOURCE OUT
    python benchmarks/tumors.py ask OUT.tsv [--each 2]

`implant` puts simulated tumours into brains, a few of each type and place, and writes a
BIDS folder for dipy_preprocess_t1: five scans of a brain with a tumour each, and one
without. SOURCE is a prepared cohort, or ``phantoms``. `ask` writes a table for
dipy_synth_mri --participants, each type at each place. make_tumors.sh does all that
follows, and measure_tumors.py measures it.
"""

import argparse
from itertools import product
from pathlib import Path

import numpy as np

from dipy_synth.data.cohort import Cohort
from dipy_synth.data.nifti import read_volume, write_volume
from dipy_synth.data.prepared import mask_path, prepared_path
from dipy_synth.phantom import KINDS, LOCATIONS, make_phantom, simulate_tumor
from dipy_synth.utils.files import write_json
from dipy_synth.utils.tables import write_table

TUMOURS = 5  # scans of a brain with one; another is without
SIZES = (28, 45)  # diameters, mm
PHANTOMS = 60
WHERE = [*product(KINDS, LOCATIONS)]


def main():
    """Read the arguments, and do it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    does = parser.add_subparsers(dest="does", required=True)
    one = does.add_parser("implant", help="put tumours into brains")
    one.add_argument("source")
    one.add_argument("out", type=Path)
    one = does.add_parser("ask", help="write what is asked of a model")
    one.add_argument("out", type=Path)
    one.add_argument("--each", type=int, default=2)
    options = parser.parse_args()
    if options.does == "ask":
        return write_table(options.out, asked(options.each))
    brains = phantoms() if options.source == "phantoms" else real(options.source)
    implant(brains, options.out)


def phantoms():
    """Return (label, row, image, mask, labels, affine) of phantoms, at 4 mm."""
    for seed in range(PHANTOMS):
        made = make_phantom(seed)
        row = {name: made.covariates[name] for name in ("age", "sex")}
        yield f"{seed:03d}", row, made.data, made.mask, made.labels, made.affine


def real(prepared):
    """Return the same of a prepared cohort, without known tissues."""
    cohort = Cohort.load(prepared)
    for subject, key, row in zip(cohort.subjects, cohort.keys, cohort.rows):
        path = prepared_path(cohort.root, key)
        data, affine = read_volume(path)
        row = {name: row.get(name) for name in ("age", "sex")}
        yield subject, row, data, read_volume(mask_path(path))[0] > 0, None, affine


def implant(brains, out):
    """Write a BIDS folder of brains with tumours; what is there is kept."""
    rng, table = np.random.default_rng(0), []
    write_json(out / "dataset_description.json", {"Name": "T1 with simulated tumours"})
    deck = []
    for label, row, data, mask, labels, affine in brains:
        table.append({"participant_id": f"sub-{label}", **row})
        sessions = [{"session_id": "ses-0", "tumor": "none", "location": None}]
        for number in range(1, TUMOURS + 1):
            deck = deck or [WHERE[i] for i in rng.permutation(len(WHERE))]
            kind, place = deck.pop()
            size, seed = round(rng.uniform(*SIZES), 1), int(rng.integers(2**31))
            one = {"session_id": f"ses-{number}", "tumor": kind, "location": place}
            sessions.append({**one, "size_mm": size, "seed": seed})
        folder = out / f"sub-{label}"
        for one in sessions:
            name = f"sub-{label}_{one['session_id']}_T1w.nii.gz"
            path = folder / one["session_id"] / "anat" / name
            if not path.exists():
                image = scan(data, mask, labels, affine, one)
                write_volume(path, as_bytes(image, mask), affine)
        write_table(folder / f"sub-{label}_sessions.tsv", sessions)
    write_table(out / "participants.tsv", table)


def scan(data, mask, labels, affine, session):
    """Return the image of a session: with its tumour, or the unchanged brain."""
    if session["tumor"] == "none":
        return data
    return simulate_tumor(
        data,
        mask,
        kind=session["tumor"],
        location=session["location"],
        size_mm=session["size_mm"],
        seed=session["seed"],
        affine=affine,
        labels=labels,
    )[0]


def as_bytes(image, mask):
    """Round to 1 to 255 in the brain, and 0 around it."""
    return np.where(mask, np.clip(np.round(255 * image), 1, 255), 0).astype("uint8")


def asked(each):
    """Return rows of conditions: each type at each place, and as many without."""
    rows = [{"tumor": kind, "location": place} for kind, place in WHERE]
    rows = [*rows, *[{"tumor": "none", "location": None}] * len(LOCATIONS)] * each
    names = (f"asked-{number:04d}" for number in range(len(rows)))
    return [{"participant_id": name, **row} for name, row in zip(names, rows)]


if __name__ == "__main__":
    main()
