"""Augmentation of prepared volumes: flip, gamma and shifts by whole voxels; crops.

Nothing is interpolated, because a network learns the blur: of the power above half the
Nyquist frequency, brains at 2 mm keep 0.5 to 0.85 after splines of order 1 to 3.
"""

from dataclasses import dataclass
import math

import numpy as np

from dipy_synth.errors import InputError


@dataclass(frozen=True)
class Augmentation:
    """Random augmentation, called as ``augment(volume, rng)``.

    Parameters
    ----------
    flip : float, optional
        Probability of mirroring the first axis, left-right in RAS.
    gamma : float, optional
        Half-width of the uniform distribution of the natural logarithm of the exponent
        of the intensity.
    shift : int, optional
        Largest shift along each axis, in voxels.

    Raises
    ------
    InputError
        If an amount is negative or not finite, or ``flip`` above 1.
    """

    flip: float = 0.5
    gamma: float = 0.0
    shift: int = 0

    def __post_init__(self):
        for name, top in {"flip": 1.0, "gamma": math.inf, "shift": math.inf}.items():
            value = getattr(self, name)
            if not (0 <= value <= top and math.isfinite(value)):
                raise InputError(
                    f"augmentation: {name} = {value}; expected 0 to {top}, finite"
                )

    def __call__(self, volume, rng, *, label_map=None):
        """Return an augmented copy of a volume.

        Parameters
        ----------
        volume : ndarray of shape (X, Y[, Z]), float32
            Intensity in [0, 1], 0 in the background.
        rng : numpy.random.Generator
            Random generator.
        label_map : ndarray of shape (X, Y[, Z]), int, optional
            Labels, which move with the volume.

        Returns
        -------
        ndarray of shape (X, Y[, Z]), float32
            In [0, 1]; the background is exactly 0. With labels, a pair with theirs.
        """
        flipped = rng.random() < self.flip
        exponent = math.exp(self.gamma * rng.uniform(-1, 1))
        steps = rng.integers(-self.shift, self.shift + 1, np.ndim(volume))

        def moved(array):
            return move(flip_left_right(array) if flipped else array, steps)

        volume = moved(np.asarray(volume, np.float32) ** np.float32(exponent))
        return volume if label_map is None else (volume, moved(np.asarray(label_map)))


def flip_left_right(volume):
    """Mirror the first axis of an array."""
    return np.ascontiguousarray(volume[::-1])


def move(volume, steps):
    """Shift an array by whole voxels along each axis; voxels that are new are 0."""
    padded = np.pad(volume, [(max(s, 0), max(-s, 0)) for s in steps])
    starts = [max(-s, 0) for s in steps]
    return padded[tuple(slice(a, a + n) for a, n in zip(starts, volume.shape))]


def crop_shape(shape, share, *, multiple=1):
    """Compute the shape of crops whose sides are a fraction of a volume's, in (0, 1].

    Sides are rounded up to multiples of `multiple`, within the volume.
    """
    if not 0 < share <= 1:
        raise InputError(f"crop {share}: expected above 0 and at most 1 (no crop)")
    return tuple(min(n, math.ceil(n * share / multiple) * multiple) for n in shape)


def random_crop(volume, shape, rng, *, others=None):
    """Crop a volume, whose background is 0, around a random voxel of the brain.

    With `others`, arrays of the volume's shape, return a list of the crops of all.
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
