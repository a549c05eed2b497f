"""How sharp an image is: its power at high spatial frequencies."""

import numpy as np


def high_frequency_power(image, *, cutoff=0.5):
    """Power above a share of the Nyquist frequency.

    Parameters
    ----------
    image : array (*shape)
        An image or a volume.
    cutoff : float, optional
        Frequencies count whose distance from 0, in units of the Nyquist frequency
        along each axis, is above this.

    Returns
    -------
    float
        Mean square of the image's part at those frequencies (Parseval). Divided by
        the same of real images it is 1 for equal sharpness, less for blur and more
        for noise.
    """
    spectrum, radius = _spectrum(image)
    return float(spectrum[radius > cutoff].sum())


def radial_power(image, *, bins=32):
    """Power at each spatial frequency, whatever its direction.

    Parameters
    ----------
    image : array (*shape)
        An image or a volume.
    bins : int, optional
        Bands of equal width from 0 to the Nyquist frequency.

    Returns
    -------
    frequencies : ndarray (bins,)
        Middle of each band, in units of the Nyquist frequency along each axis.
    power : ndarray (bins,)
        Mean square of the image's part in each band, per frequency in it; NaN for a
        band that holds none. The mean of the image itself is left out.
    """
    spectrum, radius = _spectrum(image)
    spectrum.flat[0] = 0
    edges = np.linspace(0, 1, bins + 1)
    sums = np.histogram(radius, edges, weights=spectrum)[0]
    counts = np.histogram(radius, edges)[0]
    power = np.divide(sums, counts, out=np.full(bins, np.nan), where=counts > 0)
    return (edges[1:] + edges[:-1]) / 2, power


def _spectrum(image):
    """Give the power at each frequency, and how far it is from 0: ndarrays (*shape)."""
    image = np.asarray(image, "float64")
    spectrum = np.abs(np.fft.fftn(image)) ** 2 / image.size**2
    axes = np.meshgrid(*[2 * np.fft.fftfreq(n) for n in image.shape], indexing="ij")
    return spectrum, np.sqrt(sum(axis**2 for axis in axes))
