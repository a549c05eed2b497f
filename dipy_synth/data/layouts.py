"""How cohorts lie on disk: one function a layout, from NIfTI files to records.

BIDS, raw and derivative [1]_; NFBS, the Neurofeedback Skull-stripped repository [2]_;
CC359, Calgary-Campinas [3]_; IXI as its archive unpacks; and files of any name.

References
----------
.. [1] Gorgolewski et al., "The brain imaging data structure", Scientific Data 3, 2016.
.. [2] Puccio et al., "The preprocessed connectomes project repository of manually
   corrected skull-stripped T1-weighted anatomical MRI data", GigaScience 5, 2016.
.. [3] Souza et al., "An open, multi-vendor, multi-field-strength brain MR dataset and
   analysis of publicly available skull stripping methods agreement", NeuroImage 170,
   2018.
"""

import re

from dipy_synth.data.ixi import read_ixi_table
from dipy_synth.data.records import Record, entities, images_below, stem, to_label
from dipy_synth.errors import InputError
from dipy_synth.utils.files import read_table

CC359 = re.compile(r"^(CC\d{4})_([a-z]+)_(15|3)_(\d+)_([MF])$")
IXI = re.compile(r"^(IXI\d{3})-([A-Za-z]+)-\d{4}-T1$")
NFBS = re.compile(r"_T1w_brainmask$")


def read_bids(paths):
    """Read BIDS files, raw or derivative.

    Of one subject, session and run, the scan as it left the scanner goes before one
    with a ``desc`` (brain, preproc), and scanner space before another ``space``. Masks
    are looked for beside the scan and in the whole dataset, by equal entities.

    Parameters
    ----------
    paths : list of Path
        NIfTI files of any kind; those with the suffix T1w are scans.

    Returns
    -------
    list of Record
    """
    scans, masks = {}, {}
    for path in _not_ours(paths):
        names = entities(path)
        if names["suffix"] == "T1w" and "sub" in names:
            key = (names["sub"], names.get("ses"), names.get("run"))
            scans.setdefault(key, []).append(path)
    records = []
    for (subject, session, run), found in scans.items():
        image = _preferred(found)
        root = bids_root(image)
        if root not in masks:
            below = _not_ours(images_below(root))
            masks[root] = [p for p in below if entities(p)["suffix"] == "mask"]
        records.append(
            Record(
                subject=subject,
                image=image,
                mask=_mask_of(image, masks[root]),
                session=session,
                run=run,
                covariates=read_covariates(root, subject, session),
            )
        )
    return records


def _not_ours(paths):
    """Leave out what an earlier preparation wrote inside the dataset."""
    ours = {path.parent for path in paths if entities(path).get("desc") == "prepared"}
    return [path for path in paths if path.parent not in ours]


def _preferred(paths):
    """Choose among the scans of one subject, session and run."""

    def cost(path):
        names = entities(path)
        return ("derivatives" in path.parts, "space" in names, names.get("desc") or "")

    best = min(map(cost, paths))
    paths = [path for path in paths if cost(path) == best]
    if len(paths) > 1:
        raise InputError(
            f"{len(paths)} T1 scans of one subject, session and run: "
            f"{', '.join(map(str, paths))}; expected one, name the ones to take with "
            "wildcards"
        )
    return paths[0]


def bids_root(path):
    """Give the folder above ``sub-X``, or the file's own."""
    for folder in path.parents:
        if folder.name.startswith("sub-"):
            return folder.parent
    return path.parent


def _mask_of(image, masks):
    """Find the brain mask with the same entities, the nearest folder first."""
    wanted = {k: v for k, v in entities(image).items() if k not in ("desc", "suffix")}
    found = []
    for path in masks:
        names = entities(path)
        names.pop("suffix")
        kind = names.pop("desc", None) or names.pop("label", None)
        if names == wanted and (kind or "brain") == "brain":
            found.append(path)
    return min(found, key=lambda p: (p.parent != image.parent, str(p)), default=None)


def read_covariates(root, subject, session=None):
    """Read a subject's row of participants.tsv, and of its sessions.tsv.

    Parameters
    ----------
    root : Path
        The dataset; the tables of a derivative may lie in the dataset around it.
    subject : str
        Label without ``sub-``.
    session : str, optional
        Label without ``ses-``.

    Returns
    -------
    dict
        Column name to str or None; empty when there is no table or no such row.
    """
    around = [root, *list(root.parents)[:2]] if "derivatives" in root.parts else [root]
    found = {}
    for folder in reversed(around):
        table = folder / "participants.tsv"
        found |= _row(table, "participant_id", f"sub-{subject}")
        if session is not None:
            table = folder / f"sub-{subject}" / f"sub-{subject}_sessions.tsv"
            found |= _row(table, "session_id", f"ses-{session}")
    return found


def _row(table, column, label):
    """Give one row of a table, less the column that names it; {} if there is none."""
    for row in read_table(table) if table.is_file() else ():
        if row.get(column) in (label, label.split("-", 1)[1]):
            return {name: value for name, value in row.items() if name != column}
    return {}


def read_nfbs(paths):
    """Read NFBS: ``sub-X_ses-Y_T1w.nii.gz`` with ``..._T1w_brainmask.nii.gz``."""
    masks = {NFBS.sub("_T1w", stem(path)): path for path in paths if is_mask(path)}
    records = []
    for path in paths:
        names = entities(path)
        if names["suffix"] == "T1w" and "sub" in names:
            mask = masks.get(stem(path))
            beside = path.with_name(path.name.replace("_T1w.", "_T1w_brainmask."))
            if mask is None and beside.is_file():
                mask = beside
            records.append(Record(names["sub"], path, mask, names.get("ses")))
    return records


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
    for path in sorted(others):
        name = re.sub(r"_(staple|mask|brainmask)$", "", stem(path))
        if name != stem(path):
            masks[name] = path
    return [
        Record(
            subject=match[1],
            image=path,
            mask=masks.get(stem(path)),
            covariates={
                "age": match[4],
                "sex": match[5],
                "vendor": match[2],
                "field": {"15": "1.5", "3": "3"}[match[3]],
            },
        )
        for path, match in scans.items()
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


def read_files(paths):
    """Read files of any name: each is a subject, named after its file.

    BIDS entities in a name are understood. Files of one name in different folders
    (``A/T1.nii.gz``, ``B/T1.nii.gz``) are named after folder and file.

    Parameters
    ----------
    paths : list of Path
        NIfTI files. Those whose name ends in "mask" are masks, not scans.

    Returns
    -------
    list of Record
    """
    scans = [path for path in paths if not is_mask(path)]
    names = [re.sub(r"[_-]?(T1w?|brain)$", "", stem(p)) or stem(p) for p in scans]
    if len(set(names)) < len(names):
        names = [f"{path.parent.name}{name}" for path, name in zip(scans, names)]
    records = []
    for path, name in zip(scans, names):
        found = entities(path)
        label = found.get("sub") or to_label(name)
        session, run = found.get("ses"), found.get("run")
        known = read_covariates(bids_root(path), label, session)
        records.append(Record(label, path, None, session, run, known))
    return records


def is_mask(path):
    """Tell by its name whether a file is a mask."""
    return stem(path).lower().endswith("mask")


LAYOUTS = {
    "bids": read_bids,
    "nfbs": read_nfbs,
    "cc359": read_cc359,
    "ixi": read_ixi,
    "files": read_files,
}


def recognise(paths):
    """Tell the layout of files by their names.

    Parameters
    ----------
    paths : list of Path
        NIfTI files.

    Returns
    -------
    str
        A key of `LAYOUTS`.
    """
    stems = [stem(path) for path in paths]
    for name, pattern in (("nfbs", NFBS), ("cc359", CC359), ("ixi", IXI)):
        if any(pattern.search(each) for each in stems):
            return name
    scans = [path for path in paths if entities(path)["suffix"] == "T1w"]
    return "bids" if any("sub" in entities(path) for path in scans) else "files"
