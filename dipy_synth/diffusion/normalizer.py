"""Normalisation of an autoencoder's latents for the denoiser."""

import numpy as np

_FLOOR = 1e-4  # of the mean variance of a channel


class LatentNormalizer:
    """Centre latents, and transform them to coordinates of comparable noise.

    The mean is per position and channel: brains on a grid are aligned, so the network
    learns the differences from the mean brain.

    Parameters
    ----------
    mean : ndarray of shape (*spatial, channels)
        Mean of the training latents.
    matrix : ndarray of shape (channels, channels)
        Matrix that multiplies centred latents. Where the decoder has a linear path the
        coordinates are orthonormal in the image, times one number, so that white noise
        on them is white noise on the image; else each channel has unit variance.
    variance : ndarray of shape (*spatial, channels)
        Variance of the normalised training latents. Its mean is 1.
    """

    def __init__(self, mean, matrix, variance):
        self.mean = np.asarray(mean, "float32")
        self.matrix = np.asarray(matrix, "float32")
        self.variance = np.asarray(variance, "float32")
        self._inverse = np.linalg.inv(self.matrix.astype("float64")).astype("float32")

    @classmethod
    def fit(cls, latents, *, coordinates=None):
        """Fit the normalizer to the latents of a training set.

        Parameters
        ----------
        latents : ndarray of shape (n, *spatial, channels)
            Latents, which may be memory-mapped; they are read one image at a time. NaN
            is unknown, and left out.
        coordinates : ndarray of shape (channels, channels), optional
            Matrix from latents to orthonormal coordinates of patches (see
            `PatchAutoencoder.patch_basis`); None to scale each channel.

        Returns
        -------
        LatentNormalizer
        """
        mean = np.mean(latents, axis=0, dtype="float64")
        known = len(latents)
        if np.isnan(mean).any():
            known = np.maximum(np.sum(np.isfinite(latents), axis=0), 1)
            mean = np.nansum(latents, axis=0, dtype="float64") / known
        square = np.zeros_like(mean)
        matrix = np.eye(mean.shape[-1]) if coordinates is None else coordinates
        for z in latents:
            square += (_known(z - mean) @ matrix) ** 2
        variance = square / known
        axes = tuple(range(mean.ndim - 1))
        scale = np.maximum(variance.mean(axis=axes), 1e-12)
        if coordinates is not None:
            scale = np.full_like(scale, scale.mean())
        return cls(mean, matrix / np.sqrt(scale), _smoothed(variance / scale))

    def normalize(self, latents):
        """Normalise latents.

        Parameters
        ----------
        latents : ndarray of shape (n, *spatial, channels)
            Latents; NaN where unknown.

        Returns
        -------
        ndarray of shape (n, *spatial, channels), float32
            What was unknown is 0, the mean.
        """
        centred = np.asarray(latents, "float32") - self.mean
        return _known(centred) @ self.matrix

    def restore(self, normalized):
        """Invert `normalize`."""
        return np.asarray(normalized, "float32") @ self._inverse + self.mean


def _known(values):
    """Replace NaN by 0."""
    return np.where(np.isnan(values), 0, values) if np.isnan(values).any() else values


def _smoothed(variance):
    """Smooth a map over space by [1, 2, 1] / 4, and keep it above 0."""
    for axis in range(variance.ndim - 1):
        if variance.shape[axis] > 2:
            width = [(1, 1) if a == axis else (0, 0) for a in range(variance.ndim)]
            padded = np.moveaxis(np.pad(variance, width, mode="edge"), axis, 0)
            smooth = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
            variance = np.moveaxis(smooth, 0, axis)
    axes = tuple(range(variance.ndim - 1))
    return variance + _FLOOR * variance.mean(axis=axes)
