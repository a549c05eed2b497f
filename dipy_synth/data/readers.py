"""A cohort on disk, in any layout that is known, as a list of records."""

from collections import Counter
from dataclasses import replace
import logging
import re

from dipy_synth.data.columns import few
from dipy_synth.data.duplicates import find_duplicates
from dipy_synth.data.layouts import LAYOUTS, plain_scans, recognise
from dipy_synth.data.listing import ASIDE_TOLD, OURS, find_images, list_images
from dipy_synth.data.participants import add_covariates
from dipy_synth.data.plain_names import choose_scans, is_mask
from dipy_synth.data.records import Record, entities, labels, stem
from dipy_synth.errors import InputError
from dipy_synth.utils.files import not_fetched

__all__ = ["Record", "read_records"]

logger = logging.getLogger("dipy_synth")


def read_records(inputs, *, mask_paths=None, layout="auto"):
    """Read which scans a cohort has, and what its tables say of them.

    No image is opened. What is left out beside the scans, and what the tables were
    understood as, is logged.

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
        How the files are named; by default as most of them are.

    Returns
    -------
    list of Record
        Sorted by key.

    Raises
    ------
    InputError
        If there is no scan, a label is not understood as a whole, two scans have one
        key, a table cannot be read, a scan has no mask among `mask_paths`, or it has
        several.
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise InputError(f"layout {layout!r}: expected auto, {', '.join(LAYOUTS)}")
    listing = find_images(inputs)
    paths = listing.images
    layout = recognise(paths) if layout == "auto" else layout
    scans, left_out = paths, {}
    if layout == "files":
        scans, left_out = choose_scans(paths, keep=listing.named)
    records = sorted(LAYOUTS[layout](scans), key=lambda record: record.key)
    left_out = {**listing.left_out, **left_out}
    if not records:
        raise InputError(
            f"{inputs}: no T1 scan in the layout {layout!r}{_told(left_out)}"
        )
    logger.info(f"{len(records)} T1 scans of {len(paths)} images, layout {layout}")
    _refuse_collisions(records)
    _log_what_is_left(records, paths, layout, left_out)
    records = add_covariates(records, listing.roots)
    return match_masks(records, mask_paths) if mask_paths else records


def _told(left_out):
    """Return in words what was left out: str."""
    parts = [
        f"{len(paths)} {why} ({few(path.name for path in paths)})"
        for why, paths in left_out.items()
    ]
    return f"; left out: {'; '.join(parts)}" * bool(parts)


def _log_what_is_left(records, paths, layout, left_out):
    """Log images that are not read, scans not fetched, and contents that are twice."""
    read = {record.image for record in records}
    if layout != "files":
        scans = [p for p in plain_scans(paths) if p not in read]
        left_out |= {f"not in the layout {layout}": scans} if scans else {}
    if layout == "bids":
        subjects = {record.subject for record in records}
        raw = [p for p in paths if "derivatives" not in p.parts]
        without = {labels(p).get("sub") for p in raw} - subjects - {None}
        if without:
            told = few(f"sub-{subject}" for subject in sorted(without))
            logger.warning(f"{len(without)} subjects have images and no T1w: {told}")
    quiet = {why: left_out.pop(why) for why in (OURS, ASIDE_TOLD) if why in left_out}
    if quiet:
        logger.info(_told(quiet).removeprefix("; "))
    if left_out:
        logger.warning(_told(left_out).removeprefix("; "))
    absent = [record.image for record in records if not_fetched(record.image)]
    if absent:
        logger.warning(
            f"{len(absent)} scans are not on this disk: {absent[0]}: "
            f"{not_fetched(absent[0])}"
        )
    for group in find_duplicates(records):
        logger.warning(
            f"{few(map(str, group))} have one content under several subjects; are they "
            "one person's? Training and validation must not share one"
        )


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
