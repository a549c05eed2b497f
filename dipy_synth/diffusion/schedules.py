"""Schedules: rectified flow, and the discrete chain of DDPM."""

import numpy as np

from dipy_synth.diffusion.betas import ALPHA_BARS
from dipy_synth.diffusion.schedule import Schedule, shifted
from dipy_synth.errors import InputError

TIMES = ("log_snr", "logit_normal", "uniform")
SPACINGS = ("log_snr", "time")
_DEEPEST, _LAST = 100.0, 0.05  # noise over signal after the first, before the last step


class RectifiedFlow(Schedule):
    """Rectified flow: ``alpha = 1 - t``, ``sigma = t``.

    States are on the straight line from image to noise :footcite:p:`liu2023flow`. At
    t = 1 the state is pure noise, in training as in sampling.

    Parameters
    ----------
    times : {"uniform", "logit_normal", "log_snr"}, optional
        Distribution of training times: uniform; logit-normal, with more of them in
        the middle of the line :footcite:p:`esser2024scaling` and almost none near
        t = 1, where a sampler begins; or uniform in the logarithm of the
        noise-to-signal ratio over `noise_range`.
    noise_range : (float, float), optional
        Lowest and highest noise-to-signal ratio of times "log_snr".
    logit_mean, logit_std : float, optional
        Mean and standard deviation of the logit-normal times' logits.
    shift : float, optional
        Above 1, times are shifted towards the noise, in training as in sampling (with
        spacing "time"): larger latent images need more noise
        (:footcite:p:`esser2024scaling`, eq. 23). The default is for latents of brains.
    spacing : {"log_snr", "time"}, optional
        Spacing of a sampler's steps: even in the logarithm of the signal-to-noise
        ratio, as :footcite:t:`lu2022dpmsolver` advise for their solver, or in (shifted)
        time. Global features such as a brain's size are determined at noise levels far
        above the signal, where even steps in time are too large.
    prediction : str, optional
        See `Schedule`.

    Raises
    ------
    InputError
        If an argument is unknown or out of range.

    References
    ----------
    .. footbibliography::
    """

    def __init__(
        self,
        *,
        times="uniform",
        logit_mean=0.0,
        logit_std=1.0,
        shift=3.0,
        noise_range=(0.02, 20.0),
        spacing="log_snr",
        prediction="velocity",
    ):
        super().__init__(prediction=prediction)
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
        self.noise_range = tuple(float(n) for n in noise_range)
        if len(self.noise_range) != 2 or not 0 < noise_range[0] < noise_range[1]:
            raise InputError(
                f"noise_range {noise_range}: expected two ratios, 0 < low < high"
            )
        if not (shift > 0 and logit_std > 0):
            raise InputError(f"shift {shift}, logit_std {logit_std}: expected above 0")
        if prediction == "noise":
            raise InputError(
                "prediction 'noise': at t = 1 a flow is pure noise, from which no "
                "image can be computed; expected velocity, v or image"
            )

    @property
    def highest_ratio(self):
        """Highest noise-to-signal ratio seen in training; infinite if unbounded."""
        return self.noise_range[1] if self.times == "log_snr" else np.inf

    def alpha(self, t):
        """Compute the scale of the image at times t (any shape)."""
        return 1 - np.asarray(t)

    def sigma(self, t):
        """Compute the scale of the noise at times t (any shape)."""
        return np.asarray(t)

    def training_times(self, n, rng):
        """Draw training times.

        Parameters
        ----------
        n : int
            Number of times.
        rng : numpy.random.Generator
            Random generator.

        Returns
        -------
        ndarray of shape (n,), float32
            Times in (0, 1).
        """
        if self.times == "log_snr":
            ratio = np.exp(rng.uniform(*np.log(self.noise_range), size=n))
            return (ratio / (1 + ratio)).astype("float32")
        if self.times == "uniform":
            t = 1 - rng.random(n)
        else:
            logits = rng.normal(self.logit_mean, self.logit_std, size=n)
            t = 1 / (1 + np.exp(-logits))
        return shifted(t, self.shift).astype("float32")

    def sampling_times(self, steps, *, size=None):
        """Compute the times of a sampler's steps, spaced by `spacing`.

        Parameters and result are those of `Schedule.sampling_times`.
        """
        if self.spacing == "time":
            return shifted(super().sampling_times(steps), self.shift)
        deepest = _DEEPEST if size is None else max(size**0.5, 1.0)
        ratios = np.geomspace(deepest, _LAST, steps - 1)
        return np.concatenate([[1.0], ratios / (1 + ratios), [0.0]])

    def to_config(self):
        """Return the schedule's name and arguments, for `make_schedule`."""
        return {
            "name": "rectified_flow",
            "times": self.times,
            "logit_mean": self.logit_mean,
            "logit_std": self.logit_std,
            "shift": self.shift,
            "noise_range": list(self.noise_range),
            "spacing": self.spacing,
            "prediction": self.prediction,
        }


class DiscreteDiffusion(Schedule):
    """The variance-preserving chain of DDPM, of T steps: t is k / T, k from 1 to T.

    With the linear betas of :footcite:t:`ho2020ddpm` a short chain does not end in pure
    noise: at T = 200, 300 and 500 the signal power (alpha-bar) at t = 1 is 0.13, 0.05
    and 0.006. A sampler that starts from pure noise is then outside of the training
    distribution. `zero_terminal_snr` corrects this.

    Parameters
    ----------
    steps : int, optional
        T.
    betas : {"linear", "scaled_linear", "cosine", "sigmoid"}, optional
        Schedule of the betas: linear, linear in their roots
        :footcite:p:`rombach2022latent`, or those of an alpha-bar that is a cosine
        (:footcite:p:`nichol2021improved`, eq. 17) or a sigmoid
        :footcite:p:`jabri2023adaptive`.
    beta_start, beta_end : float, optional
        First and last beta, for the linear ones.
    zero_terminal_snr : bool, optional
        Rescale so that t = 1 is pure noise :footcite:p:`lin2024flawed`.
    prediction : str, optional
        See `Schedule`.

    References
    ----------
    .. footbibliography::
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
    ):
        super().__init__(prediction=prediction)
        if steps < 1 or betas not in ALPHA_BARS:
            raise InputError(
                f"steps {steps}, betas {betas!r}: expected at least 1 step and one of "
                f"{', '.join(ALPHA_BARS)}"
            )
        if zero_terminal_snr and prediction == "noise":
            raise InputError(
                "prediction 'noise' with zero_terminal_snr: at t = 1 there is no "
                "signal, from which no image can be computed; expected v or image"
            )
        self.steps, self.betas = int(steps), betas
        self.beta_start, self.beta_end = float(beta_start), float(beta_end)
        self.zero_terminal_snr = bool(zero_terminal_snr)
        self._alphas = self._make_alphas()

    def _make_alphas(self):
        """Return alpha at k = 0 ... T, (T + 1,)."""
        alpha_bar = ALPHA_BARS[self.betas](self.steps, self.beta_start, self.beta_end)
        alphas = np.sqrt(alpha_bar)
        if self.zero_terminal_snr:
            first, last = alphas[0], alphas[-1]
            alphas = (alphas - last) * first / (first - last)
        return np.concatenate([[1.0], alphas])

    def alpha(self, t):
        """Compute the scale of the image at times t, linear between the steps."""
        return np.interp(t, np.linspace(0, 1, self.steps + 1), self._alphas)

    def sigma(self, t):
        """Compute the scale of the noise at times t (any shape)."""
        return np.sqrt(1 - np.square(self.alpha(t)))

    def training_times(self, n, rng):
        """Draw training times: k / T, uniformly for k from 1 to T.

        Parameters and result are those of `RectifiedFlow.training_times`.
        """
        return (rng.integers(1, self.steps + 1, size=n) / self.steps).astype("float32")

    def to_config(self):
        """Return the schedule's name and arguments, for `make_schedule`."""
        return {
            "name": "discrete_diffusion",
            "steps": self.steps,
            "betas": self.betas,
            "beta_start": self.beta_start,
            "beta_end": self.beta_end,
            "zero_terminal_snr": self.zero_terminal_snr,
            "prediction": self.prediction,
        }


SCHEDULES = {"rectified_flow": RectifiedFlow, "discrete_diffusion": DiscreteDiffusion}


def make_schedule(config):
    """Make a schedule from the dict of its `to_config`.

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


def choose_schedule(name=None, *, default=None, **options):
    """Make a schedule from the options of a command line.

    Parameters
    ----------
    name : str, optional
        ``rectified_flow``, or the betas of a discrete chain: linear, scaled_linear,
        cosine, sigmoid. By default that of `default`.
    default : dict, optional
        Configuration of a schedule, such as a preset's, for arguments that are not
        given; ignored if `name` is of the other kind.
    **options
        Arguments of the schedule, such as ``prediction``, or a chain's ``steps``; None
        and False are ignored.

    Returns
    -------
    Schedule

    Raises
    ------
    InputError
        If the name is unknown, or options exclude each other.
    """
    options = {key: value for key, value in options.items() if value is not None}
    if not options.get("zero_terminal_snr"):
        options.pop("zero_terminal_snr", None)
    default = dict(default or {"name": "rectified_flow"})
    if name is not None and name not in ("rectified_flow", *ALPHA_BARS):
        raise InputError(
            f"schedule {name!r}: expected rectified_flow or {', '.join(ALPHA_BARS)}"
        )
    kind = "discrete_diffusion" if name in ALPHA_BARS else name or default["name"]
    _check_options(kind, options)
    config = default if kind == default["name"] else {"name": kind}
    if name in ALPHA_BARS:
        config["betas"] = name
    return make_schedule({**config, **options})


def _check_options(kind, options):
    """Refuse options of the other kind of schedule."""
    own = {
        "rectified_flow": {"times", "noise_range", "shift", "spacing"},
        "discrete_diffusion": {"steps", "zero_terminal_snr"},
    }
    for other, names in own.items():
        if other != kind and (wrong := sorted(names & {*options})):
            raise InputError(
                f"{', '.join(wrong)} with schedule {kind}: expected with {other}"
                + (f" ({', '.join(ALPHA_BARS)})" if "discrete" in other else "")
            )
