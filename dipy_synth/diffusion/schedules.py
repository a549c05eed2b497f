"""Schedules: how much of an image and how much noise there is at time t.

Everywhere ``x_t = alpha(t) x0 + sigma(t) noise``, with t = 0 the image and t = 1
the noise. A network is trained on `target` and read through `to_x0`, so that a
sampler needs to know neither what the network predicts nor how it was trained.
"""

import numpy as np


class RectifiedFlow:
    """Straight lines from image to noise: ``alpha = 1 - t``, ``sigma = t``.

    The network predicts the velocity ``noise - x0``, which is the line's slope. At
    t = 1 the state is exactly noise, so that sampling starts where training ended.

    Parameters
    ----------
    logit_mean, logit_std : float, optional
        Training times are drawn from a logit-normal distribution, which spends more
        of them in the middle of the line, where the slope is hard to predict.

    References
    ----------
    Liu, Gong & Liu (2023). Flow straight and fast. ICLR.
    Esser et al. (2024). Scaling rectified flow transformers. ICML (logit-normal).
    """

    name = "rectified_flow"

    def __init__(self, *, logit_mean=0.0, logit_std=1.0):
        self.logit_mean, self.logit_std = float(logit_mean), float(logit_std)

    def alpha(self, t):
        """Share of the image at time t."""
        return 1 - t

    def sigma(self, t):
        """Share of the noise at time t."""
        return t

    def training_times(self, n, rng):
        """Draw training times.

        Parameters
        ----------
        n : int
            How many.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        ndarray (n,), float32
            Times in (0, 1).
        """
        logits = rng.normal(self.logit_mean, self.logit_std, size=n)
        return (1 / (1 + np.exp(-logits))).astype("float32")

    def add_noise(self, x0, noise, t):
        """Give the state at time t.

        Parameters
        ----------
        x0, noise : array (batch, ...)
            Images and standard normal noise.
        t : float or array (batch,)
            Times in [0, 1].

        Returns
        -------
        array (batch, ...)
        """
        t = _like(t, x0)
        return self.alpha(t) * x0 + self.sigma(t) * noise

    def target(self, x0, noise, t):
        """Give what the network is to predict at time t: the velocity.

        Parameters are those of `add_noise`.
        """
        return noise - x0

    def to_x0(self, prediction, x_t, t):
        """Turn a prediction into an estimate of the image.

        Parameters
        ----------
        prediction, x_t : array (batch, ...)
            The network's output and its input.
        t : float or array (batch,)
            Times in [0, 1].

        Returns
        -------
        array (batch, ...)
        """
        return x_t - _like(t, x_t) * prediction

    def sampling_times(self, steps, *, shift=1.0):
        """Give the times a sampler visits.

        Parameters
        ----------
        steps : int
            Steps from noise to image.
        shift : float, optional
            Above 1 the steps are closer together near the noise.

        Returns
        -------
        ndarray (steps + 1,)
            Decreasing from 1 to 0.
        """
        t = np.linspace(1.0, 0.0, steps + 1)
        return shift * t / (1 + (shift - 1) * t)

    def to_config(self):
        """Give the arguments to make an equal schedule."""
        return {"logit_mean": self.logit_mean, "logit_std": self.logit_std}


def _like(t, x):
    """Shape times (batch,) so that they multiply images (batch, ...)."""
    t = np.asarray(t, "float32")
    return t.reshape(-1, *[1] * (len(x.shape) - 1)) if t.ndim else t
