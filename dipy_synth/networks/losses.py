"""Reconstruction losses. Every term is a mean over voxels.

So losses of different batch sizes are comparable. Images are ``(batch, *spatial, 1)``
in [-1, 1]; every term is a scalar.
"""

from keras import ops

from dipy_synth.networks.blocks import haar_down

DISTANCES = {"l1": ops.abs, "l2": ops.square}
_OCTAVES = 2  # of Haar details, from the finest


def voxel_distance(x, y, *, distance="l1", background_weight=1.0):
    """Compute the weighted mean distance of voxels, absolute (l1) or squared (l2).

    The background of the originals `x`, exactly -1, has `background_weight`, the
    foreground 1.
    """
    background = ops.cast(x <= -1, x.dtype)
    weight = 1 - (1 - background_weight) * background
    return ops.mean(weight * DISTANCES[distance](x - y))


def gradient_distance(x, y):
    """Compute the mean L1 distance of the finite differences, over all axes."""
    distances = []
    for axis in range(1, len(x.shape) - 1):
        dx, dy = (ops.diff(image, axis=axis) for image in (x, y))
        distances.append(ops.mean(ops.abs(dx - dy)))
    return sum(distances) / len(distances)


def frequency_distance(x, y):
    """Compute the mean L1 distance of the magnitudes of Haar details, of two octaves.

    Without signs, texture of the right strength costs nothing, wherever it is; under an
    L1 distance of voxels no texture at all costs less. Spatial sizes are multiples of
    4.
    """
    distances = []
    for _ in range(_OCTAVES):
        x, y = haar_down(x), haar_down(y)
        details = ops.abs(x[..., 1:]), ops.abs(y[..., 1:])
        distances.append(ops.mean(ops.abs(details[0] - details[1])))
        x, y = x[..., :1], y[..., :1]
    return sum(distances) / len(distances)
