"""Latents to numbers near N(0, 1) and back: one object owns both directions."""

import numpy as np


class LatentNormalizer:
    """Shift and scale latents by what they are over a whole training set.

    The mean is taken per position and channel: brains on a grid are aligned, so the
    mean brain is given to the network, which is left to learn how brains differ. The
    scale is one number per channel.

    Parameters
    ----------
    mean : array (*spatial, channels)
        Mean of the training latents.
    scale : array (channels,)
        Standard deviation of what is left, over images and positions.
    """

    def __init__(self, mean, scale):
        self.mean = np.asarray(mean, "float32")
        self.scale = np.asarray(scale, "float32")

    @classmethod
    def fit(cls, latents):
        """Measure the latents of a training set.

        Parameters
        ----------
        latents : array (n, *spatial, channels)
            May be memory-mapped; it is read one image at a time.

        Returns
        -------
        LatentNormalizer
        """
        mean = np.mean(latents, axis=0, dtype="float64")
        axes = tuple(range(mean.ndim - 1))
        variance = np.mean([np.mean((z - mean) ** 2, axis=axes) for z in latents], 0)
        return cls(mean, np.sqrt(np.maximum(variance, 1e-12)))

    def normalize(self, latents):
        """Give numbers of mean 0 and standard deviation 1 per channel.

        Parameters
        ----------
        latents : array (n, *spatial, channels)

        Returns
        -------
        array (n, *spatial, channels)
        """
        return (latents - self.mean) / self.scale

    def restore(self, normalized):
        """Undo `normalize`."""
        return normalized * self.scale + self.mean
