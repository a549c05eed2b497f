"""Planted copies of training brains: the positive control of a search for copies."""

import numpy as np
from scipy.ndimage import gaussian_filter, shift as shifted

from dipy_synth.errors import InputError
from dipy_synth.metrics.array_checks import check_volumes
from dipy_synth.utils.random import random_stream

#: Kinds of planted copies.
COPIES = ("noisy", "blurred", "shifted", "flipped", "all combined")


def plant_copies(volumes, kind, *, seed=0):
    """Make copies that an audit must find (positive control).

    Parameters
    ----------
    volumes : array_like of shape (n, *shape)
        Volumes in [0, 1].
    kind : str
        One of `COPIES`: noise of 5 % of the range, a blur of one voxel, a shift of up
        to 1.5 voxels along each axis, a mirror image of the first axis, or all.
    seed : int, optional
        Seed of noise and shifts.

    Returns
    -------
    ndarray of shape (n, *shape), float32
    """
    if kind not in COPIES:
        raise InputError(f"kind of copy {kind!r}: expected one of {', '.join(COPIES)}")
    rng = random_stream("copies: planted", seed=seed)
    kinds = COPIES[:-1] if kind == COPIES[-1] else (kind,)
    volumes = check_volumes(volumes, "volumes")
    return np.stack([_copy(np.asarray(v, "float32"), kinds, rng) for v in volumes])


def _copy(volume, kinds, rng):
    if "flipped" in kinds:
        volume = volume[::-1]
    if "shifted" in kinds:
        volume = shifted(volume, rng.uniform(-1.5, 1.5, volume.ndim), order=1)
    if "blurred" in kinds:
        volume = gaussian_filter(volume, 1)
    if "noisy" in kinds:
        noise = rng.normal(0, 0.05, volume.shape).astype("float32")
        volume = np.where(volume > 0, volume + noise, 0)
    return np.clip(volume, 0, 1)
