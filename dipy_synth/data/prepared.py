"""The files of a prepared scan, written and read here only."""

from pathlib import Path
import re

import numpy as np

from dipy_synth import __version__
from dipy_synth.data.label_maps import read_label_map, smallest_type
from dipy_synth.data.nifti import read_volume, write_volume
from dipy_synth.data.preprocess import PreparedT1
from dipy_synth.errors import InputError
from dipy_synth.grid import spatial_reference, template_space
from dipy_synth.utils.derivative import GROUP
from dipy_synth.utils.files import (
    file_hash,
    read_object,
    read_optional_object,
    write_json,
)

IMAGE, MASK = "_desc-prepared_T1w.nii.gz", "_desc-brain_mask.nii.gz"
LABEL_MAP = "_dseg.nii.gz"
# what a sidecar must have
_NEEDED = {
    "PreparedToNative": list,
    "IntensityRange": list,
    "NativeShape": list,
    "NativeAffine": list,
    "BrainVolume": float,
}
_AFTER_KEY = re.compile(rf"(_space-[a-zA-Z0-9]+)?{re.escape(IMAGE)}$")


def subject_of(key):
    """Return the subject of a key, without ``sub-``: str."""
    return key.split("_")[0].removeprefix("sub-")


def prepared_path(root, key):
    """Return the path of a scan's prepared volume.

    It is ``root/sub-X/anat/key[_space-S]_desc-prepared_T1w.nii.gz``, with `key`
    ``sub-X[_ses-Y][_run-Z]``; without a space where there is no such file.
    """
    folder = Path(root) / key.split("_")[0] / "anat"
    found = [path for path in folder.glob(f"{key}*{IMAGE}") if _key_of(path) == key]
    return min(found, default=folder / f"{key}{IMAGE}")


def target_path(root, key, preprocessing):
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
    """List the keys of the scans that are prepared in full: sorted list of str."""
    return [
        _key_of(path)
        for path in sorted(Path(root).glob(f"sub-*/anat/sub-*{IMAGE}"))
        if is_complete(path)
    ]


def is_prepared_cohort(folder):
    """Return whether `dipy_preprocess_t1` wrote a folder: bool."""
    path = Path(folder) / "dataset_description.json"
    group = read_optional_object(path).get(GROUP)
    return isinstance(group, dict) and "Preprocessing" in group


def is_complete(image):
    """Return whether a prepared scan has all its files."""
    files = (image, mask_path(image), sidecar_path(image))
    return all(path.is_file() for path in files)


def damage(image):
    """Say which file of a complete scan cannot be read, and why; "" if all can: str."""
    files = (image, mask_path(image), label_path(image))
    try:
        for path in files:
            if path.is_file():
                read_volume(path)
    except InputError as error:
        return str(error)
    return ""


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
    """Write one prepared scan, its mask and, where it has one, its label map.

    The sidecar is last, and marks it done. `source` links to the scan, see
    `dipy_synth.data.prepared_folder.link_source`.
    """
    image = target_path(root, record.key, preprocessing)
    sidecar_path(image).unlink(missing_ok=True)
    uris = [source.uri(path) for path in record.files]
    space = space_of(preprocessing.align)
    common = {"Sources": uris, **spatial_reference(preprocessing.to_config())}

    def write_beside(path, data, **content):
        write_json(sidecar_path(path), {**content, **common})
        write_volume(path, data, prepared.affine, space=space)

    write_beside(
        mask_path(image),
        prepared.mask.astype(np.uint8),
        Description="Brain mask on the grid of the prepared volume",
        Type="Brain",
    )
    if prepared.label_map is not None:
        write_beside(
            label_path(image),
            smallest_type(prepared.label_map),
            Description="Labels on the grid of the prepared volume, by nearest voxels",
            Labels=np.unique(prepared.label_map).tolist(),
        )
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
        **spatial_reference(preprocessing.to_config()),
    }
    write_json(sidecar_path(image), content)


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
    sidecar = read_object(sidecar_path(image), needed=_NEEDED)
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
