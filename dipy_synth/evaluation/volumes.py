"""Reading of cohorts to compare: the volumes of a folder, checked, on one grid."""

from dataclasses import dataclass, replace
import hashlib
from pathlib import Path

from nibabel import orientations
from nibabel.affines import apply_affine
import numpy as np

from dipy_synth.data.arrays import as_volumes
from dipy_synth.data.brain_extraction import POSSIBLE, volume_of
from dipy_synth.data.headers import TOLERANCE, affine_distance
from dipy_synth.data.intensities import background_values
from dipy_synth.data.label_table import read_names
from dipy_synth.data.listing import list_images
from dipy_synth.data.nifti import read_volume
from dipy_synth.data.operations import resample
from dipy_synth.data.plain_names import is_mask
from dipy_synth.data.prepared import is_prepared_cohort, prepared_keys, prepared_path
from dipy_synth.data.prepared_tables import read_rows
from dipy_synth.data.readers import read_records
from dipy_synth.data.records import entities
from dipy_synth.errors import InputError
from dipy_synth.evaluation.label_volumes import LabelMaps, find_labels
from dipy_synth.grid import Grid, times
from dipy_synth.metrics.array_checks import THRESHOLD
from dipy_synth.utils.files import read_object
from dipy_synth.utils.rows import stored_rows

OTHER_UNIT = 10.0  # noise about [0, 1] is below, intensities of a scanner are above
MARGIN, MOST_CUT = 0.05, 0.1  # beyond [0, 1], and the fraction of voxels that may lie
KEPT = 0.98  # least fraction of a volume's foreground on the other grid
NOT_ASKED = {"participant_id", "matched_id", "sample", "split", "session_id"}


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
    reader = _Reader(grid, assumed=assumed, noise=noise)
    names, files, rows = zip(*found)
    volumes = stored_rows(map(reader, files), len(files))
    label_maps, sizes = find_labels(files, read_names(source))
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
        (key, prepared_path(root, key), _asked(row))
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
    return [(r.key, r.image, _asked(r.covariates)) for r in records]


def _asked(row):
    return {name: value for name, value in row.items() if name not in NOT_ASKED}


class _Reader:
    """Reader of files on one grid, by default that of the first, with notes."""

    def __init__(self, grid, *, assumed=None, noise=False):
        self.grid, self._assumed, self._noise = grid, assumed, noise
        self._cut, self._moved = [], []

    def __call__(self, path):
        data, affine = read_volume(path)
        if self._assumed is not None:
            if data.shape != self._assumed.shape:
                raise InputError(
                    f"{path}: shape {data.shape}, expected {self._assumed.shape}"
                )
            affine = self._assumed.affine
        data = self._checked(path, data)
        data, affine = _to_ras(data, affine)
        if self.grid is None:
            self.grid = _grid_of(path, data.shape, affine)
        apart = affine_distance(self.grid.shape, affine, self.grid.affine)
        tolerance = TOLERANCE * min(self.grid.voxel_size)
        if data.shape != self.grid.shape or apart > tolerance:
            data = self._moved_to_grid(path, data, affine)
        return data.astype("float16")

    def notes(self):
        """Changes of volumes when read: tuple of str."""
        notes = ()
        if self._moved:
            notes += (
                f"{len(self._moved)} volumes, the first {self._moved[0]}, lie on "
                f"another grid and were resampled to {times(self.grid.shape)} voxels "
                f"of {times(self.grid.voxel_size)} mm",
            )
        if self._cut:
            path, low, high = self._cut[0]
            notes += (
                f"{len(self._cut)} volumes have values outside of [0, 1], which were "
                f"clipped; the first, {path}, goes from {low:.3g} to {high:.3g}",
            )
        return notes

    def _checked(self, path, data):
        """Refuse volumes that are not in [0, 1]; clip values a little outside."""
        if not np.isfinite(data).all():
            raise InputError(
                f"{path}: {np.count_nonzero(~np.isfinite(data))} voxels are NaN or "
                "infinite; expected values in [0, 1]"
            )
        low, high = float(data.min()), float(data.max())
        if low == high:
            raise InputError(f"{path}: all voxels are {low:g}; expected a volume")
        if max(-low, high) > OTHER_UNIT or high <= THRESHOLD:
            raise InputError(
                f"{path}: values from {low:g} to {high:g}; expected [0, 1] "
                "(dipy_preprocess_t1 prepares scans)"
            )
        if not self._noise:
            _check_unit(path, data)
        if low < -1e-6 or high > 1 + 1e-6:
            self._cut.append((path, low, high))
        return data.clip(0, 1)

    def _moved_to_grid(self, path, data, affine):
        """Resample a volume; refuse one whose brain is not on the grid."""
        where = (
            f"{path}: shape {data.shape}, affine {_in_a_line(affine)}; the real "
            f"volumes' is {self.grid.shape}, {_in_a_line(self.grid.affine)}"
        )
        mask = data > THRESHOLD
        matrix, volume = self.grid.voxel_map(affine), volume_of(mask, affine)
        if volume < POSSIBLE[0]:
            raise InputError(
                f"{where}. On that grid it has {volume:.3g} mL; expected a brain of "
                f"{POSSIBLE[0]:.0f} mL or more: are the voxel sizes right?"
            )
        if _share_on(self.grid, mask, matrix) < KEPT:
            raise InputError(
                f"{where}. Most of it would be lost on that grid; expected volumes on "
                "one grid, or in one world space"
            )
        moved, _ = resample(data, mask, matrix, self.grid.shape, order=1)
        self._moved.append(path)
        return moved


def _check_unit(path, data):
    """Refuse a brain most of which is clipped, or whose background is not 0."""
    there = data[data != 0]
    cut = np.mean((there < -MARGIN) | (there > 1 + MARGIN))
    if cut > MOST_CUT:
        raise InputError(
            f"{path}: values from {data.min():.3g} to {data.max():.3g}, {cut:.0%} of "
            "them outside of [0, 1]; expected [0, 1], the background 0"
        )
    background = background_values(data)
    if background and background[0] > THRESHOLD:
        raise InputError(
            f"{path}: a background of {background[0]:.3g}; expected 0, and the brain "
            "in [0, 1]"
        )


def _to_ras(data, affine):
    """Permute and flip axes to RAS."""
    order = orientations.io_orientation(affine)
    turned = orientations.apply_orientation(data, order)
    return turned, affine @ orientations.inv_ornt_aff(order, data.shape)


def _grid_of(path, shape, affine):
    """Return the grid of a volume whose axes are those of the world."""
    sizes = np.diag(affine)[:3]
    if np.abs(affine[:3, :3] - np.diag(sizes)).max() > 1e-3 * sizes.min():
        raise InputError(
            f"{path}: affine {_in_a_line(affine)} is oblique; expected axes along "
            "those of the world (dipy_preprocess_t1 prepares scans)"
        )
    middle = apply_affine(affine, (np.array(shape) - 1) / 2)
    return Grid(shape, tuple(sizes), tuple(middle))


def _share_on(grid, mask, matrix):
    """Compute the fraction of a mask on a grid; `matrix` maps grid to mask voxels."""
    places = np.argwhere(mask)
    if not len(places):
        return 0.0
    found = apply_affine(np.linalg.inv(matrix), places)
    inside = (found > -1) & (found < np.array(grid.shape))
    return float(inside.all(axis=1).mean())


def _in_a_line(affine):
    rows = (" ".join(f"{v:.4g}" for v in row) for row in affine[:3])
    return f"[{'; '.join(rows)}]"
