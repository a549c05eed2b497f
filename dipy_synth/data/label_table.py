"""The labels of label maps: their values and names, and how networks read them.

A label map holds an integer at each voxel, 0 where there is no label. Networks read a
channel for each other label: 1 where it is, -1 where it is not, and 0 where the map of
a volume is unknown.
"""

from dataclasses import dataclass
import logging
import math
from pathlib import Path
import re

import numpy as np

from dipy_synth.data.columns import few
from dipy_synth.errors import InputError
from dipy_synth.grid import times
from dipy_synth.utils.cells import as_number
from dipy_synth.utils.files import files_by_name
from dipy_synth.utils.tables import read_table, write_table

logger = logging.getLogger("dipy")
TABLE = "dseg.tsv"
OTHERS = re.compile(r"(dseg|lut|labels?)[^/]*\.(csv|txt|xml|ctbl)$")  # tables of labels
UNKNOWN = np.iinfo(np.int32).min  # in the map of a volume without labels
MEMORY = 2**30  # bytes that the labels of one volume, or their PCA, may take
_PATCH = 4  # side of the patches of the autoencoder


@dataclass(frozen=True)
class Labels:
    """The labels of a cohort, without the background.

    Parameters
    ----------
    values : tuple of int, (k,)
        Their values in label maps, in rising order; none is 0.
    names : tuple of str, (k,)
        Their names.
    """

    values: tuple[int, ...]
    names: tuple[str, ...]

    def __len__(self):
        return len(self.values)

    @classmethod
    def of(cls, values, names=None):
        """Make the table of some values.

        Parameters
        ----------
        values : iterable of int
            Values of label maps; 0 is left out.
        names : dict of int to str, optional
            Known names; others are named ``label <value>``.

        Returns
        -------
        Labels
        """
        values = tuple(sorted({int(value) for value in values} - {0}))
        known = names or {}
        return cls(values, tuple(known.get(v, f"label {v}") for v in values))

    @classmethod
    def from_config(cls, config):
        """Build the table from the list of `to_config`."""
        return cls(
            tuple(int(row["index"]) for row in config),
            tuple(row["name"] for row in config),
        )

    def to_config(self):
        """Return a list of dict, ``index`` and ``name`` of each label."""
        return [{"index": v, "name": n} for v, n in zip(self.values, self.names)]

    def write(self, path):
        """Write the table of BIDS, ``dseg.tsv``, the background included."""
        rows = [{"index": 0, "name": "Background"}, *self.to_config()]
        write_table(path, [{**row, "index": str(row["index"])} for row in rows])

    def to_channels(self, maps):
        """Return the channels of label maps.

        Parameters
        ----------
        maps : ndarray of shape (...), int
            Values of labels, or `UNKNOWN`. Others have no label.

        Returns
        -------
        ndarray of shape (..., k), float32
            1 for a label, -1 for another, 0 where unknown.
        """
        maps = np.asarray(maps)
        channels = np.where(maps[..., None] == np.array(self.values), 1, -1)
        return np.where(maps[..., None] == UNKNOWN, 0, channels).astype("float32")

    def beside(self, images, maps):
        """Append the channels of label maps to those of images: (..., c + k)."""
        return np.concatenate([images, self.to_channels(maps)], axis=-1)

    def from_channels(self, channels):
        """Return the label maps of channels.

        Parameters
        ----------
        channels : ndarray of shape (..., k), float
            Mostly in [-1, 1]. The largest decides, if it is above 0.

        Returns
        -------
        ndarray of shape (...), int32
        """
        best = channels.argmax(axis=-1)
        there = np.take_along_axis(channels, best[..., None], axis=-1)[..., 0] > 0
        return np.where(there, np.array(self.values)[best], 0).astype("int32")

    def check_memory(self, shape):
        """Refuse more labels than fit in memory.

        Parameters
        ----------
        shape : tuple of int
            Shape of a volume.

        Raises
        ------
        InputError
            If their channels of one volume, or the covariance of their patches, take
            more than 1 GiB.
        """
        volume = 4 * len(self) * math.prod(shape)
        patches = 8 * (len(self) * _PATCH ** len(shape)) ** 2
        if max(volume, patches) > MEMORY:
            raise InputError(
                f"{len(self)} labels on {times(shape)} voxels: {volume / 2**30:.2f} "
                f"GiB for the channels of a volume and {patches / 2**30:.2f} GiB for "
                "the covariance of their patches; expected at most 1 GiB each, so "
                "fewer labels, or larger voxels"
            )


def names_beside(inputs):
    """Read the names of labels, by value, in the folders of label maps.

    `inputs` are folders, files or wildcards; of the last two it is the nearest folder
    that they name. Two names of one label are an InputError.
    """
    names, given = {}, [(Path(path), *Path(path).parents) for path in inputs]
    folders = [next(path for path in paths if path.is_dir()) for paths in given]
    folders = dict.fromkeys(folders)
    for folder in folders:
        for index, name in read_names(folder).items():
            if names.setdefault(index, name) != name:
                raise InputError(f"{folder}: {index} is {names[index]} and {name}")
    there = [item for folder in folders for item in files_by_name(folder).items()]
    others = [str(path) for name, path in there if OTHERS.search(name)]
    if others and not names:
        logger.warning(
            f"{few(others)}: not read, so that labels have no names; expected "
            f"{TABLE}, with the columns index and name"
        )
    return names


def read_names(folder):
    """Read the names of labels, by value, from the ``dseg.tsv`` of a folder.

    Without it, a single table whose name ends in ``dseg.tsv`` is read. Empty where
    there is no table; an index that is not an integer, or has two names, is an
    InputError.
    """
    tables = sorted(Path(folder).glob("*" + TABLE)) if Path(folder).is_dir() else []
    path = Path(folder) / TABLE
    if path not in tables and len(tables) != 1:
        if tables:
            logger.warning(
                f"{folder}: {len(tables)} tables of labels, none of them {TABLE}; "
                "labels have no names"
            )
        return {}
    path = path if path in tables else tables[0]
    names = {}
    for row in read_table(path, needed=["index", "name"]):
        index = as_number(row["index"])
        if index is None or index % 1:
            raise InputError(f"{path}: index {row['index']!r}; expected an integer")
        index = int(index)
        name = row["name"] or f"label {index}"
        if names.setdefault(index, name) != name:
            raise InputError(f"{path}: index {index} is {names[index]} and {name}")
    return names
