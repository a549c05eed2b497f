"""Label maps beside the volumes of a cohort: how large each label is."""

import re

import numpy as np

from dipy_synth.data.label_maps import read_label_map
from dipy_synth.data.label_table import Labels
from dipy_synth.metrics.differences import compare_volumes

_T1W = re.compile(r"(_desc-[a-zA-Z0-9]+)?_T1w(?=\.nii(\.gz)?$)")


def measure_labels(images, names):
    """Measure the labels of images that have a label map beside them.

    Parameters
    ----------
    images : sequence of Path
        Volumes, such as ``sub-X_desc-prepared_T1w.nii.gz``. The map of this one is
        ``sub-X_dseg.nii.gz``.
    names : dict of int to str
        Known names of labels, see `dipy_synth.data.label_table.read_names`.

    Returns
    -------
    tuple of dict of str to float, or None, (n,)
        From names of labels to mL, the same names in each; None without a map.
    """
    maps = (image.with_name(_T1W.sub("_dseg", image.name)) for image in images)
    sizes = [*map(_millilitres, maps)]
    values = {value for found in sizes if found is not None for value in found}
    labels = Labels.of(values | set(names), names)
    return tuple(
        None
        if found is None
        else {n: found.get(v, 0.0) for v, n in zip(labels.values, labels.names)}
        for found in sizes
    )


def _millilitres(path):
    """Return the volume of each value of a label map, None if there is none: dict."""
    if not ("_dseg" in path.name and path.is_file()):
        return None
    maps, affine = read_label_map(path)
    size = abs(np.linalg.det(affine[:3, :3])) / 1000
    values, counts = np.unique(maps, return_counts=True)
    return dict(zip(values.tolist(), (counts * size).tolist()))


def compare_labels(real, synthetic, *, seed=0):
    """Compare the volumes of the labels that two cohorts share.

    Parameters
    ----------
    real, synthetic : Volumes
        Cohorts. Volumes without a label map are left out.
    seed : int, optional
        Random seed of the bootstrap.

    Returns
    -------
    tuple of VolumeDifference
        One of each shared label; empty where fewer than two volumes have a map.
    """
    sides = [
        [row for row in side.labels if row is not None] for side in (real, synthetic)
    ]
    if min(map(len, sides)) < 2:
        return ()
    shared = [name for name in sides[0][0] if name in sides[1][0]]
    columns = {name: name for name in shared}
    return compare_volumes(*sides, columns, use="labels: bootstrap", seed=seed)


def label_column(name):
    """Return the column of a label's volume in tables, ``dseg_<name>_ml``: str."""
    return f"dseg_{re.sub(r'[^a-z0-9]+', '_', name.lower()).strip('_')}_ml"
