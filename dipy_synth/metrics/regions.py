"""The brain in a volume: its mask, the depth of each voxel, and cortex and deep parts.

Texture is measured inside the brain alone. Beyond its outline each voxel takes the mean
of what is near in the brain, so that no filter sees the step to the background.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from dipy_synth.errors import InputError
from dipy_synth.metrics.array_checks import foreground

CORTEX_DEPTH = 16.0  # mm below the outline: gyri, and sulci down to most of their depth
_MARGIN = 4  # voxels about the brain, more than any filter shifts by


@dataclass(frozen=True)
class Brain:
    """A brain cut out of its volume.

    Parameters
    ----------
    values : ndarray of float32, (I, J, K)
        Intensities in [0, 1]; outside of the brain the mean of those near in it.
    mask : ndarray of bool, (I, J, K)
        The brain, its fluid included.
    depth : ndarray of float32, (I, J, K)
        Distance to the outline in mm; 0 outside of the brain.
    voxel_size : tuple of float, (3,)
        In mm.
    """

    values: np.ndarray
    mask: np.ndarray
    depth: np.ndarray
    voxel_size: tuple

    @property
    def cortex(self):
        """The shell that holds the cortex: ndarray of bool, (I, J, K)."""
        return self.mask & (self.depth <= CORTEX_DEPTH)

    @property
    def deep(self):
        """What lies deeper: ndarray of bool, (I, J, K)."""
        return self.mask & (self.depth > CORTEX_DEPTH)


def brain_mask(volume):
    """Return the mask of the brain, fluid and small holes included.

    Parameters
    ----------
    volume : array, (I, J, K)
        A skull-stripped volume in [0, 1], the background 0.

    Returns
    -------
    ndarray of bool, (I, J, K)
        The largest component of the foreground, closed and filled. For voxels in
        random places that is nearly the whole volume.
    """
    padded = np.pad(foreground(volume), 3)
    near = ndimage.uniform_filter(padded.astype("float32"), 3) > 1e-3
    closed = ndimage.uniform_filter(near.astype("float32"), 3) > 1 - 1e-3
    outside, _ = ndimage.label(~closed)
    filled = (outside != outside[0, 0, 0])[3:-3, 3:-3, 3:-3]
    labels, n = ndimage.label(filled)
    if n < 2:
        return filled
    return labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1


def cut_brain(volume, *, voxel_size):
    """Cut the brain out of a volume.

    Parameters
    ----------
    volume : array, (I, J, K)
        A skull-stripped volume in [0, 1], the background 0.
    voxel_size : tuple of float, (3,)
        In mm.

    Returns
    -------
    Brain
        In the box of the brain and 4 voxels about it; of an empty volume, one whose
        mask is empty.
    """
    volume = np.asarray(volume, "float32")
    if volume.ndim != 3:
        raise InputError(f"volume {volume.shape}; expected (I, J, K)")
    mask = brain_mask(volume)
    if mask.any():
        box = ndimage.find_objects(mask.astype("uint8"))[0]
        volume, mask = volume[box], mask[box]
    volume, mask = np.pad(volume, _MARGIN), np.pad(mask, _MARGIN)
    if not mask.any():
        return Brain(volume, mask, np.zeros_like(volume), tuple(voxel_size))
    depth = ndimage.distance_transform_edt(mask, sampling=voxel_size)
    return Brain(
        _extended(volume, mask), mask, depth.astype("float32"), tuple(voxel_size)
    )


def _extended(volume, mask, size=2 * _MARGIN + 1):
    """Give voxels outside of a mask the mean of those in it, within 4 voxels."""
    total = ndimage.uniform_filter(np.where(mask, volume, 0), size)
    share = ndimage.uniform_filter(mask.astype("float32"), size)
    mean = total / np.maximum(share, 1e-3)
    return np.where(mask, volume, mean)
