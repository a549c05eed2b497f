"""NIfTI files in and out, with errors that name the file."""

import gzip
import logging
from pathlib import Path
import zlib

import nibabel as nib
import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.utils.files import atomic_path, not_fetched

logger = logging.getLogger("dipy_synth")

# What nibabel, gzip and zlib raise on files that are cut short or are something else.
BROKEN = (
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
)


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
    if image.ndim < 3 or any(n != 1 for n in image.shape[3:]):
        raise InputError(f"{path}: shape {image.shape}, expected three dimensions")
    if image.get_data_dtype().kind not in "biuf":
        raise InputError(
            f"{path}: {image.get_data_dtype()} voxels, expected real numbers"
        )
    if not abs(np.linalg.det(image.affine[:3, :3])) > 1e-9:
        raise InputError(f"{path}: expected an affine that can be inverted")
    return image


def read_volume(path):
    """Read the voxels and the affine of a NIfTI image.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    data : ndarray of float32, (X, Y, Z)
        The volume, scaled as the header says.
    affine : ndarray, (4, 4)
        Voxel-to-world affine, in mm.
    """
    image = open_nifti(path)
    try:
        data = image.get_fdata(dtype=np.float32)
    except BROKEN as error:
        raise InputError(
            f"{path}: the voxels cannot be read, is the file cut short? ({error})"
        ) from error
    return data.reshape(data.shape[:3]), image.affine


def write_volume(path, data, affine):
    """Write a NIfTI image atomically, in mm, with both its affines set.

    Parameters
    ----------
    path : str or Path
        The file.
    data : ndarray, (X, Y, Z)
        The volume; its type is kept.
    affine : ndarray, (4, 4)
        Voxel-to-world affine, in mm.
    """
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, code="scanner")
    image.set_sform(affine, code="scanner")
    with atomic_path(path) as temporary:
        nib.save(image, temporary)


def check_headers(image_path, mask_path=None):
    """Check an image and its mask as far as headers tell, in milliseconds.

    Parameters
    ----------
    image_path : str or Path
        The scan.
    mask_path : str or Path, optional
        Its brain mask.

    Raises
    ------
    InputError
        If a file is not what is expected, or the two do not share one grid.
    """
    image = open_nifti(image_path)
    codes = [int(image.header[name]) for name in ("sform_code", "qform_code")]
    if codes == [0, 0]:
        logger.warning(
            f"{image_path}: the header gives no orientation (sform and qform codes are "
            "0); its axes are taken as left, anterior, superior"
        )
    if mask_path is None:
        return
    mask = open_nifti(mask_path)
    if mask.shape[:3] != image.shape[:3]:
        raise InputError(
            f"{mask_path}: a mask of shape {mask.shape[:3]}, expected that of "
            f"{image_path}, {image.shape[:3]}"
        )
    # Half a tenth of a voxel, at the far corner, is what headers lose by rounding.
    corner = np.array([*image.shape[:3], 1])
    apart = np.abs((mask.affine - image.affine) * corner).sum(axis=1).max()
    if apart > 0.05 * np.linalg.norm(image.affine[:3, :3], axis=0).min():
        raise InputError(
            f"{mask_path}: the mask's affine differs from that of {image_path} by "
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
    data : ndarray of float32, (X, Y, Z)
        The scan.
    affine : ndarray, (4, 4)
        Its voxel-to-world affine, in mm.
    mask : ndarray of bool, (X, Y, Z), or None
        The brain mask.
    """
    check_headers(image_path, mask_path)
    data, affine = read_volume(image_path)
    if mask_path is None:
        return data, affine, None
    mask = read_volume(mask_path)[0] > 0.5
    if not mask.any():
        raise InputError(f"{mask_path}: the brain mask is all zero, expected a brain")
    return data, affine, mask
