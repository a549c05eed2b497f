"""Regions of the brain in a volume: mask, depth of each voxel, cortex and deep parts.

Texture is computed inside the brain alone. Outside, voxels near its outline are set to
the local mean of the brain, so that no filter responds to the step to the background.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from dipy_synth.errors import InputError
from dipy_synth.metrics.array_checks import foreground

CORTEX_DEPTH = 16.0  # mm below the outline: gyri, and sulci down to most of their depth
_MARGIN = 4  # voxels around the brain, more than the reach of any filter


@dataclass(frozen=True)
class Brain:
    """A brain, cropped from its volume.

    Parameters
    ----------
    values : ndarray of shape (I, J, K), float32
        Intensities in [0, 1]; near the outside of the brain, its local mean.
    mask : ndarray of shape (I, J, K), bool
        The brain, its fluid included.
    depth : ndarray of shape (I, J, K), float32
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
        """Mask of the shell that holds the cortex: ndarray of shape (I, J, K), bool."""
        return self.mask & (self.depth <= CORTEX_DEPTH)

    @property
    def deep(self):
        """Mask of the deep parts: ndarray of shape (I, J, K), bool."""
        return self.mask & (self.depth > CORTEX_DEPTH)


def brain_mask(volume):
    """Compute the mask of the brain, fluid and small holes included: bool array.

    It is the largest component of the foreground, closed and filled. For shuffled
    voxels that is nearly the whole volume.
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
    """Crop the brain, and 4 voxels around it, from a volume in [0, 1]: Brain.

    The background is 0. The mask of an empty volume is empty.
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
    """Set voxels outside of a mask to the mean of those in it, within 4 voxels."""
    total = ndimage.uniform_filter(np.where(mask, volume, 0), size)
    share = ndimage.uniform_filter(mask.astype("float32"), size)
    mean = total / np.maximum(share, 1e-3)
    return np.where(mask, volume, mean)
