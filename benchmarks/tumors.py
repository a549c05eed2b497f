"""Tumours as asked for? Type, lobe and side, in phantoms and in real brains.

    python benchmarks/tumors.py implant SOURCE OUT
    python benchmarks/tumors.py ask OUT.tsv [--each 2]

`implant` puts simulated tumours into brains, and writes a BIDS folder for
dipy_preprocess_t1: of each brain a scan with a tumour at each place, and one without,
so that the brains of a place are not others than those of another; in
OUT/derivatives/tumors their label maps, for --labels. SOURCE is a prepared cohort, or
``phantoms``. `ask` writes a table for dipy_synth_mri --participants, each type at each
place. make_tumors.sh does all that follows, and measure_tumors.py measures it.
"""

import argparse
from itertools import islice, product
from pathlib import Path

import numpy as np

from dipy_synth.data.cohort import Cohort
from dipy_synth.data.label_table import Labels
from dipy_synth.data.nifti import read_volume, write_volume
from dipy_synth.data.prepared import mask_path, prepared_path
from dipy_synth.data.target import Target
from dipy_synth.phantom import KINDS, LOCATIONS, make_phantom, simulate_tumor
from dipy_synth.utils.files import write_json
from dipy_synth.utils.tables import write_table

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
    one.add_argument("--voxel_size", type=float, default=4.0)
    one.add_argument("--brains", type=int, default=1000, help="at most")
    one = does.add_parser("ask", help="write what is asked of a model")
    one.add_argument("out", type=Path)
    one.add_argument("--each", type=int, default=2)
    options = parser.parse_args()
    if options.does == "ask":
        return write_table(options.out, asked(options.each))
    brains = phantoms()
    if options.source != "phantoms":
        brains = real(options.source, options.voxel_size)
    implant(islice(brains, options.brains), options.out)


def phantoms():
    """Return (label, row, image, mask, labels, affine) of phantoms, at 4 mm."""
    for seed in range(PHANTOMS):
        made = make_phantom(seed)
        row = {name: made.covariates[name] for name in ("age", "sex")}
        yield f"{seed:03d}", row, made.data, made.mask, made.labels, made.affine


def real(prepared, voxel_size):
    """Return the same of a prepared cohort, with larger voxels, without tissues."""
    cohort = Cohort.load(prepared)
    target = Target.of_voxel_size([voxel_size], cohort.grid)
    for subject, key, row in zip(cohort.subjects, cohort.keys, cohort.rows):
        path = prepared_path(cohort.root, key)
        data, affine = read_volume(path)
        row = {name: row.get(name) for name in ("age", "sex")}
        mask = read_volume(mask_path(path))[0] > 0
        data = target.resample(data, affine, mask=mask)
        yield subject, row, *even(data), None, target.affine


def even(data):
    """Return a brain and its mask, of an even number of voxels along each axis.

    Its middle is then between two voxels, as that of the grid is, and to prepare it is
    to crop it, not to interpolate it again.
    """
    mask = data > 0
    for axis in range(3):
        counts = mask.sum(axis=tuple({0, 1, 2} - {axis}))
        ends = np.flatnonzero(counts)[[0, -1]]
        if (ends[1] - ends[0]) % 2 == 0:
            fewest = min(ends, key=lambda plane: counts[plane])
            mask[(slice(None),) * axis + (fewest,)] = False
    return np.where(mask, data, 0), mask


def implant(brains, out):
    """Write a BIDS folder of brains with tumours; what is there is kept."""
    rng, table = np.random.default_rng(0), []
    label_maps = out / "derivatives" / "tumors"
    Labels.of([1], {1: "tumor"}).write(label_maps / "dseg.tsv")
    write_json(out / "dataset_description.json", {"Name": "T1 with simulated tumours"})
    for label, row, data, mask, labels, affine in brains:
        table.append({"participant_id": f"sub-{label}", **row})
        sessions = [{"session_id": "ses-0", "tumor": "none", "location": None}]
        kinds = rng.permutation(np.resize(KINDS, len(LOCATIONS)))
        for number, (kind, place) in enumerate(zip(kinds, LOCATIONS), start=1):
            size, seed = round(rng.uniform(*SIZES), 1), int(rng.integers(2**31))
            one = {"session_id": f"ses-{number}", "tumor": kind, "location": place}
            sessions.append({**one, "size_mm": size, "seed": seed})
        folder = out / f"sub-{label}"
        for one in sessions:
            name = f"sub-{label}_{one['session_id']}_T1w.nii.gz"
            path = folder / one["session_id"] / "anat" / name
            if not path.exists():
                image, tumor = scan(data, mask, labels, affine, one)
                beside = label_maps / path.relative_to(out)
                beside = beside.with_name(name.replace("T1w", "dseg"))
                write_volume(beside, tumor.astype("uint8"), affine)
                write_volume(path, as_bytes(image, mask), affine)
        write_table(folder / f"sub-{label}_sessions.tsv", sessions)
    write_table(out / "participants.tsv", table)


def scan(data, mask, labels, affine, session):
    """Return the image of a session, and where its tumour is."""
    if session["tumor"] == "none":
        return data, np.zeros(mask.shape, bool)
    return simulate_tumor(
        data,
        mask,
        kind=session["tumor"],
        location=session["location"],
        size_mm=session["size_mm"],
        seed=session["seed"],
        affine=affine,
        labels=labels,
    )


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
