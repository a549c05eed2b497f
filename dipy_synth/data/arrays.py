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
    """Read an image, or its file, as it is stored: voxels, scaled, and affine.

    They are float32 (X, Y, Z), and voxel to world in mm, (4, 4). A file that cannot be
    read, or an image that is not one real-valued volume, is an InputError.
    """
    if not isinstance(image, SpatialImage):
        opened = open_nifti(Path(image))
        return read_voxels(opened, image), read_affine(opened)[0]
    data = read_voxels(image, image.get_filename() or type(image).__name__)
    return data, np.asarray(image.affine, float)


def as_volume(value):
    """Return one volume (*shape) as an array; arrays are taken as they are.

    The axes of an image, of nibabel or in a file, are turned to run right, anterior,
    superior, as those of prepared volumes do; its values are float32.
    """
    if not is_image(value):
        return np.asarray(value)
    data, affine = read_image(value)
    return orientations.apply_orientation(data, orientations.io_orientation(affine))


def as_volumes(values):
    """Return volumes as an array (n, *shape), or as rows that are read when needed.

    Images are read as by `as_volume` and must have one shape; a single one stands for
    one volume (*shape).
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
