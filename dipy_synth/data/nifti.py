"""Reading and writing of NIfTI files, with errors that name the file."""

import gzip
from pathlib import Path
import zlib

import nibabel as nib
import numpy as np

from dipy_synth.data.intensities import as_mask
from dipy_synth.errors import InputError
from dipy_synth.utils.files import atomic_path, not_fetched

UNITS = {"meter": 1000.0, "micron": 0.001}  # in mm; all else is mm
VOXEL = (0.05, 50.0)  # mm, sizes that a voxel of a head may have
# The space of a volume: its code in the NIfTI header.
SPACES = {"scanner": 1, "aligned": 2, "mni": 4}

# Errors of nibabel, gzip and zlib for files that are truncated or of another kind.
BROKEN = (
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    OSError,
    OverflowError,
    ValueError,
    MemoryError,
)
MOST_VOXELS = 2**31  # of a scan: more than 1200 x 1200 x 1200, which no scanner has
_BLOCK = 1 << 20
# reports of nibabel on the geometry of a header, and what it makes of it
_MENDED = {
    "pixdim[1,2,3] should be non-zero": "0 was taken as 1",
    "pixdim[1,2,3] should be positive": "the sign was dropped",
    "form_code": "it was taken as not set",
}


def open_nifti(path):
    """Open a NIfTI image of three dimensions; the voxels are not read yet.

    Parameters
    ----------
    path : str or Path
        A ``.nii`` or ``.nii.gz`` file. Further axes of length 1 are dropped.

    Returns
    -------
    nibabel.Nifti1Image

    Raises
    ------
    InputError
        If the file is absent, not NIfTI, or not one real-valued volume.
    """
    path = Path(path)
    if problem := not_fetched(path):
        raise InputError(f"{path}: {problem}")
    if not path.is_file():
        raise InputError(f"{path}: no such file (expected a NIfTI image)")
    try:
        image = nib.load(path)
    except BROKEN as error:
        raise InputError(f"{path}: not a readable NIfTI image ({error})") from error
    if not isinstance(image, nib.Nifti1Pair):
        raise InputError(f"{path}: {type(image).__name__}, expected a NIfTI image")
    _check_volume(image, path)
    if not _invertible(read_affine(image)[0]):
        raise InputError(f"{path}: expected an affine that can be inverted")
    return image


def _header_faults(image):
    """Describe what nibabel changes of a header's geometry as it opens a file."""
    name = image.file_map.get("header", image.file_map["image"]).filename
    size = image.header.structarr.dtype.itemsize
    with nib.openers.ImageOpener(name) as stream:
        found = type(image.header).diagnose_binaryblock(stream.read(size))
    return tuple(
        f"header: {line}; {mended}"
        for line in found.splitlines()
        for report, mended in _MENDED.items()
        if report in line
    )


def read_affine(image):
    """Read the affine of an image in mm, and note contradictions of its header.

    Parameters
    ----------
    image : nibabel.Nifti1Pair
        The image.

    Returns
    -------
    affine : ndarray of shape (4, 4)
        Voxel-to-world affine, in mm: of the sform, else the qform, else the voxel
        sizes alone. Those that are not set or cannot be inverted are skipped; all
        zero where none is left.
    notes : tuple of str
        Contradictions and assumptions, each with the choice that was made.
    """
    header = image.header
    known = {name: _coded(image, name) for name in ("sform", "qform")}
    known = {name: affine for name, affine in known.items() if affine is not None}
    notes = [_disagreement(image.shape, header, known)]
    broken = [
        name
        for name in ("sform", "qform")
        if int(header[f"{name}_code"]) > 0 and name not in known
    ]
    if broken and not known:
        return np.zeros((4, 4)), ()
    notes += [f"the {name} cannot be inverted and was not taken" for name in broken]
    if not known:
        notes.append(
            "the header gives no orientation (no sform, no qform); its axes are taken "
            "as left, anterior, superior"
        )
    affine = next(iter(known.values()), header.get_base_affine())
    factor, words = _unit(header, affine)
    affine = np.diag([factor] * 3 + [1.0]) @ affine
    return affine, tuple(filter(None, [*notes, words]))


def _coded(image, name):
    """Read the sform or the qform; None where it is not set, or not spatial."""
    try:
        affine = getattr(image, f"get_{name}")(coded=True)[0]
    except BROKEN:
        return None
    return affine if affine is not None and _invertible(affine) else None


def _invertible(affine):
    finite = np.all(np.isfinite(affine))
    return bool(finite and abs(np.linalg.det(affine[:3, :3])) > 1e-30)


def _disagreement(shape, header, known):
    """Describe how far sform, qform and voxel sizes disagree; "" if they agree."""
    if not known:
        return ""
    taken, affine = next(iter(known.items()))
    sizes, zooms = nib.affines.voxel_sizes(affine), np.abs(header.get_zooms()[:3])
    words = []
    if "qform" in known and taken == "sform":
        corner = np.array([*np.array(shape[:3]) - 1, 1])
        corners = (corner * [*places, 1] for places in np.ndindex(2, 2, 2))
        difference = affine - known["qform"]
        apart = max(np.linalg.norm((difference @ c)[:3]) for c in corners)
        if apart > 0.1 * sizes.min():
            words.append(f"sform and qform disagree by up to {apart:.3g} mm")
    if np.any(np.abs(sizes - zooms) > 0.01 * sizes):
        words.append(
            f"the {taken} has voxels of {_sizes(sizes)}, pixdim says {_sizes(zooms)}"
        )
    return f"{'; '.join(words)}; the {taken} was taken" if words else ""


def _sizes(values):
    return " x ".join(f"{value:.3g}" for value in values)


def _unit(header, affine):
    """Return the factor to mm, and a note where the unit is another one."""
    code = int(header["xyzt_units"]) & 7  # the other bits are the unit of time
    if code not in nib.nifti1.unit_codes.value_set():
        return 1.0, f"the header's unit has the unknown code {code}; taken as mm"
    unit = nib.nifti1.unit_codes.label[code]
    if unit not in UNITS:
        return 1.0, ""
    factor, sizes = UNITS[unit], nib.affines.voxel_sizes(affine)
    possible = np.all((sizes * factor >= VOXEL[0]) & (sizes * factor <= VOXEL[1]))
    words = f"the header's unit is {unit} for voxels of {_sizes(sizes)}"
    if possible:
        return factor, f"{words}; they were turned to mm"
    return 1.0, f"{words}, which cannot be; mm was taken"


def read_volume(path):
    """Read the voxels and the affine of a NIfTI image.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    data : ndarray of shape (X, Y, Z), float32
        The volume, with the scaling of the header applied.
    affine : ndarray of shape (4, 4)
        Voxel-to-world affine, in mm.
    """
    image = open_nifti(path)
    return read_voxels(image, path), read_affine(image)[0]


def read_voxels(image, name):
    """Read the voxels of an image.

    Parameters
    ----------
    image : nibabel image
        One volume; further axes of length 1 are dropped.
    name : str or Path
        What an error calls it.

    Returns
    -------
    ndarray of shape (X, Y, Z), float32
        Scaled as the header says.
    """
    _check_volume(image, name)
    try:
        data = image.get_fdata(dtype=np.float32, caching="unchanged")
        if nib.is_proxy(image.dataobj):
            _check_gzip(image.file_map["image"].filename)
    except BROKEN as error:
        raise InputError(
            f"{name}: the voxels cannot be read, is the file cut short? ({error})"
        ) from error
    return data.reshape(data.shape[:3])


def _check_gzip(path):
    """Read a ``.gz`` file to its end, where its checksum is, which nibabel does not."""
    if str(path).lower().endswith(".gz"):
        with gzip.open(path) as stream:
            while stream.read(_BLOCK):
                pass


def _check_volume(image, name):
    """Refuse an image that is not one real-valued volume."""
    if image.ndim < 3 or any(n != 1 for n in image.shape[3:]):
        raise InputError(f"{name}: shape {image.shape}, expected three dimensions")
    if not 0 < np.prod(image.shape, dtype=float) <= MOST_VOXELS:
        raise InputError(
            f"{name}: shape {image.shape}, expected 1 to {MOST_VOXELS} voxels"
        )
    if image.get_data_dtype().kind not in "biuf":
        raise InputError(
            f"{name}: {image.get_data_dtype()} voxels, expected real numbers"
        )


def nifti_image(data, affine, *, space="scanner"):
    """Make a NIfTI image, in mm, with both its affines set.

    Parameters
    ----------
    data : ndarray of shape (X, Y, Z)
        The volume; its type is kept.
    affine : ndarray of shape (4, 4)
        Voxel-to-world affine, in mm.
    space : {"scanner", "aligned", "mni"}, optional
        World space, for the codes of the header: the scanner's, that of other volumes,
        or MNI152.

    Returns
    -------
    nibabel.Nifti1Image
    """
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, code=SPACES[space])
    image.set_sform(affine, code=SPACES[space])
    return image


def write_volume(path, data, affine, *, space="scanner"):
    """Write a NIfTI image atomically, see `nifti_image`.

    Parameters
    ----------
    path : str or Path
        The file.
    data : ndarray of shape (X, Y, Z)
        The volume; its type is kept.
    affine : ndarray of shape (4, 4)
        Voxel-to-world affine, in mm.
    space : {"scanner", "aligned", "mni"}, optional
        World space.
    """
    image = nifti_image(data, affine, space=space)
    with atomic_path(path) as temporary:
        nib.save(image, temporary)


def check_headers(image_path, mask_path=None, label_path=None):
    """Check an image, its mask and its label map by their headers, in milliseconds.

    Parameters
    ----------
    image_path : str or Path
        The scan.
    mask_path : str or Path, optional
        Its brain mask.
    label_path : str or Path, optional
        Its label map.

    Returns
    -------
    tuple of str
        Contradictions and gaps of the scan's header, see `read_affine`.

    Raises
    ------
    InputError
        If a file is not a readable volume, or they do not share one grid.
    """
    image = open_nifti(image_path)
    affine, notes = read_affine(image)
    notes = (*_header_faults(image), *notes)
    for path, kind in ((mask_path, "mask"), (label_path, "label map")):
        if path is not None:
            _check_same_grid(path, kind, image, affine, image_path)
    return notes


def _check_same_grid(path, kind, image, affine, image_path):
    """Refuse a mask or a label map that is not on the voxels of its image."""
    mask = open_nifti(path)
    if mask.shape[:3] != image.shape[:3]:
        raise InputError(
            f"{path}: a {kind} of shape {mask.shape[:3]}, expected that of "
            f"{image_path}, {image.shape[:3]}"
        )
    # Rounding in headers moves the far corner by less than this part of a voxel.
    corner = np.array([*image.shape[:3], 1])
    apart = np.abs((read_affine(mask)[0] - affine) * corner).sum(axis=1).max()
    if apart > 0.05 * nib.affines.voxel_sizes(affine).min():
        raise InputError(
            f"{path}: the {kind}'s affine differs from that of {image_path} by "
            f"up to {apart:.2f} mm; expected the same affine"
        )


def read_scan(image_path, mask_path=None):
    """Read a scan and its brain mask.

    Parameters
    ----------
    image_path : str or Path
        The scan.
    mask_path : str or Path, optional
        Its brain mask.

    Returns
    -------
    data : ndarray of shape (X, Y, Z), float32
        The scan.
    affine : ndarray of shape (4, 4)
        Its voxel-to-world affine, in mm.
    mask : ndarray of shape (X, Y, Z), bool, or None
        The brain mask.
    """
    check_headers(image_path, mask_path)
    data, affine = read_volume(image_path)
    if mask_path is None:
        return data, affine, None
    mask = as_mask(read_volume(mask_path)[0])
    if not mask.any():
        raise InputError(f"{mask_path}: the brain mask is all zero, expected a brain")
    return data, affine, mask
