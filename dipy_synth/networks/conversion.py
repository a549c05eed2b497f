"""What the model wrappers share: volumes to network images and back."""

from keras import ops
import numpy as np
from scipy import ndimage

from dipy_synth.errors import InputError


def need_weights(network):
    """Give a wrapper's network; an InputError says what to call where there is none."""
    if network is None:
        raise InputError(
            "no weights yet: call fit, load_model_weights or fetch_default_weights"
        )
    return network


def to_network(volumes, shape):
    """Turn volumes in [0, 1] into the images a network sees.

    Parameters
    ----------
    volumes : array (n, *shape)
        Prepared volumes, background 0.
    shape : tuple of int
        The network's shape.

    Returns
    -------
    ndarray (n, *shape, 1), float32
        In [-1, 1].

    Raises
    ------
    InputError
        If the shape is another, or a value is outside [0, 1] or not finite.
    """
    volumes = np.asarray(volumes, "float32")
    if volumes.ndim != len(shape) + 1 or volumes.shape[1:] != tuple(shape):
        wanted = ", ".join(str(n) for n in shape)
        raise InputError(f"volumes of shape {volumes.shape}: expected (n, {wanted})")
    low, high = (volumes.min(), volumes.max()) if volumes.size else (0, 1)
    if not (low >= 0 and high <= 1):
        raise InputError(
            f"values from {low} to {high}: expected [0, 1] with background 0, as "
            "dipy_preprocess_t1 writes"
        )
    return volumes[..., None] * 2 - 1


def from_network(images, *, background=True, threshold=0.12, speck=0.01):
    """Turn a network's images into volumes, brains with a background of exactly 0.

    Parameters
    ----------
    images : tensor (n, *shape, 1)
        In about [-1, 1].
    background : bool, optional
        Find the background of a brain and make it 0. Other images are left as they
        are.
    threshold : float, optional
        Voxels at most this bright, and not enclosed by brighter ones, are background.
        With the default, decoded brains are as large as the originals (to 1 %); with
        0.04 they keep a fringe of 4 % of their volume.
    speck : float, optional
        So is a connected piece smaller than this share of the foreground.

    Returns
    -------
    ndarray (n, *shape), float32
        In [0, 1].
    """
    images = np.asarray(ops.convert_to_numpy(images), "float32")[..., 0]
    volumes = np.clip((images + 1) / 2, 0, 1)
    if not background:
        return volumes
    inside = [_without_specks(volume > threshold, speck) for volume in volumes]
    return np.where(inside, volumes, 0).astype("float32")


def _without_specks(mask, share):
    """Fill holes, and drop the pieces smaller than a share of the whole."""
    pieces, _ = ndimage.label(ndimage.binary_fill_holes(mask))
    sizes = np.bincount(pieces.ravel())
    kept = sizes >= share * sizes[1:].sum()
    kept[0] = False
    return kept[pieces]


def in_batches(function, inputs, batch_size):
    """Apply a network to arrays batch by batch, so that memory stays bounded.

    Parameters
    ----------
    function : callable
        From a batch (b, ...) to a batch of results (b, ...).
    inputs : array (n, ...)
        All inputs.
    batch_size : int
        Size of a batch.

    Returns
    -------
    ndarray (n, ...)
    """
    batches = (
        function(inputs[start : start + batch_size])
        for start in range(0, len(inputs), batch_size)
    )
    return np.concatenate([np.asarray(ops.convert_to_numpy(b)) for b in batches])
