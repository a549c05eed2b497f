"""Sharpness of an image: its power at high spatial frequencies, and where it is."""

import numpy as np
from scipy.ndimage import gaussian_filter

from dipy_synth.data.arrays import as_volume

_BRIGHTEST = 0.9  # quantile of the mean brain above which is white matter


def high_frequency_power(image, *, cutoff=0.5):
    """Compute the power above a fraction of the Nyquist frequency.

    Parameters
    ----------
    image : array of shape (*shape)
        An image or a volume.
    cutoff : float, optional
        Lowest distance from 0 of the frequencies that count, in units of the Nyquist
        frequency along each axis.

    Returns
    -------
    float
        Mean square of the image's part at those frequencies (Parseval). Divided by
        the same of real images it is 1 for equal sharpness, less for blur and more
        for noise.
    """
    spectrum, radius = _spectrum(image)
    return float(spectrum[radius > cutoff].sum())


def white_matter_detail(volume, mean):
    """Compute how much fine detail there is in white matter, of that of the brain.

    A real brain has its detail at the cortex and the ventricles, and little in white
    matter. Mottled volumes have it everywhere, at the same power in each band.

    Parameters
    ----------
    volume : array of shape (I, J, K)
        A skull-stripped T1 volume in [0, 1], the background 0.
    mean : array of shape (I, J, K)
        The mean (or the sum) of real brains, whose brightest tenth is white matter.

    Returns
    -------
    float
        Median detail (absolute difference to the volume blurred by one voxel) in white
        matter over the root mean square in the brain: 0.67 for white noise, 0.2 for
        T1 brains at 2 mm.
    """
    volume, mean = (as_volume(a).astype("float32") for a in (volume, mean))
    detail = np.abs(volume - gaussian_filter(volume, 1.0))
    inside = volume > 0
    whole = np.sqrt(np.mean(detail[inside] ** 2)) if inside.any() else 0.0
    if not (whole and mean.any()):
        return 0.0
    white = mean >= np.quantile(mean[mean > 0], _BRIGHTEST)
    return float(np.median(detail[white]) / whole)


def radial_power(image, *, bins=32):
    """Compute the radial power spectrum.

    Parameters
    ----------
    image : array of shape (*shape)
        An image or a volume.
    bins : int, optional
        Bands of equal width from 0 to the Nyquist frequency.

    Returns
    -------
    frequencies : ndarray of shape (bins,)
        Middle of each band, in units of the Nyquist frequency along each axis.
    power : ndarray of shape (bins,)
        Mean square of the image's part in each band, per frequency in it; NaN for a
        band that holds none. The mean of the image is left out.
    """
    spectrum, radius = _spectrum(image)
    spectrum.flat[0] = 0
    edges = np.linspace(0, 1, bins + 1)
    sums = np.histogram(radius, edges, weights=spectrum)[0]
    counts = np.histogram(radius, edges)[0]
    power = np.divide(sums, counts, out=np.full(bins, np.nan), where=counts > 0)
    return (edges[1:] + edges[:-1]) / 2, power


def _spectrum(image):
    """Compute the power at each frequency, and its distance from 0: two ndarrays."""
    image = np.asarray(image, "float64")
    spectrum = np.abs(np.fft.fftn(image)) ** 2 / image.size**2
    axes = np.meshgrid(*[2 * np.fft.fftfreq(n) for n in image.shape], indexing="ij")
    return spectrum, np.sqrt(sum(axis**2 for axis in axes))
