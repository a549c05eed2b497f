"""Rows of a large array, read from disk on access."""

import tempfile

import numpy as np


class VolumeRows:
    """Rows (n,) of an array (m, *shape), which may be memory-mapped, without a copy."""

    def __init__(self, array, rows):
        self._array, self._rows = array, np.asarray(rows)
        self.shape = (len(self._rows), *array.shape[1:])
        self.dtype, self.ndim = array.dtype, array.ndim

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, chosen):
        """Read one volume by an index, or an array of several."""
        return self._array[self._rows[chosen]]

    def __iter__(self):
        return (self._array[row] for row in self._rows)

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self._array[self._rows], dtype)


def as_rows(volumes):
    """Return rows as they are, and anything else as an array."""
    return volumes if isinstance(volumes, VolumeRows) else np.asarray(volumes)


def stored_rows(rows, n):
    """Write n rows, made one at a time, to a temporary file, and memory-map it.

    The rows are ndarrays of one shape and type; the file is removed with the array.
    """
    found = None
    for number, row in enumerate(rows):
        if found is None:
            file = tempfile.TemporaryFile(prefix="dipy_synth-")
            found = np.memmap(file, row.dtype, "w+", shape=(n, *row.shape))
        found[number] = row
    return found.view(np.ndarray)


def total(volumes):
    """Sum volumes (n, *shape), one at a time: ndarray of shape (*shape), float32."""
    found = np.zeros(volumes.shape[1:], "float32")
    for volume in volumes:
        found += volume
    return found
