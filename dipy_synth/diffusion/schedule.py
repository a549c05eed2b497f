"""Schedule: mixing of image and noise, prediction targets and their loss.

Everywhere ``x_t = alpha(t) x0 + sigma(t) noise``, with t = 0 the image and t = 1 the
noise. A network is trained on `Schedule.target` and converted by `Schedule.to_x0`, so
that samplers do not depend on the prediction target.
"""

import numpy as np

from dipy_synth.errors import InputError

PREDICTIONS = ("noise", "image", "v", "velocity", "preconditioned")


class Schedule:
    """Base class of schedules: mixing, targets and conversions.

    A schedule defines `alpha`, `sigma`, `training_times` and `to_config`.

    Parameters
    ----------
    prediction : {"noise", "image", "v", "velocity", "preconditioned"}
        What the network predicts: the noise, the image, ``alpha noise - sigma x0``
        :footcite:p:`salimans2022distillation`, the slope of a straight line, ``noise -
        x0`` :footcite:p:`liu2023flow`, or the residual of the best linear estimate of
        the image, scaled to unit variance (:footcite:p:`karras2022edm`, eq. 7, with a
        variance for each position and channel in place of ``sigma_data ** 2``).

    References
    ----------
    .. footbibliography::
    """

    def __init__(self, *, prediction):
        if prediction not in PREDICTIONS:
            raise InputError(
                f"prediction {prediction!r}: expected one of {', '.join(PREDICTIONS)}"
            )
        self.prediction = prediction

    def add_noise(self, x0, noise, t):
        """Compute the state at time t.

        Parameters
        ----------
        x0, noise : array of shape (batch, ...)
            Images and standard normal noise.
        t : float or array of shape (batch,)
            Times in [0, 1].

        Returns
        -------
        array of shape (batch, ...)
        """
        alpha, sigma = self._mixing(t, x0)
        return alpha * x0 + sigma * noise

    @property
    def highest_ratio(self):
        """Highest noise-to-signal ratio of training; infinite if unbounded."""
        return np.inf

    def noise_to_signal(self, t):
        """Compute ``sigma / alpha`` at times t (any shape), infinite for pure noise."""
        with np.errstate(divide="ignore"):
            return np.asarray(self.sigma(t) / np.asarray(self.alpha(t), "float64"))

    def noise_level(self, t):
        """Compute the logarithm of the noise-to-signal ratio, an input of the network.

        Parameters
        ----------
        t : ndarray of any shape
            Times in (0, 1].

        Returns
        -------
        ndarray of the same shape, float32
            ``log(sigma / alpha)``, within [-7, 7].
        """
        with np.errstate(divide="ignore"):
            level = np.log(self.noise_to_signal(t))
        return np.clip(level, -7, 7).astype("float32")

    def scale_input(self, x_t, t, *, variance=1.0):
        """Scale a state for the network: to unit variance if preconditioned.

        Parameters
        ----------
        x_t : ndarray of shape (batch, ...)
            States.
        t : float or ndarray of shape (batch,)
            Times in [0, 1].
        variance : float or ndarray of shape (...), optional
            Variance of the images at each position and channel.

        Returns
        -------
        ndarray of shape (batch, ...)
        """
        if self.prediction != "preconditioned":
            return x_t
        alpha, sigma = self._mixing(t, x_t)
        return x_t / np.sqrt(alpha**2 * variance + sigma**2)

    def target(self, x0, noise, t, *, variance=1.0):
        """Compute the target of the network at time t.

        Parameters and result are those of `add_noise`, besides `variance`, which is
        that of `scale_input`.
        """
        alpha, sigma = self._mixing(t, x0)
        if self.prediction == "preconditioned":
            total = alpha**2 * variance + sigma**2
            return (sigma * x0 - alpha * variance * noise) / np.sqrt(variance * total)
        if self.prediction == "noise":
            return noise
        if self.prediction == "image":
            return x0
        if self.prediction == "v":
            return alpha * noise - sigma * x0
        return noise - x0

    def to_x0(self, prediction, x_t, t, *, variance=1.0):
        """Convert a prediction to an estimate of the image.

        Parameters
        ----------
        prediction, x_t : array of shape (batch, ...)
            The network's output and the state.
        t : float or array of shape (batch,)
            Times in [0, 1].
        variance : float or ndarray of shape (...), optional
            See `scale_input`.

        Returns
        -------
        array of shape (batch, ...)
        """
        alpha, sigma = self._mixing(t, x_t)
        if self.prediction == "preconditioned":
            linear = self.linear_estimate(x_t, t, variance=variance)
            scale = sigma * np.sqrt(variance / (alpha**2 * variance + sigma**2))
            return linear + scale * prediction
        if self.prediction == "noise":
            return (x_t - sigma * prediction) / alpha
        if self.prediction == "image":
            return prediction
        if self.prediction == "v":
            return (alpha * x_t - sigma * prediction) / (alpha**2 + sigma**2)
        return (x_t - sigma * prediction) / (alpha + sigma)

    def linear_estimate(self, x_t, t, *, variance=1.0):
        """Compute the best linear estimate of images of mean 0, a Wiener filter.

        Parameters and result are those of `scale_input`.
        """
        alpha, sigma = self._mixing(t, x_t)
        return alpha * variance / (alpha**2 * variance + sigma**2) * x_t

    def error_weight(self, t, x0, *, variance=1.0):
        """Compute the weight of each element's squared error at times t.

        The error of a preconditioned prediction is weighted as that of the image,
        relative to the residual of the best linear estimate; others have weight 1.

        Parameters
        ----------
        t : ndarray of shape (batch,)
            Times in (0, 1].
        x0 : ndarray of shape (batch, ...)
            Images, for their shape.
        variance : float or ndarray of shape (...), optional
            See `scale_input`.

        Returns
        -------
        ndarray that multiplies images (batch, ...), float32
        """
        if self.prediction != "preconditioned":
            return np.ones((len(x0), *[1] * (x0.ndim - 1)), "float32")
        alpha, sigma = self._mixing(t, x0)
        share = variance / (alpha**2 * variance + sigma**2)
        share = np.broadcast_to(share, (len(x0), *share.shape[1:]))
        mean = share.mean(axis=tuple(range(1, share.ndim)), keepdims=True)
        return (share / mean).astype("float32")

    def sampling_times(self, steps, *, size=None):
        """Compute the times of a sampler's steps.

        Parameters
        ----------
        steps : int
            Steps from noise to image.
        size : int, optional
            Number of elements of an image. Its square root bounds the standard
            deviation of normalised images in any direction, and so the highest useful
            noise.

        Returns
        -------
        ndarray of shape (steps + 1,)
            Decreasing from 1 to 0.
        """
        return np.linspace(1.0, 0.0, steps + 1)

    def times_at(self, ratios):
        """Compute the times of noise-to-signal ratios.

        Ratios beyond the range of the schedule get the last time.

        Parameters
        ----------
        ratios : array of shape (n,)
            Noise over signal.

        Returns
        -------
        ndarray of shape (n,)
        """
        t = np.linspace(0, 1, 4001)[1:]
        with np.errstate(divide="ignore"):
            ratio = np.log(self.sigma(t)) - np.log(np.maximum(self.alpha(t), 1e-12))
        return np.interp(np.log(ratios), ratio, t)

    def _mixing(self, t, x):
        """Return alpha and sigma in a shape that broadcasts to images (batch, ...)."""
        t = np.asarray(t, "float64")
        shape = (-1, *[1] * (len(x.shape) - 1)) if t.ndim else ()
        return (
            np.asarray(f(t), "float32").reshape(shape) for f in (self.alpha, self.sigma)
        )


def shifted(t, shift):
    """Shift times towards the noise, t = 1, for a shift above 1."""
    return shift * t / (1 + (shift - 1) * t)
