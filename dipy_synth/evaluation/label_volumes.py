"""Label maps beside the volumes of a cohort: how large each label is, and where."""

from dataclasses import dataclass, replace
from pathlib import Path
import re

from dipy_synth.data.label_maps import (
    label_millilitres,
    read_label_map,
    resample_labels,
)
from dipy_synth.data.label_table import Labels
from dipy_synth.grid import Grid
from dipy_synth.metrics.differences import compare_volumes

_T1W = re.compile(r"(_desc-[a-zA-Z0-9]+)?_T1w(?=\.nii(\.gz)?$)")


@dataclass(frozen=True)
class LabelMaps:
    """The label maps of a cohort, in files that are read one at a time.

    Parameters
    ----------
    paths : tuple of Path or None, (n,)
        The label map of each volume.
    names : dict of int to str
        Names of the values, without 0.
    assumed : Grid, optional
        Their grid, whatever their affines: that of a prepared cohort.
    """

    paths: tuple[Path | None, ...]
    names: dict[int, str]
    assumed: Grid | None = None

    @property
    def known(self):
        """Places of the volumes that have a label map: list of int."""
        return [i for i, path in enumerate(self.paths) if path is not None]

    def take(self, chosen):
        """Select volumes: array of int -> LabelMaps."""
        return replace(self, paths=tuple(self.paths[i] for i in chosen))

    def read(self, i, grid):
        """Read a label map, by the nearest voxel of a grid: ndarray of its shape."""
        maps, affine = read_label_map(self.paths[i])
        affine = affine if self.assumed is None else self.assumed.affine
        return resample_labels(maps, grid.voxel_map(affine), grid.shape)


def find_labels(images, names, *, assumed=None):
    """Find and measure the label maps beside images.

    Parameters
    ----------
    images : sequence of Path
        Volumes, such as ``sub-X_desc-prepared_T1w.nii.gz``. The map of this one is
        ``sub-X_dseg.nii.gz``.
    names : dict of int to str
        Known names of labels, see `dipy_synth.data.label_table.read_names`.
    assumed : Grid, optional
        That of a prepared cohort, see `LabelMaps`.

    Returns
    -------
    maps : LabelMaps or None
        None where no image has one.
    sizes : tuple of dict of str to float, or None, (n,)
        From names of labels to mL, the same names in each; None without a map.
    """
    maps = [image.with_name(_T1W.sub("_dseg", image.name)) for image in images]
    maps = [path if "_dseg" in path.name and path.is_file() else None for path in maps]
    sizes = [
        None if path is None else label_millilitres(*read_label_map(path))
        for path in maps
    ]
    values = {value for found in sizes if found is not None for value in found}
    labels = Labels.of(values | set(names), names)
    named = dict(zip(labels.values, labels.names))
    sizes = tuple(
        None if found is None else {n: found.get(v, 0.0) for v, n in named.items()}
        for found in sizes
    )
    there = LabelMaps(tuple(maps), named, assumed) if any(maps) else None
    return there, sizes


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
