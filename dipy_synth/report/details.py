"""More pictures of prepared volumes: further slices, and the scan around the mask."""

import numpy as np
from scipy.ndimage import distance_transform_edt

from dipy_synth.data.nifti import read_volume
from dipy_synth.data.operations import bounding_box, resample
from dipy_synth.data.prepared import prepared_path, read_prepared
from dipy_synth.data.prepared_folder import unchanged_source
from dipy_synth.report.drawing import slices

DEPTHS = (0.2, 0.35, 0.65, 0.8)  # of the extent of the brain
AROUND = 10.0  # mm of the scan around the mask: skull and missed brain, no face


def detail_pictures(cohort, key, links):
    """Draw a volume at several depths, and its scan as it was around the brain mask.

    Parameters
    ----------
    cohort : Cohort
        The prepared cohort.
    key : str
        The volume.
    links : dict
        ``DatasetLinks`` of the cohort's description, by which the scan is found.

    Returns
    -------
    list of dict
        Pictures of `dipy_synth.report.drawing.slices`, that of the scan first. It is
        left out if its files are not there any more, or have changed.
    """
    prepared = read_prepared(prepared_path(cohort.root, key))
    mask, size, pictures = prepared.mask, cohort.grid.voxel_size, []
    path = unchanged_source(cohort.root, key, links)
    if path is not None:
        scan = _scan_around(path, prepared, size)
        label = f"Mid-slices of {key} before its preparation"
        pictures.append(slices(scan, mask, size, label=label))
    box = bounding_box(mask)
    for depth in DEPTHS:
        at = [round(edge.start + depth * (edge.stop - 1 - edge.start)) for edge in box]
        label = f"Slices of {key} at {100 * depth:.0f} % of the brain's extent"
        pictures.append(slices(prepared.data, mask, size, label=label, at=at))
    return pictures


def _scan_around(path, prepared, voxel_size):
    """Return the scan of a volume on the grid, within 10 mm of its mask."""
    scan, affine = read_volume(path)
    matrix = np.linalg.solve(affine, prepared.voxel_to_native)
    whole, mask = np.ones(scan.shape, bool), prepared.mask
    on_grid, there = resample(scan, whole, matrix, mask.shape, order=1)
    low, high = np.percentile(on_grid[mask], (0.5, 99.5))
    near = distance_transform_edt(~mask, sampling=voxel_size) <= AROUND
    scaled = (on_grid - low) / max(high - low, 1e-6)
    return np.where(near & there, scaled.clip(0, 1), 0)
