"""Fingerprints of brains: features of a person that survive changes of a copy.

No network is needed. Folds and ventricles of 4 to 8 mm, as differences from the mean
training brain, identify a person; noise and a blur of a voxel hardly change them. The
weight of the mean brain is fitted, since blur lowers it. Shifts are removed by the
centre of the brain, and `dipy_synth.metrics.memorization.FeatureSearch` compares the
mirror image, too.
"""

import numpy as np
from scipy import ndimage

from dipy_synth.errors import InputError
from dipy_synth.metrics.array_checks import check_volumes, foreground

_BAND = (4.0, 8.0)  # mm: standard deviations of the difference of Gaussians
_LATTICE = 6.0  # mm between sampled points


class Fingerprint:
    """Extractor: volumes (n, I, J, K) -> features (n, d), each of length 1.

    The squared distance of two fingerprints is 2 - 2 r, with r the correlation of the
    two brains' differences from the mean training brain.

    Parameters
    ----------
    train : array_like of shape (n, I, J, K)
        Training volumes in [0, 1], the background 0.
    voxel_size : tuple of float, (3,)
        In mm.

    Raises
    ------
    InputError
        If there are fewer than two volumes, or their mean has no brain.
    """

    def __init__(self, train, *, voxel_size):
        train = check_volumes(train, "training volumes", least=2)
        self.shape, self.voxel_size = train.shape[1:], np.array(voxel_size, float)
        mean = sum(np.asarray(volume, "float32") for volume in train) / len(train)
        if not foreground(mean).any():
            raise InputError("training volumes: no brain in their mean")
        self._center = _center(mean)
        steps = np.maximum(np.round(_LATTICE / self.voxel_size), 1).astype(int)
        lattice = np.zeros(self.shape, bool)
        lattice[tuple(slice(None, None, step) for step in steps)] = True
        self._places = np.argwhere(lattice & foreground(mean))
        self._mean = sum(self._sampled(volume) for volume in train) / len(train)

    def __call__(self, volumes):
        """Compute fingerprints, (n, d), float64, of volumes, (n, I, J, K)."""
        volumes = check_volumes(volumes, "volumes", shape=self.shape)
        rows = np.stack([self._sampled(volume) for volume in volumes])
        # Blur lowers the weight of the mean brain, so it is fitted for each.
        basis = np.linalg.qr(np.stack([np.ones_like(self._mean), self._mean], axis=1))[
            0
        ]
        apart = rows - (rows @ basis) @ basis.T
        lengths = np.linalg.norm(apart, axis=1, keepdims=True)
        return apart / np.maximum(lengths, 1e-12)

    def _sampled(self, volume):
        """Sample the band of a volume, its centre moved to the mean brain's: (d,)."""
        volume = np.asarray(volume, "float32")
        fine, coarse = (
            ndimage.gaussian_filter(
                volume, length / self.voxel_size, mode="constant", truncate=3
            )
            for length in _BAND
        )
        places = self._places + (_center(volume) - self._center)
        return ndimage.map_coordinates(fine - coarse, places.T, order=1).astype(float)


def _center(volume):
    """Return the centre of the brain in voxels: ndarray of shape (3,)."""
    mask = foreground(volume)
    if not mask.any():
        return (np.array(mask.shape) - 1) / 2
    return np.array(ndimage.center_of_mass(mask))
