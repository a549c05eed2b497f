"""File layouts of cohorts: one function per layout, from NIfTI files to records.

BIDS, raw and derivative :footcite:p:`gorgolewski2016bids`; NFBS, the Neurofeedback
Skull-stripped repository :footcite:p:`puccio2016nfbs`; CC359, Calgary-Campinas
:footcite:p:`souza2018cc359`; IXI as its archive unpacks; and files of any name.

References
----------
.. footbibliography::
"""

from collections import Counter
import logging
import os
from pathlib import Path
import re

from dipy_synth.data.columns import few, normalize_columns
from dipy_synth.data.ixi import read_ixi_table
from dipy_synth.data.listing import images_below
from dipy_synth.data.plain_files import read_files
from dipy_synth.data.plain_names import choose_scans, is_mask
from dipy_synth.data.records import (
    Record,
    bids_root,
    check_names,
    entities,
    folders_of,
    is_t1w,
    labels,
    stem,
)
from dipy_synth.errors import InputError

CC359 = re.compile(r"^(CC\d{4})_([a-z]+)_(15|3)_(\d+)_([MF])$")
CC359_START = re.compile(r"^CC\d{4}_[a-z]+_(15|3)_\d+_[MF]")
IXI = re.compile(r"^(IXI\d{3})-([A-Za-z]+)-\d{4}-T1$")
NFBS = re.compile(r"_T1w_brainmask$")
# desc- of what dipy_synth writes
OURS = ("prepared", "synthetic", "reconstructed", "edited", "difference")
FOLDERS_COUNT = 10  # weight of a folder sub-X as evidence of BIDS, in files

logger = logging.getLogger("dipy")


def read_bids(paths):
    """Read BIDS files, raw or derivative.

    One scan is taken of each subject, session and run, in this order: the raw scan
    before one with a ``desc`` (brain, preproc), scanner space before another ``space``,
    without contrast agent before with, and then the ``acq`` and ``rec`` that most of
    the cohort has. Masks are matched beside the scan and in the whole dataset, by equal
    entities.
    """
    scans, taken, images = {}, [], {}
    found = [path for path in without_ours(paths) if is_t1w(path)]
    found = [path for path in found if entities(path).get("desc") != "prepared"]
    check_names(found)
    for path in found:
        names = labels(path)
        key = (names["sub"], names.get("ses"), names.get("run"))
        scans.setdefault(key, []).append(path)
    popular = Counter(_variant(path) for path in found)
    for key, group in scans.items():
        image = images[key] = min(group, key=lambda path: _cost(path, popular))
        alike = [p for p in group if _cost(p, popular)[:3] == _cost(image, popular)[:3]]
        if len(alike) > 1:
            _refuse_datasets(image, alike)
            taken.append(f"{image} of {len(group)}")
    if taken:
        logger.warning(
            f"subjects, sessions or runs: {len(taken)} have several T1 scans; taken: "
            f"{few(taken)} (others by wildcards)"
        )
    masks = _choose_masks(_masks_of(images.values()))
    return [
        Record(subject, image, masks[image], session, run)
        for (subject, session, run), image in images.items()
    ]


def _choose_masks(found):
    """Choose one of the masks of each scan, beside it if possible.

    `found` has the masks by scan. A warning names those of which others are as near.
    Returns dict of Path to Path, or None without a mask.
    """
    near = {
        image: [path for path in masks if path.parent == image.parent] or masks
        for image, masks in found.items()
    }
    chosen = {image: min(masks, key=str, default=None) for image, masks in near.items()}
    several = [f"{chosen[i]} of {len(near[i])}" for i in near if len(near[i]) > 1]
    if several:
        logger.warning(
            f"{len(several)} scans have several brain masks; taken: {few(several)} "
            "(others by --mask_path)"
        )
    return chosen


def _refuse_datasets(image, alike):
    """Refuse raw scans of one subject and session in two datasets: who is who?"""
    raw = [p for p in alike if "derivatives" not in p.parts and p != image]
    real = os.path.realpath(image)
    for path in raw if "desc" not in entities(image) else ():
        if os.path.realpath(path) != real and bids_root(path) != bids_root(image):
            raise InputError(
                f"{image} and {path} are of one label in two datasets; expected one "
                "dataset, or other labels where they are two persons"
            )


def without_ours(paths, *, keep=()):
    """Leave out outputs of dipy_synth beside scans, but for those in `keep`.

    Where they are alone, only maps of differences are left out.
    """
    made = {path: entities(path).get("desc") for path in paths}
    ours = {path for path, desc in made.items() if desc in OURS}
    others = [path for path in paths if path not in ours]
    prepared = {path.parent for path in ours if made[path] == "prepared"}
    if not (any(map(is_t1w, others)) or plain_scans(others)):
        ours, prepared = {path for path in ours if made[path] == "difference"}, set()
    left = [p for p in paths if p.parent not in prepared and p not in ours]
    return sorted({*left, *(path for path in paths if path in keep)})


def _variant(path):
    names = entities(path)
    return (names.get("acq"), names.get("rec"))


def _cost(path, popular):
    """Return the sort key of the scans of one subject, session and run."""
    names = entities(path)
    return (
        "derivatives" in path.parts,
        "space" in names,
        names.get("desc") or "",
        "ce" in names,
        sum(key in names for key in ("part", "echo", "inv")),
        -popular[_variant(path)],
        path.name,
    )


def _masks_below(root):
    """Return the brain masks of a dataset by their entities: dict to list of Path."""
    found = {}
    for path in without_ours(images_below(root)):
        names = labels(path)
        if names.pop("suffix") == "mask":
            kind = names.pop("desc", None) or names.pop("label", None)
            if (kind or "brain") == "brain":
                found.setdefault(frozenset(names.items()), []).append(path)
    return found


def _masks_of(images):
    """Return the masks with the same entities in the dataset of each scan: dict."""
    below, found = {}, {}
    for image in images:
        root = bids_root(image)
        if root not in below:
            below[root] = _masks_below(root)
        names = {k: v for k, v in labels(image).items() if k not in ("desc", "suffix")}
        found[image] = below[root].get(frozenset(names.items()), [])
    return found


def read_nfbs(paths):
    """Read NFBS: ``sub-X_ses-Y_T1w.nii.gz`` with ``..._T1w_brainmask.nii.gz``."""
    scans, masks = [path for path in paths if is_t1w(path)], {}
    check_names(scans)
    beside = [p.with_name(p.name.replace("_T1w.", "_T1w_brainmask.")) for p in scans]
    for path in {*filter(is_mask, paths), *filter(Path.is_file, beside)}:
        masks.setdefault(NFBS.sub("_T1w", stem(path)), []).append(path)
    masks = _choose_masks({path: masks.get(stem(path), []) for path in scans})
    names = {path: entities(path) for path in scans}
    return [
        Record(names[path]["sub"], path, masks[path], names[path].get("ses"))
        for path in scans
    ]


def read_cc359(paths):
    """Read CC359: vendor, field (tesla), age (years) and sex are in the names.

    The masks of ``Skull-stripping-masks`` are found beside the folder ``Original``.
    """
    found = {path: CC359.match(stem(path)) for path in paths}
    scans = {path: match for path, match in found.items() if match}
    others = set(paths)
    for folder in {path.parent.parent for path in scans}:
        others.update((folder / "Skull-stripping-masks").rglob("*.nii*"))
    masks = {}
    for path in others:
        name = re.sub(r"_(staple|mask|brainmask)$", "", stem(path))
        if name != stem(path):
            masks.setdefault(name, []).append(path)
    rows, notes = normalize_columns(
        [
            {
                "age": match[4],
                "sex": match[5],
                "vendor": match[2],
                "field": {"15": "1.5", "3": "3"}[match[3]],
            }
            for match in scans.values()
        ]
    )
    for note in notes:
        logger.warning(f"names of CC359: {note}")
    masks = _choose_masks({path: masks.get(stem(path), []) for path in scans})
    return [
        Record(match[1], path, masks[path], covariates=row)
        for (path, match), row in zip(scans.items(), rows)
    ]


def read_ixi(paths):
    """Read IXI: ``IXI002-Guys-0828-T1.nii.gz``, with age and sex from its table."""
    found = {path: IXI.match(stem(path)) for path in paths}
    scans = {path: match for path, match in found.items() if match}
    tables = {folder: read_ixi_table(folder) for folder in {p.parent for p in scans}}
    return [
        Record(
            subject=match[1],
            image=path,
            covariates={**tables[path.parent].get(match[1], {}), "site": match[2]},
        )
        for path, match in scans.items()
    ]


LAYOUTS = {
    "bids": read_bids,
    "nfbs": read_nfbs,
    "cc359": read_cc359,
    "ixi": read_ixi,
    "files": read_files,
}


def recognise(paths):
    """Return the key of `LAYOUTS` by which most scans among files are named."""
    raw = [path for path in paths if "derivatives" not in path.parts] or paths
    bids = [path for path in without_ours(raw) if is_t1w(path)]
    masks = sum(bool(NFBS.search(stem(path))) for path in raw)
    in_folders = sum(bool(folders_of(path)) for path in bids)
    known = {
        "nfbs": len(bids) + masks if 2 * masks >= len(bids) else 0,
        "cc359": sum(bool(CC359.match(stem(path))) for path in raw),
        "ixi": sum(bool(IXI.match(stem(path))) for path in raw),
        "bids": len(bids) + (FOLDERS_COUNT - 1) * in_folders,
        "files": len(plain_scans(raw)),
    }
    best = max(known, key=known.get)
    return best if known[best] else "files"


def scans_of_others(paths, layout, read):
    """Return the scans that are named in another way than a layout: list of Path.

    Those named after one of the scans in `read` (``..._T1w_brain``) are left out.
    """
    if layout == "files":
        return []
    patterns = {"cc359": CC359, "ixi": IXI}
    others = [pattern for name, pattern in patterns.items() if name != layout]
    found = [p for p in paths if any(pattern.match(stem(p)) for pattern in others)]
    if layout not in ("bids", "nfbs"):
        found += [path for path in paths if is_t1w(path)]
    own = tuple(stem(path) for path in read)
    paths = [path for path in paths if not stem(path).startswith(own)]
    return found + plain_scans(paths) + _nearly_cc359(paths)


def _nearly_cc359(paths):
    """Return the scans whose names begin as in CC359, and go on: list of Path."""
    named = [p for p in paths if CC359_START.match(stem(p)) and "staple" not in p.name]
    return choose_scans([p for p in named if not CC359.match(stem(p))])[0]


def plain_scans(paths):
    """Return the files that only the layout of plain files reads: list of Path."""
    known = (CC359_START, IXI, NFBS)
    named = [p for p in paths if not any(k.search(stem(p)) for k in known)]
    named = [p for p in named if not (is_t1w(p) or folders_of(p))]
    return choose_scans(named)[0]
