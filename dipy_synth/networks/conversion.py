"""Conversion of volumes to network images and back."""

from keras import ops
import numpy as np
from scipy import ndimage

from dipy_synth.errors import InputError

# Voxels at most this bright, and not enclosed by brighter ones, are background. Decoded
# brains are then as large as the originals (to 1 %); with 0.04 they keep a fringe of
# 4 % of their volume.
_THRESHOLD = 0.12
_SPECK = 0.01  # fraction of the foreground; smaller components are background, too


def need_weights(network):
    """Return a wrapper's network; raise an InputError where there is none."""
    if network is None:
        raise InputError(
            "no weights yet: call fit, load_model_weights or fetch_default_weights"
        )
    return network


def check_shape(volumes, shape):
    """Refuse volumes of another shape than (n, *shape), the network's."""
    if volumes.shape[1:] != tuple(shape):
        sizes = ", ".join(str(n) for n in shape)
        channels = ", without an axis of channels" * (volumes.ndim > len(shape) + 1)
        raise InputError(
            f"volumes of shape {volumes.shape}: expected (n, {sizes}){channels}"
        )


def to_network(volumes, shape):
    """Convert prepared volumes (n, *shape) to images in [-1, 1]: (n, *shape, 1).

    Volumes of another shape than the network's, or with values outside of [0, 1] or not
    finite, are an InputError.
    """
    volumes = np.asarray(volumes, "float32")
    check_shape(volumes, shape)
    low, high = (volumes.min(), volumes.max()) if volumes.size else (0, 1)
    if not (low >= 0 and high <= 1):
        found = f"values from {low} to {high}" if low <= high else "values of nan"
        raise InputError(
            f"{found}: expected [0, 1] with background 0, as dipy_preprocess_t1 writes"
        )
    return volumes[..., None] * 2 - 1


def from_network(images, *, background=True):
    """Convert images (n, *shape, 1) in about [-1, 1] to volumes (n, *shape) in [0, 1].

    With `background`, as of brains, the background is set to exactly 0.
    """
    images = np.asarray(ops.convert_to_numpy(images), "float32")[..., 0]
    volumes = np.clip((images + 1) / 2, 0, 1)
    if not background:
        return volumes
    inside = [_without_specks(volume > _THRESHOLD) for volume in volumes]
    return np.where(inside, volumes, 0).astype("float32")


def to_arrays(images, *, background, labels=None):
    """Convert network images to volumes and, with `labels`, label maps.

    From (n, *shape, 1), or (n, *shape, 1 + k) with labels in the further channels, to
    (n, 1, *shape), or (n, 2, *shape) with label maps, which are 0 in the background of
    brains; in float32. For `background` see `from_network`.
    """
    images = np.asarray(ops.convert_to_numpy(images), "float32")
    volumes = from_network(images, background=background)
    if labels is None:
        return volumes[:, np.newaxis]
    label_maps = labels.from_channels(images[..., 1:])
    if background:
        label_maps = np.where(volumes > 0, label_maps, 0)
    return np.stack([volumes, label_maps], axis=1)


def _without_specks(mask):
    """Fill holes, and remove small connected components."""
    pieces, _ = ndimage.label(ndimage.binary_fill_holes(mask))
    sizes = np.bincount(pieces.ravel())
    kept = sizes >= _SPECK * sizes[1:].sum()
    kept[0] = False
    return kept[pieces]


def in_batches(function, inputs, batch_size):
    """Apply a function to arrays (n, ...) in batches, with bounded memory: ndarray."""
    batches = (
        function(inputs[start : start + batch_size])
        for start in range(0, len(inputs), batch_size)
    )
    return np.concatenate([np.asarray(ops.convert_to_numpy(b)) for b in batches])
