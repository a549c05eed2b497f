"""Shared functions of metrics: checks, foreground, correlation, block means."""

import numpy as np

from dipy_synth.data.arrays import as_volume, as_volumes
from dipy_synth.errors import InputError

THRESHOLD = 0.04  # of the range, above the fringe that a decoder leaves around a brain


def check_volumes(volumes, name, *, least=1, shape=None):
    """Check that there are `least` volumes or more, finite, and of a `shape` if given.

    They are an array (n, *shape), or images as of `dipy_synth.data.arrays.as_volumes`,
    and returned in their own type. `name` is what errors call them.
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
    """Check that features (n, d) are finite, with `least` rows or more: float64.

    Where given, `width` is the expected d. `name` is what errors call them.
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


def check_pair(real, synthetic, what="features", *, least=2):
    """Check tables of real and of synthetic volumes, see `check_features`: two ndarray.

    `what` they hold is their name in errors.
    """
    real = check_features(real, f"{what} of real volumes", least=least)
    name, width = f"{what} of synthetic volumes", real.shape[1]
    return real, check_features(synthetic, name, least=least, width=width)


def foreground(volume):
    """Compute the foreground of a volume in [0, 1], above 4 % of the range: bool."""
    return as_volume(volume) > THRESHOLD


def correlation(volume, other):
    """Compute the correlation over the voxels where one of two volumes is not 0.

    A shared background would raise the correlation, the more the larger the grid. It is
    0 where a volume is constant.
    """
    volume, other = as_volume(volume), as_volume(other)
    either = (volume > 1e-6) | (other > 1e-6)  # differences of sums are not exactly 0
    a, b = volume[either].astype(float), other[either].astype(float)
    if not a.size:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norms) if norms else 0.0


def block_mean(volumes, factor):
    """Average blocks of `factor` voxels an axis of volumes (n, *shape): float32.

    Incomplete blocks at the far ends are dropped.
    """
    volumes = np.asarray(volumes)
    small = [size // factor for size in volumes.shape[1:]]
    whole = volumes[(slice(None), *(slice(n * factor) for n in small))]
    blocks = [part for n in small for part in (n, factor)]
    inner = tuple(range(2, 2 + 2 * len(small), 2))
    return whole.reshape(-1, *blocks).mean(axis=inner, dtype="float32")
