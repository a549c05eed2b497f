"""Label maps as images: reading, checks, and the way to another grid."""

import numpy as np
from scipy.ndimage import affine_transform

from dipy_synth.data.nifti import read_volume
from dipy_synth.errors import InputError

_EXACT = 2**24  # float32 holds the integers below exactly


def read_label_map(path):
    """Read a label map.

    Parameters
    ----------
    path : str or Path
        A NIfTI image of integers, of any type.

    Returns
    -------
    data : ndarray of shape (X, Y, Z), int32
        The values.
    affine : ndarray of shape (4, 4)
        Voxel-to-world affine, in mm.

    Raises
    ------
    InputError
        If a value is not an integer, or not below 2 ** 24.
    """
    data, affine = read_volume(path)
    return as_label_map(data, path), affine


def as_label_map(data, name="labels"):
    """Return an array as a label map, int32; refuse other numbers.

    `name` is what an error calls it.
    """
    data = np.asarray(data)
    if data.dtype.kind not in "biuf":
        raise InputError(f"{name}: {data.dtype} values; expected integers")
    with np.errstate(invalid="ignore"):
        bad = ~np.isfinite(data) | (data != np.rint(data))
    if bad.any():
        raise InputError(
            f"{name}: {np.count_nonzero(bad)} voxels, such as {data[bad][0]:g}, are no "
            "integers; expected a label map, each voxel the number of its label"
        )
    if np.abs(data).max(initial=0) >= _EXACT:
        raise InputError(f"{name}: expected labels below {_EXACT}")
    return data.astype("int32")


def resample_labels(maps, matrix, shape):
    """Resample a label map by the nearest voxel: int32, 0 outside of the source.

    `matrix` maps a target voxel to a source voxel, see `Grid.voxel_map`.
    """
    return affine_transform(
        np.asarray(maps, "int32"),
        matrix[:3, :3],
        matrix[:3, 3],
        output_shape=tuple(shape),
        order=0,
    )


def label_millilitres(maps, affine):
    """Compute the volume of each value of a label map in mL: dict of int to float."""
    size = abs(np.linalg.det(affine[:3, :3])) / 1000
    values, counts = np.unique(maps, return_counts=True)
    return dict(zip(values.tolist(), (counts * size).tolist()))


def smallest_type(maps):
    """Return a label map in the smallest of uint8, int16 and int32 that holds it."""
    low, high = int(maps.min(initial=0)), int(maps.max(initial=0))
    if 0 <= low and high < 2**8:
        return maps.astype("uint8")
    return maps.astype("int16" if -(2**15) <= low and high < 2**15 else "int32")
