"""The files of a prepared cohort: a BIDS derivative, written and read here only."""

import logging
import os
from pathlib import Path
import re

import numpy as np

from dipy_synth import __version__
from dipy_synth.data.label_maps import read_label_map, smallest_type
from dipy_synth.data.label_table import TABLE, Labels, read_names
from dipy_synth.data.nifti import read_volume, write_volume
from dipy_synth.data.preprocess import PreparedT1
from dipy_synth.data.preprocess_config import PreprocessConfig
from dipy_synth.data.records import bids_root
from dipy_synth.errors import InputError
from dipy_synth.grid import template_space
from dipy_synth.utils.derivative import OutputFolder, SourceLink
from dipy_synth.utils.files import file_hash, read_json, write_json

logger = logging.getLogger("dipy_synth")

KIND = "prepared cohort"
IMAGE, MASK = "_desc-prepared_T1w.nii.gz", "_desc-brain_mask.nii.gz"
LABEL_MAP = "_dseg.nii.gz"
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
    """Return the path of a scan's prepared volume.

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
    """Return the path of the prepared volume to be written for a scan."""
    space = template_space(preprocessing.to_config())
    entity = f"_space-{space}" if space else ""
    return Path(root) / key.split("_")[0] / "anat" / f"{key}{entity}{IMAGE}"


def _key_of(path):
    return _AFTER_KEY.sub("", path.name)


def sidecar_path(image):
    """Return the path of a prepared volume's sidecar, a JSON file."""
    return Path(str(image).removesuffix(".nii.gz") + ".json")


def mask_path(image):
    """Return the path of a prepared volume's brain mask."""
    return Path(str(image).removesuffix(IMAGE) + MASK)


def label_path(image):
    """Return the path of a prepared volume's label map, which may not exist."""
    return Path(str(image).removesuffix(IMAGE) + LABEL_MAP)


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
    """Return whether `dipy_preprocess_t1` wrote a folder: bool."""
    path = Path(folder) / "dataset_description.json"
    content = (read_json(path).get("DipySynth") or {}) if path.is_file() else {}
    return "Preprocessing" in content


def _is_whole(image):
    """Return whether a prepared scan has all its files."""
    files = (image, mask_path(image), sidecar_path(image))
    return all(path.is_file() for path in files)


def source_hash(record):
    """Hash the bytes of a scan, of its mask and of its label map: str."""
    return file_hash(*record.files)


def space_of(align):
    """Return the NIfTI code of the affines of an alignment, None if unknown: str."""
    return "mni" if template_space({"align": align}) else "aligned"


def space_of_model(config):
    """Return the NIfTI code of the affines of a model's volumes, see `space_of`."""
    return space_of((config.get("preprocessing") or {}).get("align"))


def write_prepared(root, record, prepared, preprocessing, *, source):
    """Write one prepared scan; last its sidecar, which marks it done.

    Beside the volume there are its mask and, where it has one, its label map.

    Parameters
    ----------
    root : str or Path
        The prepared cohort.
    record : Record
        The scan it was made from.
    prepared : PreparedT1
        The prepared scan.
    preprocessing : PreprocessConfig
        Its preprocessing.
    source : SourceLink
        Link to the scan, see `link_source`.
    """
    image = _target_path(root, record.key, preprocessing)
    sidecar_path(image).unlink(missing_ok=True)
    uris = [source.uri(path) for path in record.files]
    _write_mask(image, prepared, preprocessing, uris)
    if prepared.label_map is not None:
        _write_label_map(image, prepared, preprocessing, uris)
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
    """Write the brain mask of a prepared volume, and its sidecar (BIDS)."""
    path = mask_path(image)
    content = {
        "Description": "Brain mask on the grid of the prepared volume",
        "Type": "Brain",
        "Sources": uris,
    }
    write_json(sidecar_path(path), content)
    mask = prepared.mask.astype(np.uint8)
    write_volume(path, mask, prepared.affine, space=space_of(preprocessing.align))


def _write_label_map(image, prepared, preprocessing, uris):
    """Write the label map of a prepared volume, and its sidecar (BIDS)."""
    path, maps = label_path(image), smallest_type(prepared.label_map)
    content = {
        "Description": "Labels on the grid of the prepared volume, by nearest voxels",
        "Sources": uris,
        "Labels": np.unique(maps).tolist(),
    }
    write_json(sidecar_path(path), content)
    write_volume(path, maps, prepared.affine, space=space_of(preprocessing.align))


def write_label_table(root, names=None):
    """Write dseg.tsv: the labels of all prepared scans; nothing without any.

    Parameters
    ----------
    root : Path
        The prepared cohort.
    names : dict of int to str, optional
        Names of labels; others keep those that the table has.
    """
    images = [prepared_path(root, key) for key in prepared_keys(root)]
    sidecars = [sidecar_path(label_path(image)) for image in images]
    there = [read_json(path) for path in sidecars if path.is_file()]
    values = {value for sidecar in there for value in sidecar["Labels"]}
    if values:
        labels = Labels.of(values, {**read_names(root), **(names or {})})
        labels.write(Path(root) / TABLE)


def read_prepared(image):
    """Read a prepared scan, for instance to resample it to native space.

    Parameters
    ----------
    image : str or Path
        The prepared volume, ``..._desc-prepared_T1w.nii.gz``.

    Returns
    -------
    PreparedT1
    """
    sidecar = read_json(sidecar_path(image))
    data, affine = read_volume(image)
    labelled = label_path(image)
    return PreparedT1(
        data=data,
        mask=read_volume(mask_path(image))[0] > 0,
        affine=affine,
        prepared_to_native=np.array(sidecar["PreparedToNative"]),
        intensity_range=tuple(sidecar["IntensityRange"]),
        native_shape=tuple(sidecar["NativeShape"]),
        native_affine=np.array(sidecar["NativeAffine"]),
        brain_volume=sidecar["BrainVolume"],
        brain=sidecar.get("BrainFoundBy", ""),
        correlation=sidecar.get("AlignmentCorrelation"),
        warnings=tuple(sidecar.get("Warnings") or ()),
        label_map=read_label_map(labelled)[0] if labelled.is_file() else None,
    )


def is_done(root, record, preprocessing):
    """Return whether a scan is prepared already, by the same preprocessing.

    Parameters
    ----------
    root : str or Path
        The prepared cohort.
    record : Record
        The scan.
    preprocessing : PreprocessConfig
        The preprocessing of this run.

    Returns
    -------
    bool

    Raises
    ------
    InputError
        If the prepared scan is of other files.
    """
    image = _target_path(root, record.key, preprocessing)
    if not _is_whole(image):
        return False
    path = sidecar_path(image)
    sidecar = read_json(path)
    if sidecar.get("SourceHash") != source_hash(record):
        raise InputError(
            f"{path}: prepared from other files ({', '.join(sidecar['Sources'])}, or "
            f"their bytes have changed) than {record.image}; expected --force to "
            "prepare it anew, or another out_dir"
        )
    return PreprocessConfig.from_config(sidecar.get("Preprocessing")) == preprocessing


def forget(root, record):
    """Remove the files of a scan that is to be prepared anew.

    If it then fails, or the run is killed, no volume of other preprocessing must stay
    in the cohort.

    Parameters
    ----------
    root : Path
        The prepared cohort.
    record : Record
        The scan.
    """
    image = prepared_path(root, record.key)
    for path in (image, mask_path(image), label_path(image)):
        path.unlink(missing_ok=True)
        sidecar_path(path).unlink(missing_ok=True)


def check_output(root, keys, preprocessing, *, force):
    """Refuse to mix two kinds of preprocessing, or to write into a foreign folder.

    Parameters
    ----------
    root : Path
        The prepared cohort.
    keys : set of str
        Keys of the scans of this run.
    preprocessing : PreprocessConfig
        The preprocessing of this run.
    force : bool
        Whether existing scans may be prepared anew.

    Returns
    -------
    bool
        Whether existing scans are of another preprocessing.

    Raises
    ------
    InputError
        If the folder holds something else, or scans of another preprocessing.
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
    """Link the folder that holds all scans and masks of a run: SourceLink.

    Parameters
    ----------
    root : Path
        The prepared cohort.
    records : list of Record
        The scans.
    """
    files = [path for record in records for path in record.files]
    folders = {bids_root(path.absolute()) for path in files}
    return SourceLink.to(Path(os.path.commonpath(folders)), root=root)


def write_description(root, records, preprocessing, *, source):
    """Write the dataset description; the source's licence is passed on.

    Parameters
    ----------
    root : Path
        The prepared cohort.
    records : list of Record
        The scans.
    preprocessing : PreprocessConfig
        Their preprocessing.
    source : SourceLink
        The link of `link_source`.
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
    """Read the dataset_description.json of the scans: dict, {} if there is none."""
    path = bids_root(records[0].image) / "dataset_description.json"
    return read_json(path) if path.is_file() else {}
