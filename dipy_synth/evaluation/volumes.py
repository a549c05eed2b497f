"""Reading of cohorts to compare: the volumes of a folder, checked, on one grid."""

from dataclasses import dataclass, replace
import hashlib
from pathlib import Path

import numpy as np

from dipy_synth.data.arrays import as_volumes
from dipy_synth.data.label_table import read_names
from dipy_synth.data.listing import list_images
from dipy_synth.data.plain_names import is_mask
from dipy_synth.data.prepared import is_prepared_cohort, prepared_keys, prepared_path
from dipy_synth.data.prepared_tables import read_rows
from dipy_synth.data.readers import read_records
from dipy_synth.data.records import entities
from dipy_synth.errors import InputError
from dipy_synth.evaluation.label_volumes import LabelMaps, find_labels
from dipy_synth.evaluation.volume_reader import VolumeReader
from dipy_synth.grid import Grid
from dipy_synth.utils.files import read_object
from dipy_synth.utils.rows import stored_rows

NO_CONDITIONS = {"participant_id", "matched_id", "sample", "split", "session_id"}


@dataclass(frozen=True)
class Volumes:
    """A cohort in memory.

    Parameters
    ----------
    volumes : array_like, or sequence of images, (n, I, J, K)
        In [0, 1], RAS, the background 0; float16 is enough. Images as of
        `dipy_synth.data.arrays.as_volumes`.
    grid : Grid
        Grid of the volumes.
    name : str, optional
        Name in a report.
    names : tuple of str, (n,), optional
        Names of the volumes; numbers by default.
    rows : tuple of dict, (n,), optional
        Known or requested covariates of each: column to str, number or None.
    notes : tuple of str, optional
        Changes of the volumes when read, in sentences.
    labels : tuple of dict or None, (n,), optional
        Volume of each label of each, in mL, see
        `dipy_synth.evaluation.label_volumes.find_labels`.
    label_maps : LabelMaps, optional
        The label maps themselves.

    Raises
    ------
    InputError
        If volumes do not fit the grid, or numbers of names, rows or labels differ.
    """

    volumes: np.ndarray
    grid: Grid
    name: str = "volumes"
    names: tuple = ()
    rows: tuple = ()
    notes: tuple = ()
    labels: tuple = ()
    label_maps: LabelMaps | None = None

    def __post_init__(self):
        object.__setattr__(self, "volumes", as_volumes(self.volumes))
        n, shape = len(self.volumes), tuple(self.volumes.shape[1:])
        if shape != self.grid.shape:
            raise InputError(
                f"{self.name}: volumes of {shape}; expected the grid's "
                f"{self.grid.shape}"
            )
        names = tuple(self.names) or tuple(str(i) for i in range(n))
        rows = tuple(self.rows) or ({},) * n
        labels = tuple(self.labels) or (None,) * n
        if not len(names) == len(rows) == len(labels) == n:
            raise InputError(
                f"{self.name}: {n} volumes, {len(names)} names, {len(rows)} rows, "
                f"{len(labels)} of labels; expected as many of each"
            )
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "labels", labels)

    def __len__(self):
        return len(self.volumes)

    def take(self, chosen, *, name=None):
        """Select volumes: array of int or bool -> Volumes."""
        chosen = np.arange(len(self))[chosen]
        return replace(
            self,
            volumes=self.volumes[chosen],
            names=tuple(self.names[i] for i in chosen),
            rows=tuple(self.rows[i] for i in chosen),
            labels=tuple(self.labels[i] for i in chosen),
            label_maps=self.label_maps and self.label_maps.take(chosen),
            name=name or self.name,
        )

    def column(self, name):
        """Return a column of the rows: list of str, number or None, (n,)."""
        return [row.get(name) for row in self.rows]

    def hashes(self):
        """Compute the SHA-256 of each volume's values: list of str, (n,)."""
        arrays = (np.ascontiguousarray(volume, "float32") for volume in self.volumes)
        return [hashlib.sha256(array).hexdigest() for array in arrays]

    def to_config(self):
        """Return a description in JSON types: dict."""
        joined = hashlib.sha256("".join(self.hashes()).encode())
        return {
            "name": self.name,
            "n": len(self),
            "sha256": joined.hexdigest(),
            "grid": self.grid.to_config(),
            "notes": list(self.notes),
        }


def load_volumes(source, *, split=None, grid=None, noise=False):
    """Read a cohort, one volume at a time.

    Parameters
    ----------
    source : str or Path
        A folder that ``dipy_preprocess_t1`` or ``dipy_synth_mri`` wrote, any other
        folder with NIfTI files (BIDS or not), a file, or wildcards.
    split : {"train", "validation"}, optional
        One side of a prepared cohort; all of it by default.
    grid : Grid, optional
        Grid of the result; that of the files by default. Volumes of another grid are
        resampled, with a note.
    noise : bool, optional
        Whether the volumes are no brains: any part of a volume may be outside of
        [0, 1], and the background may have any value.

    Returns
    -------
    Volumes
        In float16, memory-mapped from a temporary file. Values outside of [0, 1] are
        clipped, with a note.

    Raises
    ------
    InputError
        If there is no volume, or one cannot be read, is constant or not finite, in
        another unit, with a background other than 0, or too far off the grid. The
        message names the file.
    """
    prepared = is_prepared_cohort(source)
    found = _prepared_files(source, split) if prepared else _files(source)
    if not found:
        where = f" in {split}" if split else ""
        raise InputError(f"{source}: 0 volumes{where}; expected 1 or more")
    if prepared:  # arrays on one grid, aligned or not, as for a network
        known = read_object(Path(source) / "dataset_description.json")["DipySynth"]
        grid, own = grid or Grid.from_config(known["Grid"]), known["Grid"]
    assumed = Grid.from_config(own) if prepared else None
    reader = VolumeReader(grid, assumed=assumed, noise=noise)
    names, files, rows = zip(*found)
    volumes = stored_rows(map(reader, files), len(files))
    label_maps, sizes = find_labels(files, read_names(source), assumed=assumed)
    return Volumes(
        volumes,
        reader.grid,
        name=f"{source}{f' ({split})' if split else ''}",
        names=names,
        rows=rows,
        notes=reader.notes(),
        labels=sizes,
        label_maps=label_maps,
    )


def _prepared_files(root, split):
    """List key, file and row of each volume of a prepared cohort."""
    keys = prepared_keys(root)
    if not keys:
        raise InputError(f"{root}: no prepared volume; expected some")
    return [
        (key, prepared_path(root, key), _conditions(row))
        for key, row in zip(keys, read_rows(root, keys))
        if split is None or row.get("split") == split
    ]


def _files(source):
    """List key, file and row of each volume of any other cohort."""
    images = [path for path in list_images(source) if not is_mask(path)]
    if not images:
        raise InputError(f"{source}: masks alone; expected volumes")
    # Single files of a prepared cohort are volumes here, not ignored derivatives.
    ours = all(entities(path).get("desc") == "prepared" for path in images)
    records = read_records(source, layout="files" if ours else "auto")
    return [(r.key, r.image, _conditions(r.covariates)) for r in records]


def _conditions(row):
    return {name: value for name, value in row.items() if name not in NO_CONDITIONS}
