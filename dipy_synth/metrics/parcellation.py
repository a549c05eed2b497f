"""Grey matter by region, over a coarse parcellation in MNI space."""

from functools import lru_cache

import numpy as np
from scipy.spatial import KDTree

from dipy_synth.errors import InputError
from dipy_synth.metrics.differences import compare_volumes

#: Regions of `parcellate`, of both hemispheres; labels 1 to 8.
REGIONS = (
    "frontal",
    "parietal",
    "temporal",
    "occipital",
    "insula",
    "basal ganglia",
    "thalamus",
    "cerebellum",
)
# Words in the names of the cortical regions of Dosenbach et al., first match; the
# cingulate goes to the lobes as in the Desikan-Killiany atlas.
_LOBES = (
    ("insula", "insula"),
    ("occipital", "occipital"),
    *((word, "temporal") for word in ("temporal", "fusiform")),
    *((word, "frontal") for word in ("front", "ACC", "FC", "SMA", "precentral")),
    *(
        (word, "parietal")
        for word in ("pariet", "IPL", "IPS", "TPJ", "angular", "precuneus", "cingul")
    ),
)
# Regions of Seitzman et al. that are not of the cortex's two sides.
_DEEP = {
    "hippocampus": "temporal",
    "amygdala": "temporal",
    "basalGanglia": "basal ganglia",
    "thalamus": "thalamus",
    "cerebellum": "cerebellum",
}
_GREY = 2  # label of grey matter in `dipy_synth.metrics.anatomy.segment_tissues`


@lru_cache(maxsize=2)
def parcellate(grid):
    """Label each voxel of a grid in MNI space by its region.

    A voxel belongs to the region of the nearest of some 200 points: those of the cortex
    are of Dosenbach et al. :footcite:p:`dosenbach2010brain`, those of deep structures
    and the cerebellum of Seitzman et al. :footcite:p:`seitzman2020regions`, as nilearn
    ships them. Borders are accurate to about the distance of the points, 1 to 2 cm: it
    is meant to compare cohorts, not to delineate.

    Parameters
    ----------
    grid : Grid
        A grid in MNI space, three axes.

    Returns
    -------
    ndarray of shape (I, J, K), uint8
        1 to 8, in the order of `REGIONS`; outside of the brain, too.

    References
    ----------
    .. footbibliography::
    """
    points, names = _points()
    index = np.indices(grid.shape).reshape(3, -1).T
    affine = grid.affine
    nearest = KDTree(points).query(index @ affine[:3, :3].T + affine[:3, 3])[1]
    labels = np.array([1 + REGIONS.index(name) for name in names], "uint8")
    regions = labels[nearest].reshape(grid.shape)
    regions.flags.writeable = False
    return regions


def grey_matter_by_region(labels, *, grid):
    """Compute the volume of grey matter, in mL, in each region: dict by `column`.

    Parameters
    ----------
    labels : array of shape (I, J, K), int
        Labels of `dipy_synth.metrics.anatomy.segment_tissues`.
    grid : Grid
        The grid of the labels. The brain is aligned to MNI152.
    """
    labels = np.asarray(labels)
    if labels.shape != grid.shape:
        raise InputError(f"labels {labels.shape}: expected the grid's {grid.shape}")
    found = parcellate(grid)[labels == _GREY]
    counts = np.bincount(found, minlength=1 + len(REGIONS))[1:]
    voxel = np.prod(grid.voxel_size) / 1000
    return {column(name): float(n * voxel) for name, n in zip(REGIONS, counts)}


def column(region):
    """Return the name of a region's volume among the metrics of a brain: str."""
    return f"{region.replace(' ', '_')}_grey_ml"


def compare_regions(real, synthetic, *, seed=0):
    """Compare the grey matter of two cohorts, region by region.

    Parameters
    ----------
    real, synthetic : sequence of dict, (n,) and (m,)
        Metrics of each brain, with those of `grey_matter_by_region`.
    seed : int, optional
        Random seed of the bootstrap.

    Returns
    -------
    tuple of VolumeDifference, (8,)

    Raises
    ------
    InputError
        If a cohort has fewer than two brains.
    """
    columns = {name: column(name) for name in REGIONS}
    return compare_volumes(real, synthetic, columns, seed=seed)


def _points():
    """Return points in MNI space, in mm, (n, 3), and their regions."""
    from nilearn.datasets import fetch_coords_dosenbach_2010, fetch_coords_seitzman_2018

    cortex, whole = fetch_coords_dosenbach_2010(), fetch_coords_seitzman_2018()
    points = [atlas.rois[["x", "y", "z"]].to_numpy(float) for atlas in (cortex, whole)]
    names = [*map(_lobe, cortex.labels), *map(_DEEP.get, whole.regions)]
    known = [i for i, name in enumerate(names) if name]
    return np.concatenate(points)[known], [names[i] for i in known]


def _lobe(name):
    """Return the lobe of a region of Dosenbach et al.; None for deep ones."""
    return next((lobe for word, lobe in _LOBES if word in name), None)
