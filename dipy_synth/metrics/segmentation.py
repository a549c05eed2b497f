"""Segmentation of labels by the features of voxels, without a network.

A voxel has its intensity at several scales, edges, the difference from the other
hemisphere and its place in the grid as features. Quadratic discriminant analysis
classifies it: a Gaussian for each label, and one for no label.
"""

import numpy as np
from scipy import ndimage

SCALES = (2.0, 4.0, 8.0)  # mm
_SHRINKAGE = 0.01  # of covariances


class VoxelClassifier:
    """Label voxels by their features.

    Parameters
    ----------
    features : sequence of ndarray of shape (n, d)
        Features of voxels of each brain, see `voxel_features`.
    labels : sequence of ndarray of shape (n,), int
        Their labels, 0 for none.
    shares : sequence of array_like of shape (labels,)
        Share of each label, and of none, in all voxels of each brain: with their mean
        as the prior, it does not matter how many voxels of each were drawn.
    """

    def __init__(self, features, labels, shares):
        from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        features, labels = np.concatenate(features), np.concatenate(labels)
        priors = np.mean(shares, axis=0)
        seen = np.flatnonzero(np.bincount(labels, minlength=len(priors)) > 1)
        kept, self._model = np.isin(labels, seen), None
        if len(seen) > 1:
            analysis = QuadraticDiscriminantAnalysis(
                priors=priors[seen] / priors[seen].sum(), reg_param=_SHRINKAGE
            )
            self._model = make_pipeline(StandardScaler(), analysis)
            self._model.fit(features[kept], labels[kept])

    def __call__(self, features):
        """Label voxels by features (n, d): ndarray of shape (n,), int."""
        if self._model is None:  # trained on no label
            return np.zeros(len(features), int)
        return self._model.predict(features)


def voxel_features(volume, mask, voxel_size):
    """Compute features of the voxels of a mask, without a network.

    Parameters
    ----------
    volume : ndarray of shape (I, J, K)
        In [0, 1], the first axis from left to right, its middle the midline.
    mask : ndarray of shape (I, J, K), bool
    voxel_size : tuple of float, (3,)
        In mm.

    Returns
    -------
    ndarray of shape (n, d), float32
        Intensity; smoothed by 2, 4 and 8 mm; the magnitude of the gradient; the
        difference from the other hemisphere; distance to the midline, and the other two
        coordinates, in mm.
    """
    sizes = np.array(voxel_size)
    smooth = [ndimage.gaussian_filter(volume, scale / sizes) for scale in SCALES]
    slope = ndimage.gaussian_gradient_magnitude(volume, SCALES[0] / sizes)
    other = smooth[1] - smooth[1][::-1]
    place = (np.argwhere(mask) - (np.array(volume.shape) - 1) / 2) * sizes
    place[:, 0] = np.abs(place[:, 0])
    maps = (volume, *smooth, slope, other)
    return np.column_stack([*(x[mask] for x in maps), place]).astype("float32")


def dice(one, other):
    """Compute the Dice coefficient of two masks of shape (n,): float."""
    size = np.count_nonzero(one) + np.count_nonzero(other)
    return 2 * np.count_nonzero(one & other) / size if size else 1.0
