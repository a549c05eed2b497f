"""The files of a prepared cohort: a BIDS derivative, written and read here only."""

import logging
import os
from pathlib import Path
import re

import numpy as np

from dipy_synth import __version__
from dipy_synth.data.columns import few
from dipy_synth.data.nifti import read_volume, write_volume
from dipy_synth.data.preprocess import PreparedT1, PreprocessConfig
from dipy_synth.data.records import bids_root, entities
from dipy_synth.data.split import split_subjects
from dipy_synth.errors import InputError
from dipy_synth.grid import template_space
from dipy_synth.utils.derivative import OutputFolder, SourceLink, describe_columns
from dipy_synth.utils.files import file_hash, read_json, write_json
from dipy_synth.utils.tables import read_table, write_table

logger = logging.getLogger("dipy_synth")

KIND = "prepared cohort"
# How studies name the sides; whom they keep for a test must not be trained on.
SIDES = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "development"), "validation"),
    **dict.fromkeys(("test", "testing", "holdout", "held-out"), "validation"),
}
IMAGE, MASK = "_desc-prepared_T1w.nii.gz", "_desc-brain_mask.nii.gz"
PAGE = ("quality.html", "quality.tsv")  # written into the cohort by the report
_AFTER_KEY = re.compile(rf"(_space-[a-zA-Z0-9]+)?{re.escape(IMAGE)}$")
README = """
T1-weighted brains, prepared for training by `dipy_preprocess_t1` of dipy_synth: masked,
corrected for bias field (N4), brought to one grid by a single interpolation, and scaled
to [0, 1] within the brain. Volumes whose names say `space-MNI152NLin2009aSym` are
aligned to that template; `Preprocessing` in dataset_description.json says how (a rigid
alignment keeps the sizes of the subject). Each sidecar has the transform back to the
scan (`PreparedToNative`, mm) and the intensities that became 0 and 1
(`IntensityRange`). Each subject is for training or for validation: column `split` of
participants.tsv. quality.html shows every volume, the highest outlier score first.
"""


def prepared_path(root, key):
    """Find a scan's prepared volume.

    Parameters
    ----------
    root : str or Path
        The prepared cohort.
    key : str
        ``sub-X[_ses-Y][_run-Z]``.

    Returns
    -------
    Path
        ``root/sub-X/anat/key[_space-S]_desc-prepared_T1w.nii.gz``; without a space
        where there is no such file.
    """
    folder = Path(root) / key.split("_")[0] / "anat"
    found = [path for path in folder.glob(f"{key}*{IMAGE}") if _key_of(path) == key]
    return min(found, default=folder / f"{key}{IMAGE}")


def _target_path(root, key, preprocessing):
    """Name the prepared volume that is to be written for a scan."""
    space = template_space(preprocessing.to_config())
    entity = f"_space-{space}" if space else ""
    return Path(root) / key.split("_")[0] / "anat" / f"{key}{entity}{IMAGE}"


def _key_of(path):
    return _AFTER_KEY.sub("", path.name)


def sidecar_path(image):
    """Give the path of a prepared volume's sidecar, a JSON file."""
    return Path(str(image).removesuffix(".nii.gz") + ".json")


def mask_path(image):
    """Give the path of a prepared volume's brain mask."""
    return Path(str(image).removesuffix(IMAGE) + MASK)


def prepared_keys(root):
    """List the keys of the scans that are prepared in full.

    Parameters
    ----------
    root : str or Path
        The prepared cohort.

    Returns
    -------
    list of str
        Sorted.
    """
    return [
        _key_of(path)
        for path in sorted(Path(root).glob(f"sub-*/anat/sub-*{IMAGE}"))
        if _is_whole(path)
    ]


def is_prepared_cohort(folder):
    """Tell whether a folder is what `dipy_preprocess_t1` wrote: bool."""
    path = Path(folder) / "dataset_description.json"
    told = (read_json(path).get("DipySynth") or {}) if path.is_file() else {}
    return "Preprocessing" in told


def _is_whole(image):
    """Tell whether a prepared scan has all its files."""
    files = (image, mask_path(image), sidecar_path(image))
    return all(path.is_file() for path in files)


def source_hash(record):
    """Hash the bytes of a scan and of its mask: str."""
    return file_hash(*(path for path in (record.image, record.mask) if path))


def space_of(align):
    """Return the NIfTI code of the affines of an alignment, None if unknown: str."""
    return "mni" if template_space({"align": align}) else "aligned"


def write_prepared(root, record, prepared, preprocessing, *, source):
    """Write one prepared scan: mask, volume, and last the sidecar that says "done".

    Parameters
    ----------
    root : str or Path
        The prepared cohort.
    record : Record
        The scan it was made from.
    prepared : PreparedT1
        What was made of it.
    preprocessing : PreprocessConfig
        How it was made.
    source : SourceLink
        Where the scan lies, see `link_source`.
    """
    image = _target_path(root, record.key, preprocessing)
    sidecar_path(image).unlink(missing_ok=True)
    uris = [source.uri(path) for path in (record.image, record.mask) if path]
    _write_mask(image, prepared, preprocessing, uris)
    space = space_of(preprocessing.align)
    write_volume(image, prepared.data, prepared.affine, space=space)
    content = {
        "Description": "T1 brain on a common grid, intensities in [0, 1]",
        "Sources": uris,
        "SourceHash": source_hash(record),
        "NativeShape": list(prepared.native_shape),
        "NativeAffine": prepared.native_affine.tolist(),
        "PreparedToNative": prepared.prepared_to_native.tolist(),
        "IntensityRange": list(prepared.intensity_range),
        "BrainVolume": round(prepared.brain_volume, 3),
        "BrainVolumeUnit": "mL",
        "BrainFoundBy": prepared.brain,
        "AlignmentCorrelation": prepared.correlation,
        "Warnings": list(prepared.warnings),
        "SkullStripped": preprocessing.brain != "none",
        "Preprocessing": preprocessing.to_config(),
        "DipySynthVersion": __version__,
    }
    write_json(sidecar_path(image), content)


def _write_mask(image, prepared, preprocessing, uris):
    """Write the brain mask of a prepared volume, and what BIDS asks of a mask."""
    path = mask_path(image)
    content = {
        "Description": "Brain mask on the grid of the prepared volume",
        "Type": "Brain",
        "Sources": uris,
    }
    write_json(sidecar_path(path), content)
    mask = prepared.mask.astype(np.uint8)
    write_volume(path, mask, prepared.affine, space=space_of(preprocessing.align))


def read_prepared(image):
    """Read a prepared scan, for instance to bring it back to native space.

    Parameters
    ----------
    image : str or Path
        The prepared volume, ``..._desc-prepared_T1w.nii.gz``.

    Returns
    -------
    PreparedT1
    """
    told = read_json(sidecar_path(image))
    data, affine = read_volume(image)
    return PreparedT1(
        data=data,
        mask=read_volume(mask_path(image))[0] > 0,
        affine=affine,
        prepared_to_native=np.array(told["PreparedToNative"]),
        intensity_range=tuple(told["IntensityRange"]),
        native_shape=tuple(told["NativeShape"]),
        native_affine=np.array(told["NativeAffine"]),
        brain_volume=told["BrainVolume"],
        brain=told.get("BrainFoundBy", ""),
        correlation=told.get("AlignmentCorrelation"),
        warnings=tuple(told.get("Warnings") or ()),
    )


def is_done(root, record, preprocessing):
    """Tell whether a scan is prepared already, by the same preprocessing.

    Parameters
    ----------
    root : str or Path
        The prepared cohort.
    record : Record
        The scan.
    preprocessing : PreprocessConfig
        What is to be done.

    Returns
    -------
    bool

    Raises
    ------
    InputError
        If the scan there was prepared from other files.
    """
    image = _target_path(root, record.key, preprocessing)
    if not _is_whole(image):
        return False
    sidecar = sidecar_path(image)
    told = read_json(sidecar)
    if told.get("SourceHash") != source_hash(record):
        raise InputError(
            f"{sidecar}: prepared from other files ({', '.join(told['Sources'])}, or "
            f"their bytes have changed) than {record.image}; expected --force to "
            "prepare it anew, or another out_dir"
        )
    return PreprocessConfig.from_config(told.get("Preprocessing")) == preprocessing


def forget(root, record):
    """Remove what is there of a scan that is to be prepared anew.

    It may fail now, or the run be killed: then nothing of other preprocessing must stay
    among those of these.

    Parameters
    ----------
    root : Path
        The prepared cohort.
    record : Record
        The scan.
    """
    image = prepared_path(root, record.key)
    for path in (image, mask_path(image)):
        path.unlink(missing_ok=True)
        sidecar_path(path).unlink(missing_ok=True)


def check_output(root, keys, preprocessing, *, force):
    """Refuse to mix two preparations, or to write into somebody else's folder.

    Parameters
    ----------
    root : Path
        The prepared cohort to be.
    keys : set of str
        Keys of the scans of this run.
    preprocessing : PreprocessConfig
        What is to be done.
    force : bool
        Whether what is there may be prepared anew.

    Returns
    -------
    bool
        Whether what is there was prepared in another way.

    Raises
    ------
    InputError
        If the folder holds something else, or scans prepared in another way.
    """
    folder = OutputFolder(root, KIND)
    before = folder.read()
    if before is not None:  # options that are new have defaults
        known = PreprocessConfig.from_config(before.get("Preprocessing"))
        before = _request(known)
    different = folder.check(_request(preprocessing), before=before, force=force)
    others = sorted(set(prepared_keys(root)) - keys)
    if different and others:
        raise InputError(
            f"{root}: holds {len(others)} scans of other preprocessing, which are "
            f"not part of this run (first {others[0]}); expected another out_dir"
        )
    return bool(different)


def _request(preprocessing):
    return {
        "Grid": preprocessing.grid.to_config(),
        "Preprocessing": preprocessing.to_config(),
    }


def link_source(root, records):
    """Link the folder that holds all scans and masks of a run: SourceLink.

    Parameters
    ----------
    root : Path
        The prepared cohort.
    records : list of Record
        The scans.
    """
    files = [p for record in records for p in (record.image, record.mask) if p]
    folders = {bids_root(path.absolute()) for path in files}
    return SourceLink.to(Path(os.path.commonpath(folders)), root=root)


def write_description(root, records, preprocessing, *, source):
    """Write what describes the dataset; the source's licence is passed on.

    Parameters
    ----------
    root : Path
        The prepared cohort.
    records : list of Record
        The scans.
    preprocessing : PreprocessConfig
        What is done with them.
    source : SourceLink
        As of `link_source`.
    """
    told = _source_description(records)
    name = told.get("Name", "T1 scans")
    origin = {key: told[key] for key in ("Version",) if key in told}
    if "DatasetDOI" in told:
        origin["DOI"] = told["DatasetDOI"]
    else:
        origin["URL"] = source.address
    OutputFolder(root, KIND).describe(
        _request(preprocessing),
        name=f"{name}, prepared by dipy_synth",
        readme=README,
        ignored=PAGE,
        authors=told.get("Authors") or (f"The authors of: {name}",),
        License=told.get("License"),
        SourceDatasets=[origin, *told.get("SourceDatasets", [])],
        DatasetLinks=source.links,
    )


def _source_description(records):
    """Read the dataset_description.json of the scans: dict, {} if there is none."""
    path = bids_root(records[0].image) / "dataset_description.json"
    return read_json(path) if path.is_file() else {}


def read_participants(root):
    """Read participants.tsv of a prepared cohort, its `split` included.

    Parameters
    ----------
    root : str or Path
        The prepared cohort.

    Returns
    -------
    dict
        Subject label to its row (dict of column name to str or None); empty where
        there is no table.

    Raises
    ------
    InputError
        If a subject has no name or two rows, or columns are missing.
    """
    path, table = Path(root) / "participants.tsv", {}
    if not path.is_file():
        return {}
    for row in read_table(path, needed=["participant_id"]):
        label = (row.pop("participant_id") or "").removeprefix("sub-")
        if not label or label in table:
            raise InputError(
                f"{path}: {f'two rows of sub-{label}' if label else 'a nameless row'}; "
                "expected one row a subject"
            )
        table[label] = row
    return table


def read_rows(root, keys):
    """Read what the tables tell of each volume: its subject's row, then its session's.

    Parameters
    ----------
    root : str or Path
        The prepared cohort.
    keys : sequence of str
        As `prepared_keys` gives them.

    Returns
    -------
    list of dict
        Column name to str or None; empty where a subject has no row.
    """
    table, rows = read_participants(root), []
    for key in keys:
        subject, session = key.split("_")[0], entities(key).get("ses")
        row = dict(table.get(subject.removeprefix("sub-"), {}))
        path = Path(root) / subject / f"{subject}_sessions.tsv"
        for own in read_table(path) if session and path.is_file() else ():
            if own.pop("session_id", None) == f"ses-{session}":
                row |= own
        rows.append(row)
    return rows


def write_participants(root, records, **options):
    """Write participants.tsv, and sub-X_sessions.tsv for what differs by session.

    Parameters
    ----------
    root : Path
        The prepared cohort.
    records : list of Record
        Scans that are prepared. Subjects that the table has already keep their side;
        of others the side in a column ``split`` of the study counts.
    **options
        For `dipy_synth.data.split.split_subjects`.
    """
    before = read_participants(root)
    fixed = {subject: row.pop("split", None) for subject, row in before.items()}
    if None in fixed.values():
        raise InputError(f"{root / 'participants.tsv'}: a row without split")
    known = _known_rows(root, records)
    rows = {**before, **_common(known)}
    if not rows:
        return
    if fixed:
        told = ", ".join(options)
        logger.info(f"{len(fixed)} subjects keep their side; {told} are for others")
    fixed = {**_study_split(records, fixed), **fixed}
    split = split_subjects(rows, fixed=fixed, **options)
    table = [
        {"participant_id": f"sub-{s}", **rows[s], "split": split[s]}
        for s in sorted(rows)
    ]
    write_table(root / "participants.tsv", table)
    _describe_participants(root, records, names={name for row in table for name in row})
    for subject, scans in known.items():
        _write_sessions(root, subject, scans, rows[subject])


def _describe_participants(root, records, *, names):
    """Write participants.json, by what the source and an earlier run say of columns."""
    described = {}
    paths = [bids_root(record.image) / "participants.json" for record in records]
    for path in dict.fromkeys([root / "participants.json", *paths]):
        described |= read_json(path) if path.is_file() else {}
    columns = describe_columns(sorted(names), described)
    write_json(root / "participants.json", columns)


def _study_split(records, fixed):
    """Return the side of each subject by the study's own table: dict.

    Empty where its column ``split`` has other words, or one side would be empty.
    """
    told = {}
    for record in records:
        if record.covariates.get("split") is not None:
            told.setdefault(record.subject, set()).add(record.covariates["split"])
    if not told:
        return {}
    words = sorted(set().union(*told.values()))
    sides = {s: {SIDES.get(word.casefold()) for word in t} for s, t in told.items()}
    found = {s: side.pop() for s, side in sides.items() if len(side) == 1}
    if None in found.values() or len({*found.values(), *fixed.values()}) < 2:
        logger.warning(
            f"the study's column split ({few(words)}) is not used: it does not divide "
            "subjects into train and validation; kept as study_split"
        )
        return {}
    n = sum(side == "train" for side in found.values())
    logger.info(
        f"the study's own split is kept ({few(words)}): {n} subjects train, "
        f"{len(found) - n} validate"
    )
    return found


def _known_rows(root, records):
    """Give what is known of each scan of the records' subjects, by subject and key.

    Scans that were prepared before keep what the tables tell of them.
    """
    known = {record.subject: {} for record in records}
    earlier = [
        key
        for key in prepared_keys(root)
        if key.split("_")[0].removeprefix("sub-") in known
    ]
    told = dict(zip(earlier, read_rows(root, earlier)))
    for row in told.values():
        row.pop("split", None)
    told |= {record.key: _renamed(record.covariates) for record in records}
    for key, row in told.items():
        row = {k: v and str(v) for k, v in row.items()}
        known[key.split("_")[0].removeprefix("sub-")][key] = row
    return known


def _renamed(row):
    """Keep the study's own column split under another name."""
    return {{"split": "study_split"}.get(k, k): v for k, v in row.items()}


def _common(known):
    """Give each subject the columns on which its scans agree."""
    rows = {}
    for subject, scans in known.items():
        first, *others = scans.values()
        rows[subject] = {
            k: v for k, v in first.items() if all(row.get(k) == v for row in others)
        }
    return rows


def _write_sessions(root, subject, scans, common):
    """Write the columns of a subject's scans that are not its own, by session."""
    table = {}
    for key, row in scans.items():
        own = {k: v for k, v in row.items() if common.get(k) != v}
        session = entities(key).get("ses")
        if session is not None and own:
            table.setdefault(f"ses-{session}", {}).update(own)
    path = root / f"sub-{subject}" / f"sub-{subject}_sessions.tsv"
    if table:
        rows = [{"session_id": label, **row} for label, row in table.items()]
        write_table(path, rows)
    else:
        path.unlink(missing_ok=True)
