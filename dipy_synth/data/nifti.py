"""Reading and writing of NIfTI files, with errors that name the file."""

from contextlib import contextmanager
import gzip
import logging
import os
from pathlib import Path

import nibabel as nib
from nibabel.arrayproxy import ArrayProxy
import numpy as np

from dipy_synth.data.headers import (
    BROKEN,
    TOLERANCE,
    affine_distance,
    header_faults,
    is_invertible,
    read_affine,
)
from dipy_synth.data.intensities import as_mask
from dipy_synth.data.records import CONVERT
from dipy_synth.errors import InputError
from dipy_synth.utils.files import atomic_path, check_file

# The space of a volume: its code in the NIfTI header.
SPACES = {"scanner": 1, "aligned": 2, "mni": 4}
# What a header says of a volume that is no scan, lest its sidecar is lost.
SYNTHETIC = "synthetic, not a scan (dipy_synth)"

ANALYZE = "; Analyze has no orientation: convert it, and see that left stays left"
MOST_SCANNED = 2**31  # of a scan: more than 1200 x 1200 x 1200, which no scanner has
_BLOCK = 1 << 20


def open_nifti(path):
    """Open a NIfTI image of three dimensions; the voxels are not read yet.

    Further axes of length 1 are allowed. A file that is absent, not NIfTI, or not one
    real-valued volume is an InputError.
    """
    path = Path(path)
    check_file(path, "a NIfTI image")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: no permission to read it")
    try:
        with _quiet():
            image = nib.load(path)
    except BROKEN as error:
        raise InputError(f"{path}: not a readable NIfTI image ({error})") from error
    if not isinstance(image, nib.Nifti1Pair):
        how = f"; {CONVERT}" * isinstance(image, nib.MGHImage)
        how += ANALYZE * isinstance(image, nib.AnalyzeImage)
        raise InputError(f"{path}: {type(image).__name__}, expected NIfTI{how}")
    _check_volume(image, path)
    if not is_invertible(read_affine(image)[0]):
        raise InputError(f"{path}: expected an affine that can be inverted")
    return image


@contextmanager
def _quiet():
    """Silence the reports of nibabel, which name no file; see `header_faults`."""
    logger = nib.imageglobals.logger
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def read_volume(path):
    """Read the voxels and the affine of a NIfTI image.

    Parameters
    ----------
    path : str or Path
        A ``.nii`` or ``.nii.gz`` file.

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
    """Read the voxels of an image of one volume: float32 (X, Y, Z).

    They are scaled by the header. `name` is what an error calls the image.
    """
    _check_volume(image, name)
    try:
        with np.errstate(over="ignore"):  # beyond float32: infinite
            data, rest = _read_floats(image)
    except BROKEN as error:
        raise InputError(
            f"{name}: the voxels cannot be read, is the file cut short? ({error})"
        ) from error
    data = data.reshape(data.shape[:3])
    one_slice = np.prod(data.shape[:2]) * image.get_data_dtype().itemsize
    if rest >= one_slice:  # less is padding
        raise InputError(
            f"{name}: the header gives a shape of {data.shape}, and the file has "
            f"{rest} bytes more, {rest // one_slice} slices; expected the whole volume"
        )
    return data


def _read_floats(image):
    """Read voxels; return also how many bytes are left, see `_rest`.

    A ``.gz`` file is read to its end, where the checksum is.
    """
    proxy = image.dataobj
    path = proxy.file_like if type(proxy) is ArrayProxy else None
    if not isinstance(path, (str, os.PathLike)) or image.in_memory:
        return image.get_fdata(dtype=np.float32, caching="unchanged"), 0
    parts = proxy.shape, proxy.dtype, proxy.offset, proxy.slope, proxy.inter
    if str(path).lower().endswith(".gz"):
        with gzip.open(path) as stream:
            return np.asarray(ArrayProxy(stream, parts), np.float32), _rest(stream)
    data = image.get_fdata(dtype=np.float32, caching="unchanged")
    with nib.openers.ImageOpener(path) as stream:
        stream.seek(proxy.offset + data.size * proxy.dtype.itemsize)
        return data, _rest(stream)


def _rest(stream):
    """Return how many bytes a stream has left, 0 if all are 0, as in padding."""
    size, zero = 0, True
    while block := stream.read(_BLOCK):
        size += len(block)
        zero = zero and not block.strip(b"\0")
    return 0 if zero else size


def _check_volume(image, name):
    """Refuse an image that is not one real-valued volume."""
    if image.ndim < 3 or any(n != 1 for n in image.shape[3:]):
        raise InputError(f"{name}: shape {image.shape}, expected three dimensions")
    if not 0 < np.prod(image.shape, dtype=float) <= MOST_SCANNED:
        raise InputError(
            f"{name}: shape {image.shape}, expected 1 to {MOST_SCANNED} voxels"
        )
    if image.get_data_dtype().kind not in "biuf":
        raise InputError(
            f"{name}: {image.get_data_dtype()} voxels, expected real numbers"
        )
    start, header = getattr(image.dataobj, "offset", None), image.header
    if isinstance(image, nib.Nifti1Image) and start in range(header.sizeof_hdr):
        raise InputError(
            f"{name}: the voxels begin at byte {start} (vox_offset), in the header; "
            f"expected {header.single_vox_offset} or more"
        )


def nifti_image(data, affine, *, space="scanner", words=""):
    """Make a NIfTI image, in mm, with both its affines set.

    `space` is the world space, for the codes of the header: the scanner's, that of
    other volumes ("aligned"), or MNI152 ("mni"). `words`, up to 79 characters, say in
    the header (``descrip``) what the image is.
    """
    image = nib.Nifti1Image(data, affine)
    image.header["descrip"] = words
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, code=SPACES[space])
    image.set_sform(affine, code=SPACES[space])
    return image


def write_volume(path, data, affine, *, space="scanner", words=""):
    """Write a volume of any type atomically as NIfTI, see `nifti_image`."""
    image = nifti_image(data, affine, space=space, words=words)
    with atomic_path(path) as temporary:
        nib.save(image, temporary)


def check_headers(image_path, mask_path=None, label_path=None):
    """Check an image, its mask and its label map by their headers, in milliseconds.

    Return contradictions and gaps of the scan's header, see `read_affine`. A file that
    is no readable volume, or on another grid than the scan, is an InputError.
    """
    image = open_nifti(image_path)
    affine, notes = read_affine(image)
    for path, kind in ((mask_path, "mask"), (label_path, "label map")):
        if path is not None:
            _open_beside(path, kind, image, affine, image_path)
    return (*header_faults(image), *notes)


def _open_beside(path, kind, image, affine, image_path):
    """Open a mask or a label map; refuse one that is not on the voxels of its image."""
    mask = open_nifti(path)
    if mask.shape[:3] != image.shape[:3]:
        raise InputError(
            f"{path}: a {kind} of shape {mask.shape[:3]}, expected that of "
            f"{image_path}, {image.shape[:3]}"
        )
    apart = affine_distance(image.shape[:3], read_affine(mask)[0], affine)
    if apart > TOLERANCE * nib.affines.voxel_sizes(affine).min():
        raise InputError(
            f"{path}: the {kind}'s affine differs from that of {image_path} by "
            f"up to {apart:.2f} mm; expected the same affine"
        )
    return mask


def read_scan(image_path, mask_path=None):
    """Read a scan and its brain mask (bool; None without): data, affine, mask."""
    image = open_nifti(image_path)
    data, affine = read_voxels(image, image_path), read_affine(image)[0]
    if mask_path is None:
        return data, affine, None
    mask = _open_beside(mask_path, "mask", image, affine, image_path)
    mask = as_mask(read_voxels(mask, mask_path))
    if not mask.any():
        raise InputError(f"{mask_path}: the brain mask is all zero, expected a brain")
    return data, affine, mask
