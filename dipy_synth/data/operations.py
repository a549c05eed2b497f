"""Operations that bring one T1 volume to the grid, each a function of arrays.

All work on the native voxels: transforms are composed as matrices, and the volume is
interpolated once.
"""

import SimpleITK as sitk
from nibabel.affines import voxel_sizes
import numpy as np
from scipy.ndimage import (
    affine_transform,
    distance_transform_edt,
    find_objects,
    gaussian_filter,
)

from dipy_synth.data.intensities import offset_of
from dipy_synth.errors import InputError
from dipy_synth.grid import times

_FIELD = 6.0  # mm, voxel size at which the bias field is fitted
_NUDGE = 4.0  # mm, less than aligned brains differ


def correct_bias(data, mask, affine, *, threads=1):
    """Correct the bias field of a T1 volume, as estimated by N4: float32.

    N4 :footcite:p:`tustison2010n4` fits the field in the mask, on a coarse copy, which
    loses nothing: the field is smooth by construction. The result is exact only there,
    where it has the mean of `data`. An offset is added where the zero of `data` cannot
    be a scanner's, see `dipy_synth.data.intensities.offset_of`. Of `affine` only the
    voxel sizes are used.

    References
    ----------
    .. footbibliography::
    """
    offset = offset_of(data, mask)
    data = data + np.float32(offset)
    usable = mask & (data > 0)  # N4 works on logarithms
    if not usable.any():
        raise InputError("no positive intensity in the brain: N4 takes logarithms")
    sizes = voxel_sizes(affine)
    image, inside = (
        sitk.GetImageFromArray(a.T) for a in (data, usable.astype(np.uint8))
    )
    for picture in (image, inside):
        picture.SetSpacing(sizes.tolist())
    shrink = [max(1, int(_FIELD / size + 1e-3)) for size in sizes]
    shrink = [min(factor, n) for factor, n in zip(shrink, data.shape)]
    fit = sitk.N4BiasFieldCorrectionImageFilter()
    fit.SetNumberOfThreads(threads)
    fit.Execute(sitk.Shrink(image, shrink), sitk.Shrink(inside, shrink))
    field = np.exp(sitk.GetArrayFromImage(fit.GetLogBiasFieldAsImage(image)).T)
    corrected = data / field
    corrected *= data[mask].mean() / corrected[mask].mean()
    return (corrected - offset).astype(np.float32)


def resample(data, mask, matrix, shape, *, order=3):
    """Interpolate a masked volume at the voxels of a grid.

    Outside the mask the volume is first continued with the nearest value inside, so
    that the rim of the brain is neither darkened by the background nor brightened by
    the skull, and so that a cubic kernel does not ring there. Where the target voxels
    are larger than the source's, a Gaussian is applied first, of the width that takes
    one point spread function to the other :footcite:p:`cardoso2015psf`. The result
    stays within the range of the source.

    Parameters
    ----------
    data : ndarray of shape (X, Y, Z)
        Source volume.
    mask : ndarray of shape (X, Y, Z), bool
        Where `data` is meaningful; not empty.
    matrix : ndarray of shape (4, 4)
        Map from target voxel to source voxel, see `Grid.voxel_map`.
    shape : tuple of int, (3,)
        Shape of the target.
    order : int, optional
        1 for linear and 3 for cubic interpolation.

    Returns
    -------
    data : ndarray of shape `shape`, float32
        The volume on the target, exactly 0 outside `mask`.
    mask : ndarray of shape `shape`, bool
        The mask on the target.

    References
    ----------
    .. footbibliography::
    """
    source, weight, start = continued(
        data, mask, np.linalg.norm(matrix[:3, :3], axis=1)
    )
    low, high = data[mask].min(), data[mask].max()
    kwargs = {"matrix": matrix[:3, :3], "output_shape": tuple(shape)}
    kwargs["offset"] = matrix[:3, 3] - start
    on_grid = affine_transform(source, order=order, mode="nearest", **kwargs)
    inside = affine_transform(weight, order=1, **kwargs) > 0.5
    return np.where(inside, on_grid.clip(low, high), np.float32(0)), inside


def continued(data, mask, ratio, *, room=1):
    """Crop a brain, extrapolate it outside of its mask, and blur it for downsampling.

    Parameters
    ----------
    data, mask : ndarray of shape (X, Y, Z)
        Source volume, and where it is meaningful (bool); not empty.
    ratio : ndarray of shape (3,)
        Size of the target's voxels along each source axis, in source voxels.
    room : int, optional
        Margin in voxels on every side, also beyond the border of `data`.

    Returns
    -------
    data, weight : ndarray of shape (X', Y', Z'), float32
        The crop, and the brain fraction of each of its voxels.
    start : ndarray of shape (3,), int
        Index in `data` of the crop's first voxel; negative beyond its border.
    """
    sigma = np.sqrt(np.maximum(ratio**2 - 1, 0) / (8 * np.log(2)))
    box = bounding_box(mask, margin=int(np.ceil(2 + 3 * sigma.max())))
    inside, source = mask[box], data[box].astype(np.float32)
    nearest = distance_transform_edt(
        ~inside, return_distances=False, return_indices=True
    )
    source = np.pad(source[tuple(nearest)], room, mode="edge")
    weight = np.pad(inside.astype(np.float32), room)  # the brain may touch the border
    if sigma.any():
        source = gaussian_filter(source, sigma, mode="nearest")
        weight = gaussian_filter(weight, sigma, mode="constant")
    return source, weight, np.array([edge.start for edge in box]) - room


def bounding_box(mask, *, margin=0):
    """Compute the bounding box of a mask, with a margin within the array: slices."""
    box = find_objects(mask.astype(np.uint8))[0]
    return tuple(
        slice(max(edge.start - margin, 0), min(edge.stop + margin, n))
        for edge, n in zip(box, mask.shape)
    )


def bounding_corners(mask, affine):
    """Compute the lowest and highest coordinates of a mask's voxels, by centres.

    Both are of shape (3,), in mm for a voxel-to-world affine.
    """
    points = np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]
    return points.min(axis=0), points.max(axis=0)


def nudge(mask, matrix, grid):
    """Compute the shift of an aligned brain that avoids a cut by the grid.

    `matrix` maps a grid voxel to a native voxel, on which the mask is. The shift, of
    shape (3,) in mm, is 0 along an axis where the brain fits, or where none within 4 mm
    makes it fit.
    """
    below, above = excess(mask, matrix, grid.shape, grid.voxel_size)
    move = np.maximum(below, 0) - np.maximum(above, 0)
    helps = (below + above <= 0) & (np.abs(move) <= _NUDGE)
    return np.where(helps, move, 0.0)


def check_fit(mask, matrix, grid):
    """Refuse a brain that the grid would cut, with the distance and a shape that fits.

    It is cut where the centre of a brain voxel lies outside of the field of view. The
    arguments are those of `nudge`.
    """
    ends = excess(mask, matrix, grid.shape, grid.voxel_size)
    if np.all(ends <= 1e-6):
        return
    names = ("left", "right", "posterior", "anterior", "inferior", "superior")
    sides = zip(ends.T.ravel(), names)
    beyond = ", ".join(f"{v:.1f} mm {name}" for v, name in sides if v > 1e-6)
    margin = ends.max(axis=0).clip(0) / grid.voxel_size
    shape = grid.shape + 2 * np.ceil(margin).astype(int)
    shape = -(-shape // 8) * 8  # divisible by 2 three times
    raise InputError(
        f"the brain does not fit the grid of {times(grid.shape)} voxels of "
        f"{times(grid.voxel_size)} mm: it reaches beyond by {beyond}; expected a "
        f"brain inside of the grid; one of {times(shape)} voxels would hold it"
    )


def excess(mask, matrix, shape, voxel_size):
    """Compute by how many mm a brain exceeds a grid, below and above: shape (2, 3).

    `matrix` maps a voxel of the grid to a voxel of the mask.
    """
    low, high = bounding_corners(mask, np.linalg.inv(matrix))
    return np.stack([-0.5 - low, high - np.array(shape) + 0.5]) * voxel_size


def scale_to_unit(data, mask, *, percentiles=(0.5, 99.5)):
    """Scale intensities to [0, 1] in the brain; the background is exactly 0.

    The two percentiles of the brain's intensities become 0 and 1, and values beyond are
    clipped; (0, 100) is the min-max scaling. Return the volume, float32, and the
    intensities that became 0 and 1.
    """
    low, high = (float(value) for value in np.percentile(data[mask], percentiles))
    if not high > low:
        raise InputError(
            f"constant brain: the percentiles {percentiles} are both {low:g}; "
            "expected an image with contrast"
        )
    scaled = ((data - low) / (high - low)).clip(0, 1)
    return np.where(mask, scaled, 0).astype(np.float32), (low, high)
