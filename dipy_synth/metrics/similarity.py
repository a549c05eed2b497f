"""How alike two images are."""

import numpy as np


def psnr(reference, image, *, mask=None, data_range=1.0):
    """Peak signal-to-noise ratio.

    Parameters
    ----------
    reference, image : array (*shape)
        Two images of one shape.
    mask : array of bool (*shape), optional
        Where to compare; everywhere by default. Inside the brain is the honest
        choice: an empty background flatters.
    data_range : float, optional
        Difference between the largest and the smallest possible value.

    Returns
    -------
    float
        In dB; infinite for equal images.
    """
    difference = np.asarray(reference, "float64") - np.asarray(image, "float64")
    error = np.mean(np.square(difference if mask is None else difference[mask]))
    return float(10 * np.log10(data_range**2 / error)) if error else float("inf")
