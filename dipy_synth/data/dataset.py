"""A prepared cohort as the networks read it: arrays, and batches of them."""

from dataclasses import dataclass
import errno
import math
from pathlib import Path

import keras
import numpy as np

from dipy_synth.data.augment import random_crop
from dipy_synth.data.nifti import open_nifti, read_volume
from dipy_synth.data.prepared import IMAGE, prepared_keys, prepared_path, read_rows
from dipy_synth.errors import InputError
from dipy_synth.grid import Grid
from dipy_synth.utils.files import (
    atomic_path,
    file_stamp,
    read_json,
    write_json,
)

SPLITS = ("train", "validation")
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True)
class Cohort:
    """The scans of a prepared cohort, in the order of their keys.

    Parameters
    ----------
    root : Path
        The folder that ``dipy_preprocess_t1`` wrote.
    grid : Grid
        The grid of every volume.
    keys : tuple of str, (n,)
        ``sub-X[_ses-Y][_run-Z]`` of each volume.
    rows : tuple of dict, (n,)
        What the tables tell of each volume: column name to str or None.
    split : ndarray of str, (n,)
        "train" or "validation", the same for all volumes of a subject.
    """

    root: Path
    grid: Grid
    keys: tuple
    rows: tuple
    split: np.ndarray

    symmetric = True  # the mirror image of a brain could be a brain
    categories = ()  # columns that are told apart though they look like numbers

    @classmethod
    def load(cls, folder):
        """Read the tables of a prepared cohort; no volume is read.

        Parameters
        ----------
        folder : str or Path
            The prepared cohort.

        Returns
        -------
        Cohort

        Raises
        ------
        InputError
            If the folder is not a prepared cohort, is empty, or a subject is
            missing from participants.tsv.
        """
        root = Path(folder)
        told = read_json(root / "dataset_description.json").get("DipySynth")
        if told is None:
            raise InputError(
                f"{root}: not a prepared cohort (dataset_description.json has no "
                "DipySynth key); expected what dipy_preprocess_t1 wrote"
            )
        keys = tuple(prepared_keys(root))
        if not keys:
            raise InputError(f"{root}: no prepared volume (sub-*/anat/*{IMAGE})")
        rows = _rows(root, keys)
        split = np.array([row.pop("split") for row in rows])
        return cls(root, Grid.from_config(told["Grid"]), keys, rows, split)

    @property
    def shape(self):
        """Shape of every volume: tuple of int."""
        return self.grid.shape

    @property
    def steps(self):
        """How the scans were prepared, a dict as of `Steps.to_config`, or None."""
        return self._description["DipySynth"].get("Steps")

    @property
    def license(self):
        """Licence of the scans: str or None."""
        return self._description.get("License")

    @property
    def _description(self):
        return read_json(self.root / "dataset_description.json")

    @property
    def subjects(self):
        """Subject label of each volume, without ``sub-``: tuple of str, (n,)."""
        return tuple(key.split("_")[0].removeprefix("sub-") for key in self.keys)

    @property
    def paths(self):
        """File of each volume: list of Path, (n,)."""
        return [prepared_path(self.root, key) for key in self.keys]

    def stamp(self):
        """Tell the files by name, size and time: list of [str, int, int], for JSON."""
        return [file_stamp(path) for path in self.paths]

    def where(self, split=None):
        """Tell which volumes are on a side: ndarray of bool, (n,); all by default."""
        if split is None:
            return np.ones(len(self.keys), dtype=bool)
        if split not in SPLITS:
            raise InputError(f"split {split!r}: expected train or validation")
        return self.split == split

    def volumes(self, split=None):
        """Give the volumes, from a cache on disk that is made when it is stale.

        Parameters
        ----------
        split : {"train", "validation"}, optional
            One side only; all volumes by default.

        Returns
        -------
        ndarray of float16, (n, I, J, K)
            In [0, 1], the background exactly 0. All volumes together come mapped
            from the file, one side comes in memory.
        """
        stored = _cached(self)
        return stored if split is None else stored[self.where(split)]


def _rows(root, keys):
    """Give each volume's row, which must tell its side."""
    rows = read_rows(root, keys)
    for key, row in zip(keys, rows):
        if row.get("split") not in SPLITS:
            raise InputError(
                f"{root / 'participants.tsv'}: {key.split('_')[0]} has split "
                f"{row.get('split')!r}; expected a row with train or validation"
            )
    return tuple(rows)


def _cached(cohort):
    """Map the cache of volumes, made anew when the files are not those it holds."""
    folder = cohort.root / ".cache"
    stamp = cohort.stamp()
    stored, told = folder / "volumes.npy", folder / "volumes.json"
    if not (stored.is_file() and told.is_file() and read_json(told) == stamp):
        try:
            told.unlink(missing_ok=True)  # a crash between the two must not fit them
            with atomic_path(stored) as temporary:
                _fill(temporary, cohort)
            write_json(told, stamp)
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise
            return np.stack(list(_read_all(cohort)))
    return np.load(stored, mmap_mode="r")


def _fill(path, cohort):
    """Write every volume into one .npy file, one at a time."""
    shape = (len(cohort.keys), *cohort.grid.shape)
    stored = np.lib.format.open_memmap(path, "w+", dtype=np.float16, shape=shape)
    for index, data in enumerate(_read_all(cohort)):
        stored[index] = data
    stored.flush()


def _read_all(cohort):
    """Read the volumes, each checked against the grid."""
    for path in cohort.paths:
        shape = open_nifti(path).shape
        if shape != cohort.grid.shape:
            raise InputError(f"{path}: shape {shape}, expected {cohort.grid.shape}")
        yield read_volume(path)[0].astype(np.float16)


class VolumeDataset(keras.utils.PyDataset):
    """Batches of volumes, shuffled anew every epoch by a seed.

    The order of an epoch, and what the augmentation draws for a volume, depend on
    the seed and the epoch alone: not on the number of workers, nor on what was asked
    before. So a run that resumes at `epoch` goes on as if it had not stopped.

    Parameters
    ----------
    volumes : ndarray, (n, ...)
        Volumes (or images) in [0, 1], of any float type.
    batch_size : int, optional
        Volumes in a batch; the last one of an epoch may be smaller.
    shuffle : bool, optional
        Shuffle every epoch.
    augment : callable, optional
        ``(volume, rng) -> volume``, float32 arrays of one shape in [0, 1].
    crop : tuple of int, optional
        Shape of the parts that are drawn from each volume, as many an epoch as would
        fill it. Many steps on parts learn more than few on whole volumes.
    seed : int, optional
        Seed of order and augmentation.
    epoch : int, optional
        The epoch to start from.
    targets : ndarray, (n, ...), optional
        What is to be predicted of each volume; batches are then pairs.
    **kwargs
        `workers` and the like, for `keras.utils.PyDataset`.
    """

    def __init__(
        self,
        volumes,
        *,
        batch_size=1,
        shuffle=True,
        augment=None,
        crop=None,
        seed=0,
        epoch=0,
        targets=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if len(volumes) == 0 or batch_size < 1:
            raise InputError(
                f"{len(volumes)} volumes in batches of {batch_size}: expected at least "
                "one of each"
            )
        self.volumes, self.batch_size = volumes, int(batch_size)
        self.targets = targets
        self.shuffle, self.augment = shuffle, augment
        self.seed, self.epoch = int(seed), int(epoch)
        shape = tuple(np.shape(volumes)[1:])
        self.crop = None if crop is None or tuple(crop) == shape else tuple(crop)
        if self.crop and (
            len(self.crop) != len(shape) or np.any(np.less(shape, self.crop))
        ):
            raise InputError(f"crop {self.crop} of volumes {shape}: expected within")
        self.parts = math.prod(shape) // math.prod(self.crop or shape)

    def __len__(self):
        """Number of batches in an epoch."""
        return -(-len(self.volumes) * self.parts // self.batch_size)

    def order(self):
        """Give the order in this epoch: ndarray of int; item i is of volume i % n."""
        n = len(self.volumes) * self.parts
        if not self.shuffle:
            return np.arange(n)
        return np.random.default_rng([self.seed, self.epoch]).permutation(n)

    def __getitem__(self, index):
        """Give one batch.

        Parameters
        ----------
        index : int
            Which one.

        Returns
        -------
        ndarray of float32, (b, ..., 1)
            In [-1, 1]; the background is exactly -1. A pair of it and the targets,
            where there are some.
        """
        chosen = self.order()[index * self.batch_size : (index + 1) * self.batch_size]
        batch = np.stack([self._volume(number) for number in chosen])
        images = batch[..., np.newaxis] * 2 - 1
        if self.targets is None:
            return images
        return images, self.targets[chosen % len(self.volumes)]

    def _volume(self, number):
        """Give one volume or part of it, augmented: float32 in [0, 1]."""
        volume = np.asarray(self.volumes[number % len(self.volumes)], np.float32)
        rng = np.random.default_rng([self.seed, self.epoch, int(number)])
        if self.augment is not None:
            volume = np.asarray(self.augment(volume, rng), dtype=np.float32)
        return volume if self.crop is None else random_crop(volume, self.crop, rng)

    def on_epoch_end(self):
        """Go on to the next epoch's order."""
        self.epoch += 1
