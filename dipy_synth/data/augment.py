"""Augmentation of prepared volumes: flip, small affine, gamma, bias field.

The changes stay plausible for an aligned brain: small ones of pose, size, contrast
and coil shading. Interpolation blurs: of the power above half
the Nyquist frequency, brains at 2 mm keep about 0.5 with splines of order 1, 0.8 with
order 2 and 0.85 with order 3. A network learns that blur, so the default is order 2.
"""

from dataclasses import asdict, dataclass, fields
from itertools import combinations
import math

import numpy as np
from scipy.ndimage import affine_transform

from dipy_synth.errors import InputError

_AMOUNTS = ("flip", "rotation", "scale", "translation", "gamma", "bias", "shift")
_BIAS_DEGREE = 3  # of the polynomial in the logarithm of the bias field


@dataclass(frozen=True)
class Augmentation:
    """Random augmentation, called as ``augment(volume, rng)``.

    Every amount is the half-width of a uniform distribution; 0 switches it off.

    Parameters
    ----------
    flip : float, optional
        Probability of mirroring the first axis, left-right in RAS.
    rotation : float, optional
        Degrees, about each axis.
    scale : float, optional
        Relative change of size along each axis; 0.05 means 0.95 to 1.05.
    translation : float, optional
        Millimetres, along each axis.
    gamma : float, optional
        Natural logarithm of the exponent of the intensity.
    bias : float, optional
        Natural logarithm of the strongest shading; 0.2 means up to about 20 %.
    shift : int, optional
        Whole voxels, along each axis: nothing is interpolated.
    order : int, optional
        Order of the interpolating spline, 1 to 3; higher is sharper and slower.
    voxel_size : float or tuple of float, shape (rank,), optional
        Size of a voxel in mm; rotations and translations are in world space.

    Raises
    ------
    InputError
        If an amount is negative or not finite, ``flip`` above 1 or ``scale`` not
        below 1, ``order`` not 1, 2 or 3.
    """

    flip: float = 0.5
    rotation: float = 5.0
    scale: float = 0.04
    translation: float = 3.0
    gamma: float = 0.15
    bias: float = 0.15
    shift: int = 0
    order: int = 2
    voxel_size: float | tuple[float, ...] = 2.0

    def __post_init__(self):
        for name in _AMOUNTS:
            value, top = getattr(self, name), {"flip": 1.0, "scale": 0.99}.get(name)
            if not (0 <= value < math.inf and (top is None or value <= top)):
                raise InputError(
                    f"augmentation: {name} = {value}; expected 0 to {top or math.inf}"
                )
        if self.order not in (1, 2, 3):
            raise InputError(f"augmentation: order = {self.order}; expected 1, 2 or 3")
        if not np.all(np.asarray(self.voxel_size, float) > 0):
            raise InputError(f"augmentation: voxel_size = {self.voxel_size}; not > 0")
        if np.ndim(self.voxel_size):
            object.__setattr__(self, "voxel_size", tuple(map(float, self.voxel_size)))

    def __call__(self, volume, rng, *, label_map=None):
        """Return an augmented copy of a volume.

        Parameters
        ----------
        volume : ndarray of shape (X, Y[, Z]), float32
            Intensity in [0, 1], 0 in the background.
        rng : numpy.random.Generator
            Random generator. The number of draws depends only on the number of axes
            and on whether there are shifts.
        label_map : ndarray of shape (X, Y[, Z]), int, optional
            Labels, which move with the volume, by nearest voxels.

        Returns
        -------
        volume : ndarray of shape (X, Y[, Z]), float32
            Intensity in [0, 1]; the background is exactly 0.
        label_map : ndarray of shape (X, Y[, Z]), int
            With labels: the label map.
        """
        rank = np.ndim(volume)
        flipped = rng.random() < self.flip
        matrix, shift = self._draw_affine(rank, rng)
        exponent = math.exp(self.gamma * rng.uniform(-1, 1))
        field = self._draw_field(np.shape(volume), rng)
        volume = flip_left_right(volume) if flipped else np.asarray(volume)
        volume = warp(volume.astype(np.float32), matrix, shift, order=self.order)
        inside = volume > 0
        values = volume[inside] ** np.float32(exponent) * field[inside]
        # Rescaling keeps the range without clipping the brightest tissue.
        volume[inside] = values / max(1.0, values.max(initial=0.0))
        steps = np.zeros(rank, int)
        if self.shift:
            steps = rng.integers(-self.shift, self.shift + 1, rank)
            volume = move(volume, steps)
        if label_map is None:
            return volume
        label_map = flip_left_right(label_map) if flipped else np.asarray(label_map)
        return volume, move(_warp_labels(label_map, matrix, shift), steps)

    def _draw_affine(self, rank, rng):
        """Draw matrix and shift in voxels, about the centre of the volume."""
        size = np.broadcast_to(np.asarray(self.voxel_size, float), (rank,))
        matrix = np.diag(1 + self.scale * rng.uniform(-1, 1, rank))
        for first, second in combinations(range(rank), 2):
            angle = math.radians(self.rotation) * rng.uniform(-1, 1)
            matrix = matrix @ _rotation(rank, first, second, angle)
        shift = self.translation * rng.uniform(-1, 1, rank) / size
        return matrix * size / size[:, None], shift

    def _draw_field(self, shape, rng):
        strength = self.bias * rng.uniform()
        return np.exp(strength * smooth_field(shape, rng))

    def to_config(self):
        """Return the settings as a dict of JSON types."""
        config = asdict(self)
        size = self.voxel_size
        return config | {"voxel_size": list(size) if np.ndim(size) else size}

    @classmethod
    def from_config(cls, config):
        """Build an augmentation from the dict of `to_config`."""
        known = {item.name for item in fields(cls)}
        if unknown := sorted(set(config) - known):
            raise InputError(
                f"augmentation: unknown {', '.join(unknown)}; "
                f"expected some of {', '.join(sorted(known))}"
            )
        return cls(**config)


def flip_left_right(volume):
    """Mirror the first axis of an array."""
    return np.ascontiguousarray(volume[::-1])


def move(volume, steps):
    """Shift a volume by whole voxels, without interpolation; new voxels are 0.

    Parameters
    ----------
    volume : ndarray of shape (*shape)
        A volume.
    steps : sequence of int, (rank,)
        Voxels along each axis.

    Returns
    -------
    ndarray of shape (*shape)
    """
    padded = np.pad(volume, [(max(s, 0), max(-s, 0)) for s in steps])
    starts = [max(-s, 0) for s in steps]
    return padded[tuple(slice(a, a + n) for a, n in zip(starts, volume.shape))]


def warp(volume, matrix, shift, *, order=2):
    """Transform a volume by an affine about its centre.

    The mask is resampled by the nearest voxel, the intensities by splines: the edge of
    the brain stays sharp, and overshoot of the spline outside of it is removed.

    Parameters
    ----------
    volume : ndarray of shape (X, Y[, Z]), float32
        In [0, 1]. Voxels from outside the volume are 0.
    matrix : ndarray of shape (rank, rank)
        Maps a voxel of the result, relative to the centre, to one of `volume`.
    shift : ndarray of shape (rank,)
        Added to it, in voxels.
    order : int, optional
        Order of the spline.

    Returns
    -------
    ndarray of shape (X, Y[, Z]), float32
        A new array in [0, 1].
    """
    if _is_identity(matrix, shift):
        return volume.copy()
    offset = _offset(volume, matrix, shift)
    inside = affine_transform((volume > 0).view(np.uint8), matrix, offset, order=0)
    moved = affine_transform(volume, matrix, offset, order=order)
    # Fluid that a spline takes below 0 is still brain; the mask is data > 0.
    return np.where(inside, np.clip(moved, 1e-4, 1), np.float32(0))


def _warp_labels(label_map, matrix, shift):
    """Transform a label map as `warp` does a volume, by the nearest voxel."""
    if _is_identity(matrix, shift):
        return label_map
    offset = _offset(label_map, matrix, shift)
    return affine_transform(label_map, matrix, offset, order=0)


def _is_identity(matrix, shift):
    return np.array_equal(matrix, np.eye(len(matrix))) and not np.any(shift)


def _offset(volume, matrix, shift):
    """Return the offset of an affine about the centre of a volume, in voxels."""
    middle = (np.array(volume.shape) - 1) / 2
    return middle - matrix @ middle + shift


def smooth_field(shape, rng):
    """Draw a polynomial of low degree over the field of view.

    Parameters
    ----------
    shape : tuple of int
        Of the volume.
    rng : numpy.random.Generator
        Random generator.

    Returns
    -------
    ndarray of shape `shape`, float32
        Between -1 and 1, with one of them reached; without a constant term.
    """
    terms = (_BIAS_DEGREE + 1,) * len(shape)
    degree = np.indices(terms).sum(axis=0)
    field = rng.standard_normal(terms) * ((degree > 0) & (degree <= _BIAS_DEGREE))
    for n in shape:  # each pass replaces the first axis by one of n voxels, last
        basis = np.polynomial.legendre.legvander(np.linspace(-1, 1, n), _BIAS_DEGREE)
        field = np.tensordot(field, basis, axes=(0, 1))
    return (field / max(np.abs(field).max(), 1e-12)).astype(np.float32)


def _rotation(rank, first, second, angle):
    matrix = np.eye(rank)
    matrix[[first, second], [first, second]] = math.cos(angle)
    matrix[first, second], matrix[second, first] = -math.sin(angle), math.sin(angle)
    return matrix


def crop_shape(shape, share, *, multiple=1):
    """Compute the shape of crops whose sides are a fraction of a volume's.

    Parameters
    ----------
    shape : tuple of int
        The volume's shape.
    share : float
        In (0, 1]; 1 for whole volumes.
    multiple : int, optional
        Sides are rounded up to multiples of this.

    Returns
    -------
    tuple of int

    Raises
    ------
    InputError
        If the fraction is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise InputError(f"crop {share}: expected above 0 and at most 1 (no crop)")
    return tuple(min(n, math.ceil(n * share / multiple) * multiple) for n in shape)


def random_crop(volume, shape, rng, *, others=None):
    """Crop a volume around a random voxel of the brain.

    Parameters
    ----------
    volume : ndarray of shape (X, Y, Z) or (X, Y)
        The background is 0.
    shape : tuple of int
        Shape of the crop, at most the volume's.
    rng : numpy.random.Generator
        Random generator.
    others : list of ndarray of the volume's shape, optional
        Arrays to crop at the same place.

    Returns
    -------
    ndarray of that shape, or list of them
        With `others`, the crops of the volume and of each of them.
    """
    brain = np.flatnonzero(volume)
    drawn = brain[rng.integers(len(brain))] if len(brain) else volume.size // 2
    middle = np.unravel_index(drawn, volume.shape)
    room = np.subtract(volume.shape, shape)
    start = np.clip(np.array(middle) - np.array(shape) // 2, 0, room)
    part = tuple(slice(a, a + n) for a, n in zip(start, shape))
    if others is None:
        return volume[part]
    return [array[part] for array in (volume, *others)]
