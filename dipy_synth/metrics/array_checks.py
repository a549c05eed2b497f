"""What the measures of volumes share: checks, the brain's voxels, coarser volumes."""

import numpy as np

from dipy_synth.data.arrays import as_volume, as_volumes
from dipy_synth.errors import InputError

THRESHOLD = 0.04  # of the range: the fringe a decoder leaves around a brain is below


def check_volumes(volumes, name, *, least=1, shape=None):
    """Check a cohort of volumes before any metric is made of it.

    Parameters
    ----------
    volumes : array_like, or sequence of images, (n, *shape)
        Volumes in [0, 1]; images as of `dipy_synth.data.arrays.as_volumes`.
    name : str
        What an error calls them.
    least : int, optional
        How many there must be.
    shape : tuple of int, optional
        The shape each must have.

    Returns
    -------
    ndarray or VolumeRows, (n, *shape)
        The same, of their own type.

    Raises
    ------
    InputError
        If there are too few, they are on another grid, or a value is not finite.
    """
    volumes = as_volumes(volumes)
    if volumes.ndim < 3 or len(volumes) < least:
        raise InputError(
            f"{name}: array {volumes.shape}; expected {least} or more volumes, (n, ...)"
        )
    if shape is not None and volumes.shape[1:] != tuple(shape):
        raise InputError(
            f"{name}: volumes of {volumes.shape[1:]}; expected {tuple(shape)}, the "
            "grid of those they are compared with"
        )
    for index, volume in enumerate(volumes):
        if not np.all(np.isfinite(volume)):
            raise InputError(f"{name}: volume {index} has values that are not finite")
    return volumes


def check_features(features, name, *, least=2, width=None):
    """Check a table of features.

    Parameters
    ----------
    features : array_like, (n, d)
        One row per volume.
    name : str
        What an error calls it.
    least : int, optional
        How many rows there must be.
    width : int, optional
        The number of columns there must be.

    Returns
    -------
    ndarray of float64, (n, d)

    Raises
    ------
    InputError
        If it is not such a table, or a value is not finite.
    """
    features = np.asarray(features, "float64")
    if features.ndim != 2 or len(features) < least or features.shape[1] < 1:
        raise InputError(
            f"{name}: array {features.shape}; expected (n, d) with n of {least} or more"
        )
    if width is not None and features.shape[1] != width:
        raise InputError(
            f"{name}: {features.shape[1]} features; expected {width}, as those they "
            "are compared with"
        )
    if not np.all(np.isfinite(features)):
        raise InputError(f"{name}: features that are not finite")
    return features


def foreground(volume):
    """Give the voxels of the brain: ndarray of bool (*shape), above 4 % of the range.

    Parameters
    ----------
    volume : array or image, (*shape)
        A volume in [0, 1], the background 0.
    """
    return as_volume(volume) > THRESHOLD


def correlation(volume, other):
    """Pearson correlation over the voxels where one of two volumes is not 0.

    The background that both share would only flatter, the more the larger the grid.

    Parameters
    ----------
    volume, other : array, (*shape)
        Two volumes, not negative, whose background is 0.

    Returns
    -------
    float
        0 where one of them is constant.
    """
    volume, other = as_volume(volume), as_volume(other)
    either = (volume > 1e-6) | (other > 1e-6)  # a sum less its part is not exactly 0
    a, b = volume[either].astype(float), other[either].astype(float)
    if not a.size:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norms) if norms else 0.0


def block_mean(volumes, factor):
    """Average blocks of voxels; what is left over at the far ends is dropped.

    Parameters
    ----------
    volumes : array, (n, *shape)
        Volumes or images.
    factor : int
        Voxels in a block, along each axis.

    Returns
    -------
    ndarray of float32, (n, *(shape // factor))
    """
    volumes = np.asarray(volumes)
    small = [size // factor for size in volumes.shape[1:]]
    whole = volumes[(slice(None), *(slice(n * factor) for n in small))]
    blocks = [part for n in small for part in (n, factor)]
    odd = tuple(range(2, 2 + 2 * len(small), 2))
    return whole.reshape(-1, *blocks).mean(axis=odd, dtype="float32")
