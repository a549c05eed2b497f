"""Intensities of an image: background, zero level and outliers.

A scan may have any zero level: z-scored, with an offset, padded with -1000. Only
differences of its values are used, so that the prepared volume does not depend on it.
"""

import numpy as np

from dipy_synth.errors import InputError

GROUND = 0.15  # least fraction of the voxels that share a background value
MOST_LEVELS = 3  # of the background
# A scanner's T1 has 0.06 to 0.4 of the brain's range below its 0.5 percentile.
FLOOR, HIGHEST_FLOOR = 0.15, 1.0
FAR = 10.0  # interquartile ranges; the brightest vessel is 3 above the third quartile
FEWEST = 8  # values of a scan; one of 8 bits has about 100
SCALES = (100, 255, 1000, 32767, 65535)  # of probabilities that are not in [0, 1]
FLAT = 1e-5  # relative range of a constant image, by rounding


def background_values(data):
    """List the values that fill 15 % of an image: background and padding, at most 3.

    The most frequent value of the image's faces is first.
    """
    step = max(1, round((data.size / 1e5) ** (1 / data.ndim)))
    sample = data[(slice(None, None, step),) * data.ndim]  # what fills much is in it
    values, counts = np.unique(sample, return_counts=True)
    likely = values[np.argsort(-counts, kind="stable")[:MOST_LEVELS]]
    found = [value for value in likely if np.mean(data == value) >= GROUND]
    faces = [
        np.take(data, i, axis).ravel() for axis in range(data.ndim) for i in (0, -1)
    ]
    faces = np.concatenate(faces)
    return sorted(found, key=lambda value: -np.mean(faces == value))


def clip_outliers(data, mask):
    """Clip outliers of an image, in any unit, to the range of the other values.

    Outliers are more than 10 interquartile ranges from the quartiles of the brain, the
    boolean `mask`. Return the image, itself where nothing is clipped, and the number of
    clipped voxels of the brain.
    """
    values = data[mask]
    first, third = np.percentile(values, (25, 75))
    reach = FAR * (third - first)
    if not reach > 0:
        return data, 0
    sound = values[(values >= first - reach) & (values <= third + reach)]
    if sound.size == values.size:
        return data, 0
    return data.clip(sound.min(), sound.max()), int(values.size - sound.size)


def check_contrast(data, mask):
    """Refuse a brain that is almost constant, or has few values, as labels do.

    The quartiles of its values differ by rounding alone, or there are fewer than 8
    different values.
    """
    values = data[mask]
    first, third = np.percentile(values, (25, 75))
    if third - first <= FLAT * max(abs(first), abs(third)):
        raise InputError(
            f"constant brain: half of its voxels or more are {first:g}; expected a T1 "
            "scan with contrast, not a mask"
        )
    found = len(np.unique(values))
    if found < FEWEST:
        raise InputError(
            f"{found} values in all of the brain: expected a T1 scan, not labels"
        )


def offset_of(data, mask):
    """Compute the offset that brings the zero of an image to that of a scanner: float.

    It is 0 where the 0.5 percentile of the brain is at 0 to 1 times the range up to the
    99.5 percentile, as in scans; else it brings that percentile to 0.15.
    """
    low, high = np.percentile(data[mask], (0.5, 99.5))
    width = high - low
    if 0 <= low <= HIGHEST_FLOOR * width:
        return 0.0
    return float(FLOOR * width - low)


def as_mask(values):
    """Convert a mask, probabilities or labels to a boolean mask of the same shape.

    Probabilities (scaled to 1, 100 or 255) count above half of their scale, labels
    where they are not 0.
    """
    values = np.asarray(values)
    if values.dtype == bool:
        return values
    values = np.nan_to_num(values)
    highest = float(values.max(initial=0))
    if 0.5 < highest < 10 or highest <= 0:
        return values > 0.5
    # Most of a brain is certain; the highest of several labels is not most of it.
    certain = np.mean(values[values > 0] >= 0.9 * highest)
    usual = any(abs(highest - scale) <= 0.01 * scale for scale in SCALES)
    return values > (highest / 2 if certain > (0.25 if usual else 0.6) else 0.5)
