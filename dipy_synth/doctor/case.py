"""What the doctor looks at: a model, and what is known of its data and its run."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.nn.ldm import LDM
from dipy_synth.nn.sampling import guided_denoiser
from dipy_synth.nn.vqvae import VQVAE

_NUMBERS = 2**21  # latent numbers looked at, where images are small
NOISE_TO_SIGNAL = (1 / 9, 3 / 7, 1.0, 7 / 3, 9.0)  # of a flow: t = 0.1 ... 0.9


@dataclass
class Case:
    """A model with what is known of it. All but the model may be left out.

    Parameters
    ----------
    ldm : LDM
        The model.
    latents : array (n, *latent_shape), optional
        Continuous latents of the whole training set, as the autoencoder gives them.
    conditions : array (n, n_conditions), optional
        Their encoded conditions, NaN where missing.
    held_out : array (m, *latent_shape), optional
        Latents of subjects that were not trained on.
    held_out_conditions : array (m, n_conditions), optional
        Their encoded conditions.
    volumes : array (k, *shape), optional
        Some prepared volumes in [0, 1], best of subjects that were not trained on.
    run : Path, optional
        Folder of the run that trained the model.
    vqvae : VQVAE, optional
        The autoencoder as it was before the latent diffusion model took it over.
    cohort_split : dict, optional
        ``train`` and ``validation``: subjects of the cohort at hand.
    samples : array (n, *latent_shape), optional
        Normalised latents that the model has sampled; made when they are needed.
    seed : int, optional
        Seed of noise and samples.
    """

    ldm: LDM
    latents: np.ndarray | None = None
    conditions: np.ndarray | None = None
    held_out: np.ndarray | None = None
    held_out_conditions: np.ndarray | None = None
    volumes: np.ndarray | None = None
    run: Path | None = None
    vqvae: VQVAE | None = None
    cohort_split: dict | None = None
    samples: np.ndarray | None = None
    seed: int = 0
    _answers: dict = field(default_factory=dict, repr=False)

    def __post_init__(self):
        for name in ("latents", "held_out"):
            value, shape = getattr(self, name), self.ldm.network.shape
            if value is not None and tuple(value.shape[1:]) != tuple(shape):
                raise InputError(
                    f"{name} of shape {value.shape}: expected (n, "
                    f"{', '.join(map(str, shape))})"
                )
            if value is not None and not len(value):
                setattr(self, name, None)

    @property
    def batch_size(self):
        """How many latent images go through the network at once: int."""
        return max(1, min(32, 2**19 // int(np.prod(self.ldm.network.shape))))

    def most(self):
        """How many latent images are looked at where not all can be: int."""
        size = int(np.prod(self.ldm.network.shape))
        return int(np.clip(_NUMBERS // size, 8, 128))

    def sides(self):
        """Name the sides that there are latents of: list of str."""
        return [
            name for name in ("held_out", "latents") if self.side(name)[0] is not None
        ]

    def side(self, name):
        """Give the latents and encoded conditions of one side, each array or None."""
        told = {"latents": "conditions", "held_out": "held_out_conditions"}[name]
        return getattr(self, name), getattr(self, told)

    def chosen(self, name):
        """Choose latents of one side, evenly spread over it.

        Parameters
        ----------
        name : {"latents", "held_out"}

        Returns
        -------
        x0 : ndarray (k, *latent_shape), float32
            Normalised latents.
        conditions : ndarray (k, n_conditions)
            Encoded conditions; NaN where they are not known.
        """
        latents, conditions = self.side(name)
        k = min(len(latents), self.most())
        rows = np.unique(np.linspace(0, len(latents) - 1, k).round().astype(int))
        x0 = self.ldm.normalizer.normalize(np.asarray(latents[rows], "float32"))
        if conditions is None:
            return x0, np.full((len(x0), len(self.ldm.schema.names)), np.nan, "float32")
        return x0, np.asarray(conditions, "float32")[rows]

    def denoised(self, name, conditions=None):
        """Denoise chosen latents of one side from five levels of noise.

        Parameters
        ----------
        name : {"latents", "held_out"}
            The side.
        conditions : {None, "null", "others"}, optional
            Give the network their own conditions, none, or each those of another.

        Returns
        -------
        Denoised
        """
        key = (name, conditions)
        if key not in self._answers:
            self._answers[key] = _denoise(self, *self.chosen(name), conditions)
        return self._answers[key]


@dataclass(frozen=True)
class Denoised:
    """Latents, with noise and without it again.

    Parameters
    ----------
    times : ndarray (5,)
        Times of the five levels, rising.
    truth : ndarray (k, *latent_shape)
        Normalised latents.
    noisy, answers : ndarray (5, k, *latent_shape)
        The latents with noise, and what the network takes them for.
    """

    times: np.ndarray
    truth: np.ndarray
    noisy: np.ndarray
    answers: np.ndarray

    def errors(self):
        """Give mean squared errors by level and image, predicting 0 being 1: (5, k)."""
        axes = tuple(range(2, self.answers.ndim))
        squared = np.mean((self.answers - self.truth) ** 2, axis=axes)
        return squared / np.mean(self.truth**2)

    def linear_errors(self):
        """Give the error of the best multiple of the noisy latents by level: (5,)."""
        power = np.sum(self.truth**2)
        return np.array(
            [
                1 - np.sum(x * self.truth) ** 2 / (np.sum(x**2) * power)
                for x in self.noisy
            ]
        )


def level_times(schedule):
    """Give the times at which the noise is 1/9, 3/7, 1, 7/3 and 9 times the signal.

    Where a schedule does not get there, its last time is given.

    Parameters
    ----------
    schedule : Schedule

    Returns
    -------
    ndarray (5,)
    """
    t = np.linspace(0, 1, 4001)[1:]
    with np.errstate(divide="ignore"):
        ratio = np.log(schedule.sigma(t)) - np.log(np.maximum(schedule.alpha(t), 1e-12))
    return np.interp(np.log(NOISE_TO_SIGNAL), ratio, t)


def _denoise(case, x0, conditions, kind):
    """Denoise latents from five levels, the noise being the same at each."""
    schedule, network = case.ldm.schedule, case.ldm.network
    rng = np.random.default_rng(case.seed)
    noise = rng.standard_normal(x0.shape, dtype="float32")
    if kind == "null":
        conditions = np.full_like(conditions, np.nan)
    elif kind == "others":
        conditions = far_conditions(conditions)
    times = level_times(schedule)
    noisy = np.stack([schedule.add_noise(x0, noise, t) for t in times])
    answers = np.empty_like(noisy)
    for start in range(0, len(x0), case.batch_size):
        rows = slice(start, start + case.batch_size)
        # as sampling does: the doctor looks at the path that makes volumes
        denoise = guided_denoiser(
            network.predict_on_batch, schedule, conditions[rows], 1.0
        )
        for level, t in enumerate(times):
            answers[level, rows] = denoise(noisy[level, rows], float(t))
    return Denoised(times, x0, noisy, answers)


def far_conditions(conditions):
    """Give each image the conditions of one that is far from it in a known one.

    Parameters
    ----------
    conditions : array (k, n_conditions)

    Returns
    -------
    ndarray (k, n_conditions)
    """
    column = np.isfinite(conditions).sum(axis=0).argmax()
    order = np.argsort(conditions[:, column], kind="stable")
    mixed = np.empty_like(conditions)
    mixed[order] = conditions[np.roll(order, len(order) // 2)]
    return mixed
