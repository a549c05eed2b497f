"""Cache of a cohort's volumes and label maps, in one memory-mapped file each."""

from collections.abc import Callable
from dataclasses import dataclass
import errno
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from dipy_synth.data.label_maps import read_label_map
from dipy_synth.data.label_table import UNKNOWN
from dipy_synth.data.nifti import read_volume
from dipy_synth.data.prepared import label_path
from dipy_synth.errors import InputError
from dipy_synth.utils.files import atomic_path, file_stamp, read_json, write_json

_ROUNDING = 1e-3
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True)
class Kind:
    """A kind of array that is cached: its name, type, and how its files are read."""

    name: str
    dtype: type
    path: Callable  # of the file, from that of the volume
    read: Callable
    absent: float | None = None  # fills the array where there is no file

    def stamp(self, cohort):
        """Return name, size and time of each file; None where there is none."""
        paths = [*map(self.path, cohort.paths)]
        return [None if self.lacks(path) else file_stamp(path) for path in paths]

    def load(self, volume, shape):
        """Read the array of a volume, checked against the grid."""
        path = self.path(volume)
        if self.lacks(path):
            return np.full(shape, self.absent, self.dtype)
        data = self.read(path)[0]
        if data.shape != shape:
            raise InputError(f"{path}: shape {data.shape}, expected {shape}")
        return data.astype(self.dtype)

    def lacks(self, path):
        """Return whether a file is missing, and may be."""
        return self.absent is not None and not path.is_file()


def _read_scaled(path):
    """Read a prepared volume; refuse one that is not in [0, 1], by rounding."""
    data, affine = read_volume(path)
    low, high = float(data.min()), float(data.max())
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):
        raise InputError(
            f"{path}: values from {low:g} to {high:g}; expected [0, 1], as "
            "dipy_preprocess_t1 wrote them"
        )
    return data, affine


VOLUMES = Kind("volumes", np.float16, Path, _read_scaled)
LABEL_MAPS = Kind("labels", np.int32, label_path, read_label_map, absent=UNKNOWN)


def cached(cohort, kind=VOLUMES):
    """Memory-map the cache of an array, rebuilt when the files have changed.

    It is in the folder of the cohort; of one that may only be read, in a temporary
    folder, which this process makes once and removes at its end.
    """
    try:
        stored = _up_to_date(cohort.root / ".cache", cohort, kind)
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise
        folder = Path(_temporary_folder(cohort.root.resolve()).name)
        stored = _up_to_date(folder, cohort, kind)
    return np.load(stored, mmap_mode="r")


def _up_to_date(folder, cohort, kind):
    """Return the file of an array in a folder, rebuilt where it is stale: Path."""
    stamp = kind.stamp(cohort)
    stored, stamp_file = folder / f"{kind.name}.npy", folder / f"{kind.name}.json"
    there = stored.is_file() and stamp_file.is_file()
    if not (there and read_json(stamp_file) == stamp):
        stamp_file.unlink(missing_ok=True)  # a crash must not leave a valid one
        with atomic_path(stored) as temporary:
            _fill(temporary, cohort, kind)
        write_json(stamp_file, stamp)
    return stored


@cache
def _temporary_folder(root):
    """Make the temporary folder of a cohort, removed when the process ends."""
    return TemporaryDirectory(prefix="dipy_synth-", ignore_cleanup_errors=True)


def _fill(path, cohort, kind):
    """Write every array into one .npy file, one at a time."""
    shape = (len(cohort.keys), *cohort.grid.shape)
    stored = np.lib.format.open_memmap(path, "w+", dtype=kind.dtype, shape=shape)
    for index, volume in enumerate(cohort.paths):
        stored[index] = kind.load(volume, cohort.grid.shape)
    stored.flush()
