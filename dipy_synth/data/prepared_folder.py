"""The folder of a prepared cohort: its checks, its descriptions, and what is done."""

import logging
import os
from pathlib import Path

from dipy_synth.data.label_table import TABLE, Labels, read_names
from dipy_synth.data.prepared import (
    damage,
    is_complete,
    label_path,
    mask_path,
    prepared_keys,
    prepared_path,
    sidecar_path,
    source_hash,
    subject_of,
    target_path,
)
from dipy_synth.data.prepared_tables import read_participants
from dipy_synth.data.preprocess_config import PreprocessConfig
from dipy_synth.data.records import bids_root
from dipy_synth.errors import InputError
from dipy_synth.utils.derivative import OutputFolder, SourceLink, resolve_uri
from dipy_synth.utils.files import file_hash, read_object, read_optional_object

logger = logging.getLogger("dipy")
KIND = "prepared cohort"
# what is read of the description of the scans' dataset, and its types
_FIELDS = {
    **dict.fromkeys(("Name", "Version", "DatasetDOI", "License"), str),
    **dict.fromkeys(("Authors", "SourceDatasets"), list),
}
_OF_A_SCAN = ("NativeShape", "BrainVolume", "IntensityRange")  # in a sidecar
PAGE = ("quality.html", "quality.tsv")  # written into the cohort by the report
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


def is_done(root, record, preprocessing):
    """Return whether a scan is prepared already, by the same preprocessing: bool.

    One whose files are damaged is not, which a warning says. One that was prepared from
    other files is an InputError.
    """
    image = target_path(root, record.key, preprocessing)
    if not is_complete(image):
        return False
    path = sidecar_path(image)
    sidecar = read_object(path, needed={"SourceHash": str, "Preprocessing": dict})
    if sidecar["SourceHash"] != source_hash(record):
        raise InputError(
            f"{path}: prepared from other files ({sidecar.get('Sources')}, or their "
            f"bytes have changed) than {record.image}; expected --force to "
            "prepare it anew, or another out_dir"
        )
    if PreprocessConfig.from_config(sidecar["Preprocessing"]) != preprocessing:
        return False
    if words := damage(image):
        logger.warning(f"{words}; it is prepared anew")
    return not words


def of_other_files(root, records):
    """List the scans whose subject has a row in the table of other files' scans.

    Its values may be those of another person under the same name.
    """
    there = {subject_of(key) for key in prepared_keys(root)}
    table = read_participants(root)
    return [
        record
        for record in records
        if record.subject in table
        and (record.subject not in there or _has_other_files(root, record))
    ]


def _has_other_files(root, record):
    """Return whether a prepared scan is there, made of other files: bool."""
    path = sidecar_path(prepared_path(root, record.key))
    known = read_optional_object(path).get("SourceHash")
    return known not in (None, source_hash(record))


def remove_prepared(root, record):
    """Remove the files of a scan that is to be prepared anew.

    If it then fails, or the run is killed, no volume of other preprocessing must stay
    in the cohort.
    """
    image = prepared_path(root, record.key)
    for path in (image, mask_path(image), label_path(image)):
        path.unlink(missing_ok=True)
        sidecar_path(path).unlink(missing_ok=True)


def check_output(root, keys, preprocessing, *, force):
    """Refuse to mix two kinds of preprocessing, or to write into a foreign folder.

    `keys` are those of the scans of this run, which `force` may prepare anew. Return
    whether existing scans are of another preprocessing.
    """
    folder = OutputFolder(root, KIND)
    before = folder.read()
    if before is not None:  # new options have defaults
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
    """Link the folder that holds all scans and masks of a run: SourceLink."""
    files = [path for record in records for path in record.files]
    folders = {bids_root(path.absolute()) for path in files}
    return SourceLink.to(Path(os.path.commonpath(folders)), root=root)


def warn_of_namesakes(root, records, links):
    """Warn of subjects with scans of two datasets, in this run or with an earlier one.

    `links` are those of `link_source`, by which the earlier scans are found.
    """
    scans = [(record.subject, record.image) for record in records]
    keys, subjects = {record.key for record in records}, {s for s, _ in scans}
    for key in set(prepared_keys(root)) - keys:
        subject = subject_of(key)
        image = source_of(root, key, links) if subject in subjects else None
        if image is not None:
            scans.append((subject, image))
    datasets = {}
    for subject, image in scans:
        if "derivatives" not in image.parts:
            places = datasets.setdefault(subject, {})
            places.setdefault(os.path.realpath(bids_root(image)), image)
    several = [list(places.values()) for places in datasets.values() if len(places) > 1]
    if several:
        first = " and ".join(map(str, several[0][:3]))
        more = f" ({len(several)} such subjects)" if len(several) > 1 else ""
        logger.warning(
            f"{first} are of one subject by their labels, in several datasets; is that "
            f"one person? Two persons need two labels{more}"
        )


def warn_of_copies(root, keys):
    """Warn of one scan under two names, also of an earlier run, or in other files.

    A scan is known by its shape, the volume of its brain and its range of intensities.
    `keys` are those of the present run, of whose equal files the reader warns.
    """
    found, hashes = {}, {}
    for key in prepared_keys(root):
        sidecar = read_optional_object(sidecar_path(prepared_path(root, key)))
        known = [str(sidecar.get(name, key)) for name in _OF_A_SCAN]
        found.setdefault(tuple(known), []).append(key)
        hashes[key] = sidecar.get("SourceHash", key)
    copies = [group for group in found.values() if len(group) > 1]
    known = [  # to the reader
        group
        for group in copies
        if keys.issuperset(group) and len({hashes[key] for key in group}) == 1
        if len({*map(subject_of, group)}) > 1
    ]
    copies = [group for group in copies if group not in known]
    if copies:
        more = f" ({len(copies)} such scans)" if len(copies) > 1 else ""
        logger.warning(
            f"{root}: {' and '.join(copies[0])} are one scan under several names; "
            "remove one, or start a new out_dir: training and validation must not "
            f"share a person{more}"
        )


def source_of(root, key, links):
    """Return the scan that a prepared volume was made of, None if it is not there.

    `links` are the ``DatasetLinks`` of the cohort's description.
    """
    sidecar = read_optional_object(sidecar_path(prepared_path(root, key)))
    paths = _sources(root, sidecar, links)
    return paths[0] if paths and os.path.lexists(paths[0]) else None


def unchanged_source(root, key, links):
    """Return the scan of a volume as in `source_of`, None if its files have changed.

    The bytes of the scan, of its mask and of its label map are compared.
    """
    sidecar = read_optional_object(sidecar_path(prepared_path(root, key)))
    paths = _sources(root, sidecar, links)
    try:
        same = paths and file_hash(*paths) == sidecar.get("SourceHash")
    except OSError:  # absent, or may not be read
        return None
    return paths[0] if same else None


def _sources(root, sidecar, links):
    """List the files that a volume was made of, the scan first; [] if unknown."""
    uris = sidecar.get("Sources") or ()
    paths = [resolve_uri(uri, root=root, links=links) for uri in uris]
    return [] if None in paths else paths


def write_description(root, records, preprocessing, *, source):
    """Write the dataset description; the source's licence is passed on.

    `source` is the link of `link_source`.
    """
    known = _source_description(records)
    name = known.get("Name", "T1 scans")
    origin = {key: known[key] for key in ("Version",) if key in known}
    if "DatasetDOI" in known:
        origin["DOI"] = known["DatasetDOI"]
    else:
        origin["URL"] = source.address
    OutputFolder(root, KIND).describe(
        _request(preprocessing),
        name=f"{name}, prepared by dipy_synth",
        readme=README,
        ignored=PAGE,
        authors=known.get("Authors") or (f"The authors of: {name}",),
        License=known.get("License"),
        SourceDatasets=[origin, *known.get("SourceDatasets", [])],
        DatasetLinks=source.links,
    )


def _source_description(records):
    """Read what is passed on of the dataset_description.json of the scans: dict."""
    path = bids_root(records[0].image) / "dataset_description.json"
    content = read_optional_object(path)
    return {k: v for k, v in content.items() if isinstance(v, _FIELDS.get(k, ()))}


def write_label_table(root, names=None):
    """Write dseg.tsv, the labels of all prepared scans; nothing without any.

    Labels without a name in `names` keep that of the table.
    """
    images = [prepared_path(root, key) for key in prepared_keys(root)]
    sidecars = [sidecar_path(label_path(image)) for image in images]
    there = [read_object(p, needed={"Labels": list}) for p in sidecars if p.is_file()]
    values = {value for sidecar in there for value in sidecar["Labels"]}
    if values:
        labels = Labels.of(values, {**read_names(root), **(names or {})})
        labels.write(Path(root) / TABLE)
