"""Resampling by `dipy.nn.utils.transform_img`, as DIPY's networks do."""

from nibabel.affines import voxel_sizes
import numpy as np

from dipy_synth.data.operations import bounding_corners, check_fit, continued


def transform_t1(data, mask, affine, grid, *, order=3):
    """Bring a masked volume to a grid by `dipy.nn.utils.transform_img`.

    This is the input of DIPY's networks: RAS axes, voxels counted from the lowest
    corner of the field of view, no alignment. Its limitations are handled here. It
    returns no affine: the returned grid is exact. It drops the last plane of each axis:
    the brain gets a margin. A cubic spline overshoots and integers wrap around: the
    volume is float32 and clipped to its range. It centres the field of view: here the
    brain is centred, to half a voxel. It crops what is too large: here an error. It
    does not blur before downsampling and has no mask: see `continued`.

    Parameters
    ----------
    data : ndarray of shape (X, Y, Z)
        The volume.
    mask : ndarray of shape (X, Y, Z), bool
        The brain; not empty.
    affine : ndarray of shape (4, 4)
        Voxel-to-world affine, in mm.
    grid : Grid
        Shape and voxel size of the result; its centre is not used.
    order : {3, 1}, optional
        Cubic or linear interpolation.

    Returns
    -------
    data : ndarray of shape `grid.shape`, float32
        The volume, exactly 0 outside the brain.
    mask : ndarray of shape `grid.shape`, bool
        The brain.
    grid : Grid
        The grid of the result: that shape and voxel size, centred on the brain.

    Raises
    ------
    InputError
        If the brain is larger than the grid.
    """
    from dipy.nn.utils import transform_img  # loads TensorFlow or torch on its way

    sizes, native = np.array(grid.voxel_size), voxel_sizes(affine)
    ratio = np.linalg.norm(np.linalg.solve(affine[:3, :3], np.diag(sizes)), axis=1)
    room = int(np.ceil(2 * sizes.max() / native.min()))
    source, weight, start = continued(data, mask, ratio, room=room)
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ start
    options = {"target_voxsize": grid.voxel_size}
    found, params = transform_img(source, moved, order=order, **options)
    share, _ = transform_img(weight, moved, order=1, **options)
    grid, first = _around(mask, affine, grid, params["new_origin_world"])
    check_fit(mask, grid.voxel_map(affine), grid)
    inside = _cut(share, first, grid.shape) > 0.5
    found = _cut(found, first, grid.shape).clip(data[mask].min(), data[mask].max())
    return np.where(inside, found, np.float32(0)), inside, grid


def _around(mask, affine, grid, origin):
    """Choose the voxels of a lattice, counted from `origin`, that centre on a brain.

    Returns the grid, and the index on the lattice of its first voxel.
    """
    sizes = np.array(grid.voxel_size)
    middle = np.mean(bounding_corners(mask, affine), axis=0)
    half = (np.array(grid.shape) - 1) / 2
    first = np.round((middle - origin) / sizes - half).astype(int)
    return grid.centered_on(origin + (first + half) * sizes), first


def _cut(volume, first, shape):
    """Crop `shape` voxels from index `first` on, 0 beyond the volume."""
    cut = np.zeros(shape, volume.dtype)
    start = np.maximum(first, 0)
    stop = np.minimum(first + shape, volume.shape)
    here = tuple(slice(a, b) for a, b in zip(start, stop))
    there = tuple(slice(a, b) for a, b in zip(start - first, stop - first))
    cut[there] = volume[here]
    return cut
