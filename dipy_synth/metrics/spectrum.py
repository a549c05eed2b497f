"""Power in four frequency bands within the brain, and brains with shuffled phases.

Power alone is not sufficient: brains with shuffled phases have the power of real ones
and blotches instead of folds. So it complements the metrics of texture.
"""

import numpy as np
from scipy import fft

from dipy_synth.metrics.array_checks import check_pair
from dipy_synth.utils.random import random_stream

#: Edges of the bands, as parts of the Nyquist frequency along each axis.
BANDS = ((0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0))
_TAPER = 6.0  # mm over which the window opens, from the outline inwards
_TINY = 1e-12
_SHUFFLED = (0.15, 0.6)  # parts of the Nyquist frequency: folds


def band_power(brain, *, bands=BANDS):
    """Compute the power of a brain in radial frequency bands.

    The brain, less its mean, is weighted by a window that rises from 0 at the outline
    to 1 at a depth of 6 mm (a squared sine): so the outline itself adds no power.

    Parameters
    ----------
    brain : Brain
        A result of `dipy_synth.metrics.regions.cut_brain`.
    bands : sequence of tuple of float, (b, 2), optional
        Lowest and highest frequency of each, as fractions of the Nyquist frequency.

    Returns
    -------
    ndarray of shape (b,), float64
        Mean square, over the window, of the intensities' part in each band; 0 for an
        empty brain.
    """
    window = outline_window(brain)
    total = float(np.sum(window**2))
    if not total:
        return np.zeros(len(bands))
    mean = np.sum(window * brain.values) / np.sum(window)
    shape = [fft.next_fast_len(n, real=True) for n in window.shape]
    power = np.abs(fft.rfftn(window * (brain.values - mean), shape)) ** 2
    power *= _multiplicity(shape)
    radius = _radial_frequency(shape)
    sums = [power[(radius > low) & (radius <= high)].sum() for low, high in bands]
    return np.array(sums, float) / (np.prod(shape) * total)


def power_ratio(real, synthetic):
    """Compute the power of synthetic brains over that of real ones.

    Parameters
    ----------
    real, synthetic : array_like of shape (n, b) and (m, b)
        Power of each volume, of `band_power`.

    Returns
    -------
    ndarray of shape (b,), float64
        Ratio of the means: 1 for equal power, less for blur, more for noise.
    """
    real, synthetic = check_pair(real, synthetic, "power", least=1)
    return (synthetic.mean(axis=0) + _TINY) / (real.mean(axis=0) + _TINY)


def power_distance(real, synthetic):
    """Compute the mean over bands of the absolute logarithm of `power_ratio`: float."""
    return float(np.mean(np.abs(np.log(power_ratio(real, synthetic)))))


def shuffle_phases(volume, *, seed=0):
    """Shuffle the phases of the band from 0.15 to 0.6 of Nyquist within the brain.

    The part of the brain in that band is replaced by noise of the same spectrum,
    cut to the brain and scaled to the same mean square there. It is the positive
    control of the metrics of texture, which those of power do not find.

    Parameters
    ----------
    volume : array of shape (I, J, K)
        A skull-stripped volume in [0, 1], the background 0.
    seed : int, optional
        Seed of the phases.

    Returns
    -------
    ndarray of shape (I, J, K), float32
        In [0, 1], the background 0.
    """
    volume = np.asarray(volume, "float32")
    inside = volume > 0
    mean = volume[inside].mean() if inside.any() else 0.0
    centered = np.where(inside, volume - mean, 0)
    radius = _radial_frequency(volume.shape)
    spectrum = fft.rfftn(centered) * (
        (radius > _SHUFFLED[0]) & (radius <= _SHUFFLED[1])
    )
    rng = random_stream("spectrum: phases", seed=seed)
    noise = rng.normal(size=volume.shape)
    phases = np.angle(fft.rfftn(noise))  # of a real field: Hermitian
    part = fft.irfftn(spectrum, volume.shape)
    other = fft.irfftn(np.abs(spectrum) * np.exp(1j * phases), volume.shape)
    scale = np.sqrt(np.sum(part[inside] ** 2) / max(np.sum(other[inside] ** 2), _TINY))
    changed = np.clip(volume - part + scale * other, 1e-3, 1)
    return np.where(inside, changed, 0).astype("float32")


def _radial_frequency(shape):
    """Compute the distance of frequencies from 0, in units of the Nyquist frequency.

    They are those of a real transform, the last axis halved.
    """
    axes = [*(2 * fft.fftfreq(n) for n in shape[:-1]), 2 * fft.rfftfreq(shape[-1])]
    return np.sqrt(
        sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij", sparse=True))
    )


def outline_window(brain):
    """Return the window: 0 at the outline, 1 from a depth of 6 mm on."""
    return np.sin(np.pi / 2 * np.minimum(brain.depth / _TAPER, 1)) ** 2


def _multiplicity(shape):
    """Return how often each frequency along the halved axis counts: ndarray."""
    n = shape[-1]
    counts = np.full(n // 2 + 1, 2.0, "float32")
    counts[0] = 1
    if n % 2 == 0:
        counts[-1] = 1
    return counts
