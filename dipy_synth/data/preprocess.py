"""Preprocessing of one T1 scan to a volume on the grid, and its inverse."""

from dataclasses import dataclass

import numpy as np

from dipy_synth.data.align import find_transform, rotation_angle, template_correlation
from dipy_synth.data.arrays import is_image, read_image
from dipy_synth.data.brain_extraction import (
    check_volume_of,
    choose_extractor,
    find_brain,
    volume_of,
    without_islands,
)
from dipy_synth.data.columns import few
from dipy_synth.data.intensities import (
    background_values,
    check_contrast,
    clip_outliers,
)
from dipy_synth.data.label_maps import as_label_map, resample_labels
from dipy_synth.data.operations import (
    bounding_corners,
    check_fit,
    correct_bias,
    nudge,
    resample,
    scale_to_unit,
)
from dipy_synth.data.preprocess_config import PreprocessConfig
from dipy_synth.data.scan_checks import (
    check_alignment,
    check_axes,
    check_background,
    check_scan,
)
from dipy_synth.data.transform_img import transform_t1
from dipy_synth.errors import InputError

MOST_OUTSIDE = 0.05  # of the labelled voxels, outside of the brain


@dataclass(frozen=True)
class PreparedT1:
    """A scan on the grid, with its transform to native space.

    Parameters
    ----------
    data : ndarray of shape (I, J, K), float32
        The brain in [0, 1]; the background is exactly 0.
    mask : ndarray of shape (I, J, K), bool
        The brain.
    affine : ndarray of shape (4, 4)
        Voxel to prepared world, in mm, RAS.
    prepared_to_native : ndarray of shape (4, 4)
        Prepared world to native world, in mm.
    intensity_range : tuple of float, (2,)
        The native intensities (after bias correction) that became 0 and 1.
    native_shape : tuple of int, (3,)
        Shape of the native image.
    native_affine : ndarray of shape (4, 4)
        Voxel to native world, in mm.
    brain_volume : float
        Volume of the native brain mask, in mL.
    brain : str, optional
        The extractor of the brain: a key of
        `dipy_synth.data.brain_extraction.EXTRACTORS`, or "given".
    correlation : float or None, optional
        Correlation with the template after the alignment, see
        `dipy_synth.data.align.template_correlation`; None without an alignment.
    warnings : tuple of str, optional
        Unusual properties, which may be errors.
    label_map : ndarray of shape (I, J, K), int32, or None, optional
        Labels on the grid, 0 outside of the brain.
    """

    data: np.ndarray
    mask: np.ndarray
    affine: np.ndarray
    prepared_to_native: np.ndarray
    intensity_range: tuple[float, float]
    native_shape: tuple[int, int, int]
    native_affine: np.ndarray
    brain_volume: float
    brain: str = ""
    correlation: float | None = None
    warnings: tuple[str, ...] = ()
    label_map: np.ndarray | None = None

    @property
    def voxel_to_native(self):
        """Map from voxels of the grid to native world: ndarray of shape (4, 4)."""
        return self.prepared_to_native @ self.affine


def prepare_t1(
    data, affine=None, *, mask=None, label_map=None, preprocessing=None, threads=1
):
    """Prepare a T1 scan on the grid.

    Parameters
    ----------
    data : ndarray of shape (X, Y, Z), nibabel image, or its path
        The scan, in any unit and orientation, with any zero (z-scores, an offset).
    affine : ndarray of shape (4, 4), optional
        Voxel-to-world affine, in mm, RAS world; that of the image if `data` is one.
    mask : ndarray of shape (X, Y, Z), nibabel image, or its path, optional
        The brain, on the voxels of `data`.
    label_map : ndarray of shape (X, Y, Z), nibabel image, or its path, optional
        Integer labels, on the voxels of `data`. They go to the grid by the nearest
        voxel, through the same matrix as the scan.
    preprocessing : PreprocessConfig, optional
        The steps; ``PreprocessConfig()`` by default.
    threads : int, optional
        Threads that N4 and the alignment may use.

    Returns
    -------
    PreparedT1

    Raises
    ------
    InputError
        If the scan is not a finite, three-dimensional image with contrast, its brain
        is empty, of an impossible volume, or larger than the grid, or labels are no
        integers or of another shape.
    """
    preprocessing = PreprocessConfig() if preprocessing is None else preprocessing
    data, affine, mask = _as_arrays(data, affine, mask)
    data = check_scan(data, affine, mask)
    label_map = _check_label_map(label_map, data.shape)
    extractor = choose_extractor(data, affine, mask=mask, brain=preprocessing.brain)
    brain = find_brain(data, affine, mask=mask, brain=extractor)
    brain, words = without_islands(brain)
    volume, native_shape = volume_of(brain, affine), data.shape
    warnings = [check_volume_of(volume, extractor), words, check_axes(affine)]
    warnings.append(check_background(data, brain))
    data, brain, words = _sound_values(data, brain)
    warnings.append(words)
    if preprocessing.bias:
        data = correct_bias(data, brain, affine, threads=threads)
    given = data, brain, affine
    data, inside, grid, world = _regrid(*given, preprocessing, threads)
    if not inside.any():
        raise InputError("the brain mask has no voxel left at the grid's resolution")
    correlation = None
    if preprocessing.align != "none":
        correlation = template_correlation(*given, world)
        warnings.append(check_alignment(correlation, rotation_angle(world)))
    limits = (
        (0, 100) if preprocessing.scaling == "minmax" else preprocessing.percentiles
    )
    data, intensity_range = scale_to_unit(data, inside, percentiles=limits)
    if label_map is not None:
        matrix = grid.voxel_map(affine, world=world)
        warnings.append(_labels_outside(label_map, brain))
        label_map, words = _regrid_labels(label_map, matrix, inside)
        warnings.append(words)
    return PreparedT1(
        data=data,
        mask=inside,
        affine=grid.affine,
        prepared_to_native=world,
        intensity_range=intensity_range,
        native_shape=native_shape,
        native_affine=affine,
        brain_volume=volume,
        brain=extractor,
        correlation=correlation,
        warnings=tuple(filter(None, warnings)),
        label_map=label_map,
    )


def _check_label_map(label_map, shape):
    """Return a label map as an array; refuse one of another shape."""
    if label_map is None:
        return None
    if is_image(label_map):
        label_map = read_image(label_map)[0]
    label_map = as_label_map(label_map, "label map")
    if label_map.shape != shape:
        raise InputError(
            f"a label map of shape {label_map.shape}: expected the image's, {shape}"
        )
    return label_map


def _labels_outside(label_map, brain):
    """Say how many labelled voxels lie outside of the native brain; "" if few."""
    there = np.count_nonzero(label_map)
    if not there:
        return "the label map is all zero: no voxel has a label"
    outside = np.count_nonzero(label_map[~brain])
    if outside <= MOST_OUTSIDE * there:
        return ""
    return (
        f"{outside / there:.0%} of the labelled voxels lie outside of the brain mask "
        "and were left out"
    )


def _regrid_labels(label_map, matrix, inside):
    """Resample labels to the grid, 0 outside of the brain; say which are lost."""
    on_grid = np.where(inside, resample_labels(label_map, matrix, inside.shape), 0)
    lost = np.setdiff1d(label_map[label_map != 0], on_grid)
    words = f"labels lost, without a voxel of the grid's brain: {few(map(str, lost))}"
    return on_grid, words if lost.size else ""


def _as_arrays(data, affine, mask):
    """Read what is an image or its path; return data, affine and mask as arrays."""
    if is_image(data):
        if affine is not None:
            raise InputError("an image with an affine: expected one of them")
        data, affine = read_image(data)
    if affine is None:
        raise InputError("data without an affine: expected both, or an image")
    if mask is not None and is_image(mask):
        mask = read_image(mask)[0]
    return data, np.asarray(affine, dtype=float), mask


def _sound_values(data, brain):
    """Remove padding from the mask, clip outliers, and refuse a constant brain."""
    padding = [value for value in background_values(data) if value < 0]
    without = brain & ~np.isin(data, padding)
    brain = without if without.any() else brain
    check_contrast(data, brain)
    data, cut = clip_outliers(data, brain)
    words = (
        f"{cut} voxels of the brain are far from all others; they were cut to "
        f"{data[brain].min():g} to {data[brain].max():g}"
    )
    return data, brain, words if cut else ""


def _regrid(data, mask, affine, preprocessing, threads):
    """Resample a scan and its mask; return also its grid and the map to native."""
    if preprocessing.regrid == "dipy":
        found = transform_t1(
            data, mask, affine, preprocessing.grid, order=preprocessing.order
        )
        return *found, np.eye(4)
    grid, world = _place(data, mask, affine, preprocessing, threads)
    matrix = grid.voxel_map(affine, world=world)
    check_fit(mask, matrix, grid)
    return (
        *resample(data, mask, matrix, grid.shape, order=preprocessing.order),
        grid,
        world,
    )


def _place(data, mask, affine, preprocessing, threads):
    """Return the grid of a scan, and the map from its world to the native world."""
    if preprocessing.align == "none":
        low, high = bounding_corners(mask, affine)
        return preprocessing.grid.centered_on((low + high) / 2), np.eye(4)
    world = find_transform(
        data, mask, affine, kind=preprocessing.align, threads=threads
    )
    move = np.eye(4)
    move[:3, 3] -= nudge(
        mask, preprocessing.grid.voxel_map(affine, world=world), preprocessing.grid
    )
    return preprocessing.grid, world @ move


def restore_labels(prepared):
    """Resample the label map of a prepared scan to the voxels of its native image.

    Parameters
    ----------
    prepared : PreparedT1
        A scan with a label map, which may be the output of a network.

    Returns
    -------
    label_map : ndarray of shape (X, Y, Z), int32
        Labels on the native voxels, each that of the nearest voxel.
    affine : ndarray of shape (4, 4)
        The native voxel-to-world affine, in mm.
    """
    matrix = _from_native(prepared)
    found = resample_labels(prepared.label_map, matrix, prepared.native_shape)
    return found, prepared.native_affine


def _from_native(prepared):
    """Return the map from native voxels to voxels of the grid: ndarray (4, 4)."""
    return np.linalg.solve(prepared.voxel_to_native, prepared.native_affine)


def restore_t1(prepared, *, order=3):
    """Resample a prepared volume to the voxels of its native image.

    Geometry and intensity scale are inverted. The bias field is not restored, and
    intensities beyond the percentiles stay clipped.

    Parameters
    ----------
    prepared : PreparedT1
        The volume; its `data` may be the output of a network.
    order : {3, 1}, optional
        Cubic (within the prepared range) or linear interpolation.

    Returns
    -------
    data : ndarray of shape (X, Y, Z), float32
        The brain on the native voxels, in the native unit, 0 outside.
    affine : ndarray of shape (4, 4)
        The native voxel-to-world affine, in mm.
    """
    matrix = _from_native(prepared)
    data, inside = resample(
        prepared.data, prepared.mask, matrix, prepared.native_shape, order=order
    )
    low, high = prepared.intensity_range
    data = np.where(inside, low + data * (high - low), 0)
    return data.astype(np.float32), prepared.native_affine
