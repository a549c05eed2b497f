"""A cohort on disk, in any layout that is known, as a list of records."""

from collections import Counter
from dataclasses import replace
import logging
import re

from dipy_synth.data.layouts import LAYOUTS, is_mask, recognise
from dipy_synth.data.records import Record, entities, list_images, stem
from dipy_synth.errors import InputError

__all__ = ["Record", "read_records"]

logger = logging.getLogger("dipy_synth")


def read_records(inputs, *, mask_paths=None, layout="auto"):
    """Read which scans a cohort has. No image is opened.

    Parameters
    ----------
    inputs : str, Path or sequence of them
        A folder, files, or wildcards.
    mask_paths : str, Path or sequence of them, optional
        Brain masks: a folder, files, or wildcards. Each scan takes the one of the same
        subject, session and run, or whose name holds the scan's name, or the only one
        in the folder of a scan that is alone there. They go before the masks that the
        layout knows.
    layout : {"auto", "bids", "nfbs", "cc359", "ixi", "files"}, optional
        How the files are named; recognised by their names by default.

    Returns
    -------
    list of Record
        Sorted by key.

    Raises
    ------
    InputError
        If there is no scan, two scans have one key, a scan has no mask among
        `mask_paths`, or it has several.
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise InputError(f"layout {layout!r}: expected auto, {', '.join(LAYOUTS)}")
    paths = list_images(inputs)
    layout = recognise(paths) if layout == "auto" else layout
    records = sorted(LAYOUTS[layout](paths), key=lambda record: record.key)
    if not records:
        raise InputError(f"{inputs}: no T1 scan in the layout {layout!r}")
    logger.info(f"{len(records)} T1 scans of {len(paths)} NIfTI files, layout {layout}")
    _refuse_collisions(records)
    return match_masks(records, mask_paths) if mask_paths else records


def _refuse_collisions(records):
    """Two scans of one name would overwrite each other."""
    seen = {}
    for record in records:
        if not record.subject:
            raise InputError(f"{record.image}: no letter or digit to name a subject by")
        other = seen.setdefault(record.key.lower(), record.image)
        if other != record.image:
            raise InputError(
                f"{other} and {record.image} would both be {record.key}; expected one "
                "scan of a subject, session and run"
            )


def match_masks(records, mask_paths):
    """Give each scan its mask among files.

    Parameters
    ----------
    records : list of Record
        The scans.
    mask_paths : str, Path or sequence of them
        A folder, files, or wildcards.

    Returns
    -------
    list of Record
    """
    masks = [p for p in list_images(mask_paths) if p not in {r.image for r in records}]
    if len(masks) > len(records) and any(map(is_mask, masks)):
        masks = [path for path in masks if is_mask(path)]
    if len(records) == 1 and len(masks) == 1:
        return [replace(records[0], mask=masks[0])]
    crowd = Counter(record.image.parent for record in records)
    return [
        replace(r, mask=_one_mask(r, masks, alone=crowd[r.image.parent] == 1))
        for r in records
    ]


def _one_mask(record, masks, *, alone):
    """Find the one mask of a scan: by name, or in the folder that it has alone."""
    found = [path for path in masks if _belongs(path, record)]
    if alone and not found:
        found = [path for path in masks if path.parent == record.image.parent]
    if len(found) != 1:
        what = ", ".join(map(str, found)) if found else "none"
        raise InputError(
            f"{record.image}: of the {len(masks)} masks given, {what} belongs to it; "
            "expected one, with the same sub, ses and run, with the scan's name in its "
            "own, or the only one in a folder with this scan alone"
        )
    return found[0]


def _belongs(path, record):
    """Tell by names whether a mask is a scan's."""
    names = entities(path)
    if "sub" in names:
        key = (names["sub"], names.get("ses"), names.get("run"))
        return key == (record.subject, record.session, record.run)
    name = re.escape(stem(record.image))
    return bool(re.match(rf"{name}([_.-]|$)", stem(path))) or (
        re.fullmatch(rf"{re.escape(record.subject)}[_.-]?(brain)?_?mask", stem(path))
        is not None
    )
