"""Conversion of volumes to network images and back."""

from keras import ops
import numpy as np
from scipy import ndimage

from dipy_synth.errors import InputError

# Voxels at most this bright, and not enclosed by brighter ones, are background. Decoded
# brains are then as large as the originals (to 1 %); with 0.04 they keep a fringe of
# 4 % of their volume.
_THRESHOLD = 0.12


def need_weights(network):
    """Return a wrapper's network; raise an InputError where there is none."""
    if network is None:
        raise InputError(
            "no weights yet: call fit, load_model_weights or fetch_default_weights"
        )
    return network


def to_network(volumes, shape):
    """Convert volumes in [0, 1] to network images.

    Parameters
    ----------
    volumes : array of shape (n, *shape)
        Prepared volumes, background 0.
    shape : tuple of int
        The network's shape.

    Returns
    -------
    ndarray of shape (n, *shape, 1), float32
        In [-1, 1].

    Raises
    ------
    InputError
        If the shape is another, or a value is outside [0, 1] or not finite.
    """
    volumes = np.asarray(volumes, "float32")
    if volumes.ndim != len(shape) + 1 or volumes.shape[1:] != tuple(shape):
        sizes = ", ".join(str(n) for n in shape)
        raise InputError(f"volumes of shape {volumes.shape}: expected (n, {sizes})")
    low, high = (volumes.min(), volumes.max()) if volumes.size else (0, 1)
    if not (low >= 0 and high <= 1):
        raise InputError(
            f"values from {low} to {high}: expected [0, 1] with background 0, as "
            "dipy_preprocess_t1 writes"
        )
    return volumes[..., None] * 2 - 1


def from_network(images, *, background=True, speck=0.01):
    """Convert network images to volumes, of brains with a background of exactly 0.

    Parameters
    ----------
    images : tensor of shape (n, *shape, 1)
        In about [-1, 1].
    background : bool, optional
        Set the background of brains to 0; False for other images.
    speck : float, optional
        Connected components smaller than this fraction of the foreground are
        background, too.

    Returns
    -------
    ndarray of shape (n, *shape), float32
        In [0, 1].
    """
    images = np.asarray(ops.convert_to_numpy(images), "float32")[..., 0]
    volumes = np.clip((images + 1) / 2, 0, 1)
    if not background:
        return volumes
    inside = [_without_specks(volume > _THRESHOLD, speck) for volume in volumes]
    return np.where(inside, volumes, 0).astype("float32")


def to_arrays(images, *, background, labels=None):
    """Convert network images to volumes and, with labels, label maps.

    Parameters
    ----------
    images : tensor of shape (n, *shape, 1), or (n, *shape, 1 + k) with labels
        In about [-1, 1].
    background : bool
        Set the background of brains to 0, see `from_network`.
    labels : Labels, optional
        The labels of the further channels.

    Returns
    -------
    ndarray of shape (n, 1, *shape), or (n, 2, *shape) with labels, float32
        Volumes, and label maps that are 0 in the background of brains.
    """
    images = np.asarray(ops.convert_to_numpy(images), "float32")
    volumes = from_network(images, background=background)
    if labels is None:
        return volumes[:, np.newaxis]
    label_maps = labels.from_channels(images[..., 1:])
    if background:
        label_maps = np.where(volumes > 0, label_maps, 0)
    return np.stack([volumes, label_maps], axis=1)


def _without_specks(mask, share):
    """Fill holes, and remove components smaller than a fraction of the whole."""
    pieces, _ = ndimage.label(ndimage.binary_fill_holes(mask))
    sizes = np.bincount(pieces.ravel())
    kept = sizes >= share * sizes[1:].sum()
    kept[0] = False
    return kept[pieces]


def in_batches(function, inputs, batch_size):
    """Apply a function to arrays in batches, with bounded memory.

    Parameters
    ----------
    function : callable
        Maps a batch (b, ...) to a batch of results (b, ...).
    inputs : array of shape (n, ...)
        All inputs.
    batch_size : int
        Size of a batch.

    Returns
    -------
    ndarray of shape (n, ...)
    """
    batches = (
        function(inputs[start : start + batch_size])
        for start in range(0, len(inputs), batch_size)
    )
    return np.concatenate([np.asarray(ops.convert_to_numpy(b)) for b in batches])
