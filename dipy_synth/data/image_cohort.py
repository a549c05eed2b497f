"""Cohorts of images in one file of arrays, such as MNIST's digits."""

from dataclasses import dataclass
from functools import cached_property
import gzip
import logging
from pathlib import Path
import zipfile
import zlib

import numpy as np

from dipy_synth.data.columns import few
from dipy_synth.data.split import on_side
from dipy_synth.errors import InputError
from dipy_synth.utils.files import check_file, file_stamp

logger = logging.getLogger("dipy")
ARRAYS = ("images", "labels")  # of an .npz file
_GZIP = b"\x1f\x8b"
_IDX_UINT8 = 0x08  # the third byte of an IDX file is the type of its values
_COLOURS = 4  # an axis of RGB and opacity, or shorter, is none of a volume
_EXACT = 2**53  # float64 holds the integers below exactly


@dataclass(frozen=True)
class ArrayCohort:
    """Images of rank 2 or 3 without an affine, each a subject of its own.

    It has the interface of `dipy_synth.data.cohort.Cohort`.

    Parameters
    ----------
    root : Path
        The file.
    images : ndarray of shape (n, *shape)
        uint8, or float in [0, 1].
    labels : ndarray of shape (n,), optional
        A class for each image, a whole number or a word: the column ``label`` of
        `rows`.
    validation_fraction : float, optional
        Fraction of the images for validation.
    seed : int, optional
        Random seed of the split.

    Raises
    ------
    InputError
        If images, labels and fraction do not fit.
    """

    root: Path
    images: np.ndarray
    labels: np.ndarray | None = None
    validation_fraction: float = 0.2
    seed: int = 0

    grid = None  # no affine
    preprocessing = license = None
    label_table = None  # no label maps
    symmetric = False  # the mirror image of a 3 is no 3
    categories = ("label",)

    def __post_init__(self):
        ends = self.images.shape[1:2] + self.images.shape[-1:]
        in_colours = self.images.ndim == 4 and min(ends) <= _COLOURS
        if self.images.ndim not in (3, 4) or in_colours or not len(self.images):
            raise InputError(
                f"{self.root}: images of shape {self.images.shape}; expected (n, I, J) "
                "or (n, I, J, K), one number a pixel, without an axis of colours"
            )
        if self.labels is not None and self.labels.shape != self.images.shape[:1]:
            raise InputError(
                f"{self.root}: labels of shape {self.labels.shape} for "
                f"{len(self.images)} images"
            )
        if self.labels is not None:
            object.__setattr__(self, "labels", _classes(self.labels, self.root))
        if not 0 <= self.validation_fraction < 1:
            raise InputError(
                f"validation_fraction {self.validation_fraction}: expected 0 or more, "
                "below 1"
            )
        _check_range(self.root, self.images)

    @classmethod
    def load(cls, path, **kwargs):
        """Read images, and labels where there are some.

        Parameters
        ----------
        path : str or Path
            An ``.npz`` file with ``images`` and, if known, ``labels``; or a file of
            images in MNIST's IDX format, with gzip or without, whose labels lie beside
            it (``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``).
        **kwargs
            `validation_fraction` and `seed`.

        Returns
        -------
        ArrayCohort

        Raises
        ------
        InputError
            If the file is absent, or something else.
        """
        path = Path(path)
        check_file(path, "images: .npz or IDX")
        zipped = path.suffix.lower() == ".npz"
        arrays = _read_npz(path) if zipped else _read_idx_pair(path)
        return cls(path, *arrays, **kwargs)

    @property
    def shape(self):
        """Shape of one image: tuple of int."""
        return self.images.shape[1:]

    @property
    def keys(self):
        """Name of each image: tuple of str, (n,)."""
        return tuple(f"image-{number:06d}" for number in range(len(self.images)))

    @property
    def subjects(self):
        """Subject of each image: tuple of str, (n,)."""
        return self.keys

    @property
    def rows(self):
        """Table row of each image: tuple of dict, (n,)."""
        if self.labels is None:
            return ({},) * len(self.images)
        return tuple({"label": str(label)} for label in self.labels)

    @cached_property
    def split(self):
        """Side of each image, "train" or "validation": ndarray of shape (n,), str."""
        n = len(self.images)
        order = np.random.default_rng(self.seed).permutation(n)
        chosen = order[: round(self.validation_fraction * n)]
        return np.where(np.isin(np.arange(n), chosen), "validation", "train")

    def stamp(self):
        """Return name, size and time of the file: list of [str, int, int], for JSON."""
        return [file_stamp(self.root)]

    def where(self, split=None):
        """Return the mask of one side's images (all by default): bool, (n,)."""
        return on_side(self.split, split)

    def volumes(self, split=None):
        """Return the images of one side, or all.

        Parameters
        ----------
        split : {"train", "validation"}, optional
            The side.

        Returns
        -------
        ndarray of shape (n, *shape), float16
            In [0, 1].
        """
        images = self.images[self.where(split)]
        if images.dtype == np.uint8:
            return (images / np.float32(255)).astype(np.float16)
        return images.astype(np.float16)


def _classes(labels, path):
    """Return labels as integers or words; refuse what is no class."""
    if labels.dtype.kind in "SU":
        return labels.astype(str)
    wrong = labels
    if labels.dtype.kind in "biuf":
        wrong = labels[(labels % 1 != 0) | ~(abs(labels) < _EXACT)]  # NaN, too
    if wrong.size:
        raise InputError(
            f"{path}: labels such as {wrong[0]}; expected a class each, a whole number "
            "or a word"
        )
    return labels.astype(int)


def _check_range(path, images):
    if images.dtype == np.uint8:
        return
    low, high = images.min(), images.max()
    if not (np.issubdtype(images.dtype, np.floating) and low >= 0 and high <= 1):
        raise InputError(
            f"{path}: images of type {images.dtype} from {low} to {high}; expected "
            "uint8, or floats in [0, 1]"
        )


def _read_npz(path):
    """Read the images, and the labels or None, of an .npz file."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            there = stored.files
            names = {name.casefold(): name for name in there}
            found = [stored[names[n]] if n in names else None for n in ARRAYS]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: not a readable .npz file ({error})") from error
    if found[0] is None or len(names) < len(there):
        raise InputError(
            f"{path}: holds {', '.join(there) or 'nothing'}; expected images and, if "
            "known, labels, each once"
        )
    if others := [names[name] for name in names if name not in ARRAYS]:
        logger.warning(f"{path}: {few(others)} not read; expected images and labels")
    return found


def _read_idx_pair(path):
    """Read a file of images, and the file of labels that MNIST names after it."""
    name = path.name.replace("images", "labels").replace("idx3", "idx1")
    plain = name.removesuffix(".gz")
    names = [name, f"{plain}.gz", plain] if name != path.name else []
    beside = [path.with_name(n) for n in names if path.with_name(n).is_file()]
    return _read_idx(path), _read_idx(beside[0]) if beside else None


def _read_idx(path):
    """Read one IDX file of bytes: ndarray of uint8.

    Four bytes (0, 0, type, rank), then the sizes as big-endian int32, then the values.
    """
    data = path.read_bytes()
    try:
        data = gzip.decompress(data) if data.startswith(_GZIP) else data
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a readable gzip file ({error})") from error
    whole = len(data) >= 4 and len(data) >= 4 + 4 * data[3]
    if not whole or data[:3] != bytes([0, 0, _IDX_UINT8]):
        raise InputError(f"{path}: not an IDX file of bytes (expected .npz or IDX)")
    start = 4 + 4 * data[3]
    shape = tuple(int(n) for n in np.frombuffer(data[4:start], ">i4"))
    values = np.frombuffer(data[start:], np.uint8)
    if values.size != np.prod(shape):
        raise InputError(
            f"{path}: {values.size} values, but the shape in its header is {shape}"
        )
    return values.reshape(shape)
