"""What a reconstruction is judged by in training. Every term is a mean over voxels.

So a loss compares between batch sizes. All take batches ``(batch, *spatial, 1)`` in
[-1, 1], and give a scalar.
"""

from keras import ops
import numpy as np
from scipy import fft

from dipy_synth.networks.blocks import haar_down, space_to_depth

DISTANCES = {"l1": ops.abs, "l2": ops.square}
#: Bands of texture, as parts of the Nyquist frequency along each axis.
BANDS = ((0.2, 0.45), (0.45, 0.7), (0.7, 1.0), (1.0, 2.0))


def voxel_distance(x, y, *, distance="l1", background_weight=1.0):
    """Give the weighted mean distance of voxels.

    Parameters
    ----------
    x : tensor (batch, *spatial, 1)
        Originals; the background is exactly -1.
    y : tensor (batch, *spatial, 1)
        Reconstructions.
    distance : {"l1", "l2"}, optional
        Absolute or squared difference.
    background_weight : float, optional
        Weight of the originals' background; the foreground has 1.

    Returns
    -------
    tensor ()
    """
    background = ops.cast(x <= -1, x.dtype)
    weight = 1 - (1 - background_weight) * background
    return ops.mean(weight * DISTANCES[distance](x - y))


def gradient_distance(x, y):
    """Give the mean L1 distance of the finite differences, over all axes.

    Parameters
    ----------
    x, y : tensor (batch, *spatial, 1)
        Originals and reconstructions.

    Returns
    -------
    tensor ()
    """
    distances = []
    for axis in range(1, len(x.shape) - 1):
        dx, dy = (ops.diff(image, axis=axis) for image in (x, y))
        distances.append(ops.mean(ops.abs(dx - dy)))
    return sum(distances) / len(distances)


def texture_distance(x, y, *, block=8):
    """Compute the mean L1 distance of local strengths of texture, band by band.

    Images are cut into blocks, each is transformed by a discrete cosine transform, and
    the strength of a band is the root mean square of its coefficients. A coefficient
    that cannot be known is best guessed too small, which blurs; how strong its
    band is in its surroundings can be known, so this asks for texture as strong as it
    is.

    Parameters
    ----------
    x, y : tensor (batch, *spatial, 1)
        Originals and reconstructions; what is over beyond multiples of `block` is not
        looked at.
    block : int, optional
        Voxels along the side of a block, or all where there are fewer.

    Returns
    -------
    tensor ()
    """
    rank = len(x.shape) - 2
    block = min(block, *x.shape[1:-1])
    transform, bands = _cosine_bands(block, rank)
    inside = tuple(slice(n - n % block) for n in x.shape[1:-1])
    strengths = []
    for image in (x, y):
        blocks = space_to_depth(image[(slice(None), *inside)], block)
        energy = ops.matmul(ops.square(ops.matmul(blocks, transform)), bands)
        strengths.append(ops.sqrt(energy + 1e-6))  # no infinite slope in the background
    return ops.mean(ops.abs(strengths[0] - strengths[1]))


def _cosine_bands(block, rank):
    """Return a block's orthonormal cosine transform and the mean over each band.

    Returns
    -------
    transform : ndarray of float32, (block ** rank, block ** rank)
        Voxels in row-major order to coefficients.
    bands : ndarray of float32, (block ** rank, b)
        Coefficients to their mean in each of the `BANDS`.
    """
    one = fft.dct(np.eye(block), norm="ortho", axis=1)
    transform = one
    for _ in range(rank - 1):
        transform = np.kron(transform, one)
    axes = np.meshgrid(*[np.arange(block) / block] * rank, indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes)).ravel()
    bands = [(radius > low) & (radius <= high) for low, high in BANDS]
    bands = np.stack([band / max(band.sum(), 1) for band in bands], axis=1)
    return transform.astype("float32"), bands.astype("float32")


def frequency_distance(x, y, *, scales=2):
    """Give the mean L1 distance of the magnitudes of Haar details.

    Magnitudes alone: texture of the right strength costs nothing when its sign is
    wrong, where an L1 distance of voxels asks for no texture at all.

    Parameters
    ----------
    x, y : tensor (batch, *spatial, 1)
        Originals and reconstructions; spatial sizes are multiples of
        ``2 ** scales``.
    scales : int, optional
        Octaves looked at, from the finest.

    Returns
    -------
    tensor ()
    """
    distances = []
    for _ in range(scales):
        x, y = haar_down(x), haar_down(y)
        details = ops.abs(x[..., 1:]), ops.abs(y[..., 1:])
        distances.append(ops.mean(ops.abs(details[0] - details[1])))
        x, y = x[..., :1], y[..., :1]
    return sum(distances) / len(distances)
