"""Schedules: how much of an image and how much noise there is at time t.

Everywhere ``x_t = alpha(t) x0 + sigma(t) noise``, with t = 0 the image and t = 1 the
noise: straight lines (rectified flow) or the chain of DDPM. A network is trained on
`Schedule.target` and read through `Schedule.to_x0`, so that a sampler needs to know
neither what the network predicts nor how it was trained.
"""

import numpy as np

from dipy_synth.diffusion.betas import ALPHA_BARS
from dipy_synth.errors import InputError

PREDICTIONS = ("noise", "image", "v", "velocity")
WEIGHTINGS = ("plain", "min_snr", "p2")
TIMES = ("logit_normal", "uniform")
SPACINGS = ("log_snr", "time")
_DEEPEST, _LAST = 100.0, 0.05  # noise over signal after the first, before the last step


class Schedule:
    """What all schedules share: mixing, targets, conversions and loss weights.

    A schedule defines `alpha`, `sigma`, `training_times` and `to_config`.

    Parameters
    ----------
    prediction : {"noise", "image", "v", "velocity"}
        What the network predicts: the noise, the image, ``alpha noise - sigma x0``
        [1]_ or the slope of a straight line, ``noise - x0`` [2]_.
    weighting : {"plain", "min_snr", "p2"}, optional
        Weights of the loss over time, see `loss_weight`.

    References
    ----------
    .. [1] Salimans & Ho (2022). Progressive distillation for fast sampling of diffusion
       models. ICLR.
    .. [2] Liu, Gong & Liu (2023). Flow straight and fast. ICLR.
    """

    def __init__(self, *, prediction, weighting="plain"):
        for name, value, choices in (
            ("prediction", prediction, PREDICTIONS),
            ("weighting", weighting, WEIGHTINGS),
        ):
            if value not in choices:
                raise InputError(
                    f"{name} {value!r}: expected one of {', '.join(choices)}"
                )
        self.prediction, self.weighting = prediction, weighting

    def snr(self, t):
        """Signal-to-noise ratio ``alpha ** 2 / sigma ** 2`` at times t (any shape)."""
        with np.errstate(divide="ignore"):
            return np.square(self.alpha(t)) / np.square(self.sigma(t))

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
        alpha, sigma = self._mixing(t, x0)
        return alpha * x0 + sigma * noise

    def target(self, x0, noise, t):
        """Give what the network is to predict at time t.

        Parameters and result are those of `add_noise`.
        """
        alpha, sigma = self._mixing(t, x0)
        if self.prediction == "noise":
            return noise
        if self.prediction == "image":
            return x0
        if self.prediction == "v":
            return alpha * noise - sigma * x0
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
        alpha, sigma = self._mixing(t, x_t)
        if self.prediction == "noise":
            return (x_t - sigma * prediction) / alpha
        if self.prediction == "image":
            return prediction
        if self.prediction == "v":
            return (alpha * x_t - sigma * prediction) / (alpha**2 + sigma**2)
        return (x_t - sigma * prediction) / (alpha + sigma)

    def loss_weight(self, t, *, gamma=5.0, k=1.0):
        """Give the weight of the squared error at times t.

        Parameters
        ----------
        t : array (batch,)
            Times in (0, 1].
        gamma : float, optional
            Of min-SNR: the signal-to-noise ratio above which an image's weight stays.
        k : float, optional
            Of P2: ``1 / (k + SNR)`` on the error of the noise.

        Returns
        -------
        array (batch,)
            1 everywhere for "plain". The others are stated for the error of the image
            (min-SNR [1]_) or of the noise (P2 [2]_) and carried over to what the
            network predicts.

        References
        ----------
        .. [1] Hang et al. (2023). Efficient diffusion training via min-SNR weighting
           strategy. ICCV.
        .. [2] Choi et al. (2022). Perception prioritized training of diffusion models.
           CVPR.
        """
        t = np.asarray(t, "float64")
        if self.weighting == "plain":
            return np.ones_like(t)
        alpha, sigma, snr = self.alpha(t), self.sigma(t), self.snr(t)
        if self.weighting == "min_snr":
            on_image = np.minimum(snr, gamma)
        else:
            on_image = snr / (k + snr)
        # the error of a prediction times this is the error of the image
        carried = {
            "noise": sigma / np.maximum(alpha, 1e-8),
            "image": np.ones_like(t),
            "v": sigma / (alpha**2 + sigma**2),
            "velocity": sigma / (alpha + sigma),
        }[self.prediction]
        return on_image * carried**2

    def sampling_times(self, steps, *, size=None):
        """Give the times a sampler visits.

        Parameters
        ----------
        steps : int
            Steps from noise to image.
        size : int, optional
            Numbers of an image. Normalised, none of its axes varies by more than the
            square root of that, which says in how deep a noise there is something to
            be found.

        Returns
        -------
        ndarray (steps + 1,)
            Decreasing from 1 to 0.
        """
        return np.linspace(1.0, 0.0, steps + 1)

    def times_at(self, ratios):
        """Give the times at which the noise is so many times the signal.

        Where the schedule does not get there, its last time is given.

        Parameters
        ----------
        ratios : array (n,)
            Noise over signal.

        Returns
        -------
        ndarray (n,)
        """
        t = np.linspace(0, 1, 4001)[1:]
        with np.errstate(divide="ignore"):
            ratio = np.log(self.sigma(t)) - np.log(np.maximum(self.alpha(t), 1e-12))
        return np.interp(np.log(ratios), ratio, t)

    def _mixing(self, t, x):
        """Give alpha and sigma in a shape that multiplies images (batch, ...)."""
        t = np.asarray(t, "float64")
        shape = (-1, *[1] * (len(x.shape) - 1)) if t.ndim else ()
        return (
            np.asarray(f(t), "float32").reshape(shape) for f in (self.alpha, self.sigma)
        )


def shifted(t, shift):
    """Move times towards the noise, t = 1, for a shift above 1."""
    return shift * t / (1 + (shift - 1) * t)


class RectifiedFlow(Schedule):
    """Straight lines from image to noise: ``alpha = 1 - t``, ``sigma = t``.

    At t = 1 the state is exactly noise, so that sampling starts where training ended.

    Parameters
    ----------
    times : {"uniform", "logit_normal"}, optional
        How training times are drawn: all alike, or with more of them in the middle of
        the line, where the slope is hard to predict [2]_, and next to none near t = 1,
        where a sampler begins.
    logit_mean, logit_std : float, optional
        Mean and standard deviation of the logit-normal times' logits.
    shift : float, optional
        Above 1, times move towards the noise, in training as in sampling (where it is
        spaced by time): the more voxels a latent image has, the more noise it takes to
        hide it ([2]_, eq. 23). The default is for latents of brains.
    spacing : {"log_snr", "time"}, optional
        How a sampler's steps are spaced: evenly in the logarithm of the signal-to-noise
        ratio, as [3]_ advises for its solver, or in (shifted) time. What all numbers of
        an image tell together, such as a brain's size, is decided in noise far deeper
        than the signal, where even steps in time are too large to follow it.
    prediction, weighting : str, optional
        As in `Schedule`.

    Raises
    ------
    InputError
        If an argument is none of these, or is out of range.

    References
    ----------
    .. [1] Liu, Gong & Liu (2023). Flow straight and fast. ICLR.
    .. [2] Esser et al. (2024). Scaling rectified flow transformers for high-resolution
       image synthesis. ICML.
    .. [3] Lu et al. (2022). DPM-Solver: a fast ODE solver for diffusion probabilistic
       model sampling in around 10 steps. NeurIPS.
    """

    def __init__(
        self,
        *,
        times="uniform",
        logit_mean=0.0,
        logit_std=1.0,
        shift=3.0,
        spacing="log_snr",
        prediction="velocity",
        weighting="plain",
    ):
        super().__init__(prediction=prediction, weighting=weighting)
        self.times, self.shift, self.spacing = times, float(shift), spacing
        self.logit_mean, self.logit_std = float(logit_mean), float(logit_std)
        for name, value, known in (
            ("times", times, TIMES),
            ("spacing", spacing, SPACINGS),
        ):
            if value not in known:
                raise InputError(
                    f"{name} {value!r}: expected one of {', '.join(known)}"
                )
        if not (shift > 0 and logit_std > 0):
            raise InputError(f"shift {shift}, logit_std {logit_std}: expected above 0")
        if prediction == "noise":
            raise InputError(
                "prediction 'noise': at t = 1 a flow is noise alone, which says "
                "nothing of the image; expected velocity, v or image"
            )

    def alpha(self, t):
        """Share of the image at times t (any shape)."""
        return 1 - np.asarray(t)

    def sigma(self, t):
        """Share of the noise at times t (any shape)."""
        return np.asarray(t)

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
        if self.times == "uniform":
            t = 1 - rng.random(n)
        else:
            logits = rng.normal(self.logit_mean, self.logit_std, size=n)
            t = 1 / (1 + np.exp(-logits))
        return shifted(t, self.shift).astype("float32")

    def sampling_times(self, steps, *, size=None):
        """Give the times a sampler visits, spaced as `spacing` says.

        Parameters and result are those of `Schedule.sampling_times`.
        """
        if self.spacing == "time":
            return shifted(super().sampling_times(steps), self.shift)
        deepest = _DEEPEST if size is None else max(size**0.5, 1.0)
        ratios = np.geomspace(deepest, _LAST, steps - 1)
        return np.concatenate([[1.0], ratios / (1 + ratios), [0.0]])

    def to_config(self):
        """Give the schedule's name and the arguments to make an equal one."""
        return {
            "name": "rectified_flow",
            "times": self.times,
            "logit_mean": self.logit_mean,
            "logit_std": self.logit_std,
            "shift": self.shift,
            "spacing": self.spacing,
            "prediction": self.prediction,
            "weighting": self.weighting,
        }


class DiscreteDiffusion(Schedule):
    """The variance-preserving chain of DDPM, of T steps: t is k / T, k from 1 to T.

    With the linear betas of the paper a short chain never reaches noise: at T = 200,
    300 and 500 the share of the image's power left at t = 1 is 0.13, 0.05 and 0.006.
    A sampler that starts from pure noise there starts outside of what was trained.
    `zero_terminal_snr` mends that.

    Parameters
    ----------
    steps : int, optional
        T.
    betas : {"linear", "scaled_linear", "cosine", "sigmoid"}, optional
        How the noise grows.
    beta_start, beta_end : float, optional
        First and last beta, for the linear ones.
    zero_terminal_snr : bool, optional
        Rescale so that t = 1 is noise alone [2]_.
    prediction, weighting : str, optional
        As in `Schedule`.

    References
    ----------
    .. [1] Ho, Jain & Abbeel (2020). Denoising diffusion probabilistic models. NeurIPS.
    .. [2] Lin et al. (2024). Common diffusion noise schedules and sample steps are
       flawed. WACV.
    """

    def __init__(
        self,
        *,
        steps=1000,
        betas="linear",
        beta_start=1e-4,
        beta_end=0.02,
        zero_terminal_snr=False,
        prediction="noise",
        weighting="plain",
    ):
        super().__init__(prediction=prediction, weighting=weighting)
        if steps < 1 or betas not in ALPHA_BARS:
            raise InputError(
                f"steps {steps}, betas {betas!r}: expected at least 1 step and one of "
                f"{', '.join(ALPHA_BARS)}"
            )
        if zero_terminal_snr and prediction == "noise":
            raise InputError(
                "prediction 'noise' with zero_terminal_snr: at t = 1 the noise says "
                "nothing of the image; expected v or image"
            )
        self.steps, self.betas = int(steps), betas
        self.beta_start, self.beta_end = float(beta_start), float(beta_end)
        self.zero_terminal_snr = bool(zero_terminal_snr)
        self._alphas = self._make_alphas()

    def _make_alphas(self):
        """Give alpha at k = 0 ... T, (T + 1,)."""
        alpha_bar = ALPHA_BARS[self.betas](self.steps, self.beta_start, self.beta_end)
        alphas = np.sqrt(alpha_bar)
        if self.zero_terminal_snr:
            first, last = alphas[0], alphas[-1]
            alphas = (alphas - last) * first / (first - last)
        return np.concatenate([[1.0], alphas])

    def alpha(self, t):
        """Share of the image at times t (any shape), linear between the steps."""
        return np.interp(t, np.linspace(0, 1, self.steps + 1), self._alphas)

    def sigma(self, t):
        """Share of the noise at times t (any shape)."""
        return np.sqrt(1 - np.square(self.alpha(t)))

    def training_times(self, n, rng):
        """Draw training times: k / T, all k from 1 to T alike.

        Parameters and result are those of `RectifiedFlow.training_times`.
        """
        return (rng.integers(1, self.steps + 1, size=n) / self.steps).astype("float32")

    def to_config(self):
        """Give the schedule's name and the arguments to make an equal one."""
        return {
            "name": "discrete_diffusion",
            "steps": self.steps,
            "betas": self.betas,
            "beta_start": self.beta_start,
            "beta_end": self.beta_end,
            "zero_terminal_snr": self.zero_terminal_snr,
            "prediction": self.prediction,
            "weighting": self.weighting,
        }


SCHEDULES = {"rectified_flow": RectifiedFlow, "discrete_diffusion": DiscreteDiffusion}


def make_schedule(config):
    """Make a schedule from what its `to_config` gave.

    Parameters
    ----------
    config : dict
        ``name`` and arguments.

    Returns
    -------
    Schedule
    """
    arguments = dict(config)
    return SCHEDULES[arguments.pop("name")](**arguments)


def choose_schedule(name="rectified_flow", **options):
    """Make a schedule from the words of a command line.

    Parameters
    ----------
    name : str, optional
        ``rectified_flow``, or the betas of a discrete chain: linear, scaled_linear,
        cosine, sigmoid.
    **options
        Arguments of the schedule, such as ``prediction``, or a chain's ``steps``; None
        stands for the default.

    Returns
    -------
    Schedule

    Raises
    ------
    InputError
        If the name is none of these, or the options do not go together.
    """
    options = {key: value for key, value in options.items() if value is not None}
    if name == "rectified_flow":
        if options.pop("zero_terminal_snr", False):
            raise InputError("zero_terminal_snr: a rectified flow ends in noise anyway")
        if "steps" in options:
            raise InputError(
                f"{options['steps']} diffusion steps: a rectified flow has none; "
                f"expected with one of {', '.join(ALPHA_BARS)}"
            )
        return RectifiedFlow(**options)
    if name not in ALPHA_BARS:
        raise InputError(
            f"schedule {name!r}: expected rectified_flow or {', '.join(ALPHA_BARS)}"
        )
    if {"times", "shift", "spacing"} & {*options}:
        raise InputError(
            f"schedule {name!r}: times, shift and spacing are of rectified_flow"
        )
    return DiscreteDiffusion(betas=name, **options)
