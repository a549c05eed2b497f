"""Images where arrays are expected: nibabel's, and paths of files."""

import os
from pathlib import Path

from nibabel import orientations
from nibabel.spatialimages import SpatialImage
import numpy as np

from dipy_synth.data.headers import read_affine
from dipy_synth.data.nifti import open_nifti, read_voxels
from dipy_synth.errors import InputError
from dipy_synth.utils.rows import as_rows


def is_image(value):
    """Return whether a value is an image of nibabel or the path of one: bool."""
    return isinstance(value, (str, os.PathLike, SpatialImage))


def read_image(image):
    """Read the voxels and the affine of an image, as they are stored.

    Parameters
    ----------
    image : str, Path or nibabel image
        One volume.

    Returns
    -------
    data : ndarray of shape (X, Y, Z), float32
        Scaled as the header says.
    affine : ndarray of shape (4, 4)
        Voxel-to-world affine, in mm.

    Raises
    ------
    InputError
        If the file cannot be read, or it is not one real-valued volume.
    """
    if not isinstance(image, SpatialImage):
        opened = open_nifti(Path(image))
        return read_voxels(opened, image), read_affine(opened)[0]
    data = read_voxels(image, image.get_filename() or type(image).__name__)
    return data, np.asarray(image.affine, float)


def as_volume(value):
    """Return one volume as an array.

    Parameters
    ----------
    value : array_like, str, Path or nibabel image
        A volume. The axes of an image are turned to run right, anterior, superior, as
        those of prepared volumes do; arrays are taken as they are.

    Returns
    -------
    ndarray
        (*shape); float32 where `value` is an image.
    """
    if not is_image(value):
        return np.asarray(value)
    data, affine = read_image(value)
    return orientations.apply_orientation(data, orientations.io_orientation(affine))


def as_volumes(values):
    """Return volumes as an array, or as rows that are read when they are needed.

    Parameters
    ----------
    values : array_like, VolumeRows, or sequence of str, Path or nibabel image
        Volumes; one image stands for one volume, see `as_volume`.

    Returns
    -------
    ndarray or VolumeRows
        (n, *shape); (*shape) of one image.

    Raises
    ------
    InputError
        If images differ in shape.
    """
    if is_image(values):
        return as_volume(values)
    if not isinstance(values, (list, tuple)) or not any(map(is_image, values)):
        return as_rows(values)
    volumes = [as_volume(value) for value in values]
    shapes = sorted({volume.shape for volume in volumes})
    if len(shapes) > 1:
        raise InputError(
            f"images of shapes {', '.join(map(str, shapes))}: expected one shape"
        )
    return np.stack(volumes)
