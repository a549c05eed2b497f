"""Scans in files of any name: whose they are, by their names and folders.

A name like ``anna_20200131_T1`` has words of a person, a visit, and a T1 scan. Each
file is a subject of its own, since only its user knows what a word stands for; those
that differ by the words of a visit alone are named in a warning.
"""

from collections import Counter
import logging
import os
import re

from dipy_synth.data.plain_names import PROCESSED, T1, is_mask, person, words
from dipy_synth.data.records import (
    Record,
    check_names,
    entities,
    folders_of,
    is_t1w,
    labels,
    stem,
    to_label,
)

_YEAR, _MONTH, _DAY = r"(?:19|20)\d\d", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_ORDERS = ((_YEAR, _MONTH, _DAY), (_DAY, _MONTH, _YEAR), (_MONTH, _DAY, _YEAR))
DATE = re.compile(  # and perhaps a time of day
    rf"(?<!\d)(?:{'|'.join('[-_.]?'.join(order) for order in _ORDERS)})"
    r"(?:[-_.T]?\d\d[-_.:]?\d\d[-_.:]?\d\d(?:\.\d+)?)?(?!\d)"
)
NUMBER = re.compile(r"[is]?\d+", re.IGNORECASE)  # of a series, or an image of ADNI
VISIT = re.compile(
    r"(?<![a-z])(?:"
    r"(?:ses|sess|session|visit|time|timepoint|tp|wave|year|month|week|day|scan|run|mr)"
    r"[-_. ]?\d{1,4}"
    r"|m\d\d|[vy]\d"  # months, visits and years
    r"|(?:1[.]?5|3|7)t"  # scanners
    r"|(?:mpr|mprage|t1|t1w)[-_. ]?\d"
    r"|\d{5}_[0-3]_\d"  # data field, visit and number of UK Biobank
    r"|(?<=\d_)000\d"  # channel of nnU-Net
    r"|(?:baseline|bl|follow[-_ ]?up|fu|pre|post|retest|session)[-_ ]?\d?"
    r")(?![a-z0-9])",
    re.IGNORECASE,
)

logger = logging.getLogger("dipy")


def read_files(paths):
    """Read files of any name: each is a subject, named after its file.

    BIDS entities in a name, and folders ``sub-X`` and ``ses-Y``, are understood. Files
    of one name in different folders (``A/T1.nii.gz``, ``B/T1.nii.gz``) are named after
    folder and file, or after all folders in which they differ. A name that ends in
    "mask" is that of a mask.
    """
    scans = [path for path in paths if not is_mask(path)]
    check_names([path for path in scans if is_t1w(path)])
    named = [path for path in scans if not _subject(path)]
    names = dict(zip(named, _names(named)))
    records = []
    for path in scans:
        found, subject, own = labels(path), _subject(path), None
        if not subject:
            name, own = names[path]
            subject, own = to_label(name), own or None
        session, run = found.get("ses"), found.get("run")
        records.append(Record(subject, path, None, session, run, name=own))
    return records


def _subject(path):
    """Return the label of a subject, by a file's name or else its folder, or None."""
    folders = {key: folder.name[4:] for folder, key in folders_of(path)}
    return entities(path).get("sub") or folders.get("sub")


def _names(paths):
    """Return the name of each subject, and that in tables: list of tuple of str.

    A table names a person as the file is named or, where several are, as its folder.
    """
    own = [person(path) for path in paths]
    files = [name or stem(path) for name, path in zip(own, paths)]
    folders, names, places = [path.parent.name for path in paths], files, {}
    if _several(names):
        names = [folder + name for folder, name in zip(folders, files)]
    if _several(names):
        different = _differing(paths)
        folders = ["".join(parts) for parts in different]
        names = [folder + name for folder, name in zip(folders, files)]
        for path, parts in zip(paths, different):
            places.setdefault(parts[:1], []).append(path)
    _warn_of_persons([*places.values(), *_visits(paths)])
    counts = Counter(own)
    known = [
        name if name and counts[name] == 1 else folder
        for name, folder in zip(own, folders)
    ]
    return list(zip(names, known))


def _several(names):
    return len(set(names)) < len(names)


def _differing(paths):
    """Return the folders of each path that are not those of all: list of tuple."""
    folders = _folders(paths)
    shared = set.intersection(*map(set, folders))
    return [tuple(p for p in parts if p not in shared) for parts in folders]


def _folders(paths):
    """Return the folders of each path below the folder that holds all of them."""
    root = os.path.commonpath([path.parent for path in paths])
    return [path.parent.relative_to(root).parts for path in paths]


def _visits(paths):
    """List groups of scans that differ by dates or visits alone: list of list of Path.

    They are compared by the names of the files alone, and with their folders. A word
    of a visit that all scans have says nothing of persons.
    """
    groups, dated, visited = {}, set(), set()
    for path, folders in zip(paths, _folders(paths) if paths else ()):
        for parts in {(stem(path),), (*folders, stem(path))}:
            without = _without_dates(parts)
            rest = [VISIT.sub(" ", part) for part in without]
            key = tuple(w for w in words(" ".join(rest)) if w not in T1 | PROCESSED)
            groups.setdefault(key, {})[path] = None
            dated |= {key} if without != [*parts] else set()
            visited |= {key} if rest != without else set()
    return [
        [*group]
        for key, group in groups.items()
        if key and (key in dated or (key in visited and len(group) < len(paths)))
    ]


def _warn_of_persons(groups):
    """Warn of scans that are different subjects, and may be of one person."""
    groups = sorted({tuple(group) for group in groups if len(group) > 1})
    if groups:
        more = f" ({len(groups)} such groups)" if len(groups) > 1 else ""
        logger.warning(
            f"{' and '.join(map(str, groups[0][:3]))} are read as {len(groups[0])} "
            "subjects; is that one person? Training and validation must not share "
            f"one: name sessions as in sub-anna_ses-20200101_T1w.nii.gz{more}"
        )


def _without_dates(parts):
    """Return folders and name without dates, and the numbers that come after: list."""
    *folders, name = parts
    dated = next((i for i, part in enumerate(folders) if DATE.search(part)), None)
    if dated is not None:
        below = [part for part in folders[dated + 1 :] if not NUMBER.fullmatch(part)]
        folders = [*folders[:dated], DATE.sub("", folders[dated]), *below]
    found = DATE.search(name)
    if found:
        name = name[: found.start()] or name[found.end() :]
    return [*folders, name]
