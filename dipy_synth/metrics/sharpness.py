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
    image = np.asarray(image, "float64")
    spectrum = np.abs(np.fft.fftn(image)) ** 2 / image.size**2
    axes = np.meshgrid(*[2 * np.fft.fftfreq(n) for n in image.shape], indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    return float(spectrum[radius > cutoff].sum())
