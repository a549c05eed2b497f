"""Reading of a cohort on disk, in any known layout, as a list of records."""

from collections import Counter
from dataclasses import replace
import logging
import re

from dipy_synth.data.columns import few
from dipy_synth.data.duplicates import find_duplicates
from dipy_synth.data.layouts import LAYOUTS, recognise, scans_of_others, without_ours
from dipy_synth.data.listing import ASIDE_WHY, OURS, find_images, list_images
from dipy_synth.data.participants import add_covariates, fold
from dipy_synth.data.plain_names import choose_scans, is_mask, other_series
from dipy_synth.data.records import Record, folders_of, labels, stem
from dipy_synth.errors import InputError
from dipy_synth.utils.files import not_fetched

__all__ = ["Record", "read_records"]

MOST_LETTERS = 128  # of a key; the names of files have up to 255, entities included
LABEL = re.compile("[a-zA-Z0-9+]+")
# Ends of the names of masks and label maps, after that of the subject.
_END = re.compile(
    r"[_.-]?((brain)?_?mask|dseg|seg|segmentation|labels?|lesions?|tumou?r)$"
)
_HOW_MATCHED = (
    "expected one, with the same sub, ses and run, with the scan's name in its own, or "
    "the only one in a folder with this scan alone"
)

logger = logging.getLogger("dipy")


def read_records(inputs, *, mask_paths=None, label_paths=None, layout="auto"):
    """List the scans of a cohort, with the covariates of its tables.

    No image is opened. The log has the files that were left out, and how the tables
    were understood.

    Parameters
    ----------
    inputs : str, Path or sequence of them
        A folder, files, or wildcards.
    mask_paths : str, Path or sequence of them, optional
        Brain masks: a folder, files, or wildcards. A mask belongs to the scan of the
        same subject, session and run, or whose name is part of its own, or that is
        alone with it in a folder. These masks take precedence over those of the layout.
    label_paths : str, Path or sequence of them, optional
        Label maps, matched as masks are. Where some are named ``dseg``, those alone.
        Scans without one are named in a warning.
    layout : {"auto", "bids", "nfbs", "cc359", "ixi", "files"}, optional
        Naming of the files; by default that of most of them.

    Returns
    -------
    list of Record
        Sorted by key.

    Raises
    ------
    InputError
        If there is no scan, a label is not understood as a whole, a name is too long,
        two scans have one key, a table cannot be read, a scan has no mask among
        `mask_paths`, it has several masks or label maps, or no scan has a label map
        among `label_paths`.
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise InputError(f"layout {layout!r}: expected auto, {', '.join(LAYOUTS)}")
    listing = find_images(inputs)
    paths = without_ours(listing.images, keep=listing.named)
    for own in sorted(set(listing.images) - set(paths)):
        listing.leave_out(OURS, own)
    layout = recognise(paths) if layout == "auto" else layout
    scans, left_out = paths, {}
    if layout == "files":
        scans, left_out = choose_scans(paths, keep=listing.named)
        others = other_series(path for path in scans if path not in listing.named)
        scans = [path for path in scans if path not in others]
        for path, why in others.items():
            left_out.setdefault(why, []).append(path)
    records = sorted(LAYOUTS[layout](scans), key=lambda record: record.key)
    left_out = {**listing.left_out, **left_out}
    if not records:
        raise InputError(
            f"{inputs}: no T1 scan in the layout {layout!r}{_left_out_text(left_out)}"
        )
    logger.info(f"{len(records)} T1 scans of {len(paths)} images, layout {layout}")
    _check_keys(records)
    _log_what_is_left(records, paths, layout, left_out)
    records = add_covariates(records, listing.roots)
    records = _match_masks(records, mask_paths) if mask_paths else records
    return _match_label_maps(records, label_paths) if label_paths else records


def _left_out_text(left_out):
    """Describe what was left out: str."""
    parts = [
        f"{len(paths)} {why} ({few(path.name for path in paths)})"
        for why, paths in left_out.items()
    ]
    return f"; left out: {'; '.join(parts)}" * bool(parts)


def _log_what_is_left(records, paths, layout, left_out):
    """Log images that are not read, scans not fetched, and duplicates."""
    read = {record.image for record in records}
    others = scans_of_others(paths, layout, read)
    if scans := [path for path in others if path not in read]:
        left_out[f"not named as in the layout {layout}"] = scans
    if layout == "bids":
        subjects = {record.subject for record in records}
        raw = [p for p in paths if "derivatives" not in p.parts]
        without = {labels(p).get("sub") for p in raw} - subjects - {None}
        if without:
            names = few(f"sub-{subject}" for subject in sorted(without))
            logger.warning(f"subjects with images and no T1w: {names}")
    derived = [path for path in read if "derivatives" in path.parts]
    if 0 < len(derived) < len(read):
        logger.warning(
            f"no raw scan, so one of derivatives was taken: {few(map(str, derived))}"
        )
    quiet = {why: left_out.pop(why) for why in (OURS, ASIDE_WHY) if why in left_out}
    if quiet:
        logger.info(_left_out_text(quiet).removeprefix("; "))
    if left_out:
        logger.warning(_left_out_text(left_out).removeprefix("; "))
    absent = [record.image for record in records if not_fetched(record.image)]
    if absent:
        logger.warning(
            f"{len(absent)} of the scans are not on this disk, the first {absent[0]}: "
            f"{not_fetched(absent[0])}"
        )
    alike = {}
    for subject in dict.fromkeys(record.subject for record in records):
        alike.setdefault(fold(subject), []).append(f"sub-{subject}")
    if alike := [names for names in alike.values() if len(names) > 1]:
        logger.warning(
            f"{few(map(' and '.join, alike))} differ in case or zeros alone; is that "
            "one person? Training and validation must not share one"
        )
    for group in find_duplicates(records):
        logger.warning(
            f"{' and '.join(map(str, group[:3]))} have one content under several "
            "subjects; is that one person? Training and validation must not share one"
        )


def _check_keys(records):
    """Refuse names that no file can have, and two scans of one name."""
    seen = {}
    for record in records:
        if not record.subject:
            raise InputError(f"{record.image}: no letter or digit to name a subject by")
        for label in filter(None, (record.subject, record.session, record.run)):
            if not LABEL.fullmatch(label):
                raise InputError(
                    f"{record.image}: the label {label!r}, of its folder; expected "
                    "letters and digits"
                )
        if len(record.key) > MOST_LETTERS:
            raise InputError(
                f"{record.image}: a name of {len(record.key)} letters in the prepared "
                f"cohort; expected at most {MOST_LETTERS}: rename it"
            )
        other = seen.setdefault(record.key.lower(), record.image)
        if other != record.image:
            raise InputError(
                f"{other} and {record.image} would both be {record.key}; expected one "
                "scan of a subject, session and run"
            )


def _match_masks(records, mask_paths):
    """Match each scan with its mask among files: list of Record."""
    masks = [p for p in list_images(mask_paths) if p not in {r.image for r in records}]
    if len(masks) > len(records) and any(map(is_mask, masks)):
        masks = [path for path in masks if is_mask(path)]
    if len(records) == len(masks) == 1 and not _is_of_another(records[0], masks[0]):
        return [replace(records[0], mask=masks[0])]
    found = _matched(records, masks, "masks")
    for record, mask in zip(records, found):
        if mask is None:
            raise InputError(
                f"{record.image}: of the {len(masks)} masks given, none belongs to "
                f"it; {_HOW_MATCHED}"
            )
    return [replace(record, mask=mask) for record, mask in zip(records, found)]


def _match_label_maps(records, label_paths):
    """Match scans with label maps, and warn of those without: list of Record."""
    others = {path for record in records for path in record.files}
    maps = [p for p in list_images(label_paths) if p not in others]
    maps = [p for p in maps if stem(p).lower().endswith("dseg")] or maps
    found = _matched(records, maps, "label maps")
    without = [r.key for r, path in zip(records, found) if path is None]
    if len(without) == len(records):
        raise InputError(
            f"none of the {len(maps)} label maps given belongs to a scan, the first "
            f"{records[0].image}; {_HOW_MATCHED}"
        )
    if without:
        logger.warning(
            f"{len(without)} of {len(records)} scans have no label map "
            f"({few(without)}); they train the image alone"
        )
    return [replace(record, label_map=path) for record, path in zip(records, found)]


def _matched(records, paths, kind):
    """Return the file of each scan, None where there is none: list.

    Files go by names first; what is left, to the scan that is alone in their folder. Of
    several files of a scan, one with its own entities is taken.
    """
    index, crowd = _Files(records, paths), Counter(r.image.parent for r in records)
    found = [index.named_after(record) for record in records]
    left = set(paths).difference(*found)
    for place, record in enumerate(records):
        if not found[place] and crowd[record.image.parent] == 1:
            found[place] = index.beside(record, left)
        found[place] = _alike(record, found[place])
        if len(found[place]) > 1:
            raise InputError(
                f"{record.image}: of the {len(paths)} {kind} given, "
                f"{', '.join(map(str, found[place]))} belong to it; {_HOW_MATCHED}"
            )
    return [files[0] if files else None for files in found]


def _alike(record, paths):
    """Return the files of a scan whose further entities are its own, or else all.

    In the derivatives of fMRIPrep it is ``sub-01_desc-brain_mask``, and none with a
    ``space``, a ``task`` or ``label-lesion``.
    """
    own = {k: v for k, v in labels(record.image).items() if k != "desc"}
    usual, apart = {("desc", "brain"), ("label", "brain")}, {}
    for path in paths:
        different = set(labels(path).items()) ^ set(own.items())
        apart[path] = {key for key, _ in different - usual}
    same = [p for p in paths if apart[p] <= {"suffix", "sub", "ses", "run"}]
    return same or paths


def _is_of_another(record, path):
    """Return whether the sub, ses or run of a file is not that of a scan: bool."""
    scan, own = _entities(record.image), _entities(path)
    both = scan.keys() & own.keys() & {"sub", "ses", "run"}
    return any(scan[key].casefold() != own[key].casefold() for key in both)


def _entities(path):
    """Return the entities of a file, subject and session also by its folders: dict."""
    folders = {key: folder.name[4:] for folder, key in folders_of(path)}
    return {**folders, **labels(path)}


class _Files:
    """Masks or label maps, by the names and folders that link them to scans."""

    def __init__(self, records, paths):
        self._labels, self._names, self._subjects, self._folders = {}, {}, {}, {}
        scans = {stem(record.image) for record in records}
        for path in paths:
            self._folders.setdefault(path.parent, []).append(path)
            found, name = labels(path), stem(path)
            if "sub" in found:
                key = (found["sub"], found.get("ses"), found.get("run"))
                self._labels.setdefault(key, []).append(path)
                continue
            subject = _END.sub("", name)
            if subject != name:
                self._subjects.setdefault(subject, []).append(path)
            starts = {name[: m.start()] for m in re.finditer("[_.-]", name)}
            starts = {*starts, name, subject} & scans
            if starts:  # p1_2_mask is the mask of p1_2, not of p1
                self._names.setdefault(max(starts, key=len), []).append(path)

    def named_after(self, record):
        """Return the files of a scan by their names: list of Path."""
        key = (record.subject, record.session, record.run)
        found = [*self._labels.get(key, []), *self._names.get(stem(record.image), [])]
        found += self._subjects.get(record.subject, [])
        found = [path for path in found if not _is_of_another(record, path)]
        return list(dict.fromkeys(found))

    def beside(self, record, left):
        """Return the files among `left` that lie in the folder of a scan: list."""
        found = [p for p in self._folders.get(record.image.parent, []) if p in left]
        return [path for path in found if not _is_of_another(record, path)]
