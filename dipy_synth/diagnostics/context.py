"""What diagnostics look at: a model, and what is known of its data and its run."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dipy_synth.diffusion.denoising import wiener_errors
from dipy_synth.errors import InputError
from dipy_synth.nn.ldm import LDM
from dipy_synth.nn.vqvae import VQVAE
from dipy_synth.utils.random import random_stream

_NUMBERS = 2**21  # latent numbers looked at, where images are small
_FOR_WIDEST = 128  # latent images, from which the widest component is told
NOISE_TO_SIGNAL = (0.25, 0.6, 0.8, 1.5, 3.0, 9.0)


@dataclass
class DiagnosticContext:
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
    ladder : Ladder, optional
        Images sampled back from rising noise; made when they are needed.
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
    ladder: object = None
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

    def chosen(self, name, *, most=None):
        """Choose latents of one side, evenly spread over it.

        Parameters
        ----------
        name : {"latents", "held_out"}
        most : int, optional
            How many at most; `most` by default.

        Returns
        -------
        x0 : ndarray (k, *latent_shape), float32
            Normalised latents.
        conditions : ndarray (k, n_conditions)
            Encoded conditions; NaN where they are not known.
        """
        latents, conditions = self.side(name)
        k = min(len(latents), most or self.most())
        rows = np.unique(np.linspace(0, len(latents) - 1, k).round().astype(int))
        x0 = self.ldm.normalizer.normalize(np.asarray(latents[rows], "float32"))
        if conditions is None:
            return x0, np.full((len(x0), len(self.ldm.schema.names)), np.nan, "float32")
        return x0, np.asarray(conditions, "float32")[rows]

    def denoised(self, name, conditions=None):
        """Denoise chosen latents of one side from `NOISE_TO_SIGNAL`.

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
            times = self.ldm.schedule.times_at(NOISE_TO_SIGNAL)
            self._answers[key] = _denoise(self, times, *self.chosen(name), conditions)
        return self._answers[key]

    def along_widest(self, name, errors, *, most=32):
        """Denoise from deep noise, and look along the widest training component.

        Parameters
        ----------
        name : {"latents", "held_out"}
            The side.
        errors : tuple of float
            The levels of noise: shares of the component's variance that are left when
            the best multiple of what is seen is taken.
        most : int, optional
            How many latent images to look at.

        Returns
        -------
        Denoised
            Its images are coordinates (k, 1), those of the mean being 0.
        """
        mean, axis, variance = _widest(self.chosen("latents", most=_FOR_WIDEST)[0])
        errors = np.asarray(errors)
        times = self.ldm.schedule.times_at(np.sqrt(variance * errors / (1 - errors)))
        looked = _denoise(self, times, *self.chosen(name, most=most), None)

        def along(x, share=1.0):
            return (x - share * mean).reshape(len(x), -1) @ axis[:, None]

        shares = self.ldm.schedule.alpha(times)
        return Denoised(
            times,
            along(looked.truth),
            np.stack([along(x, share) for x, share in zip(looked.noisy, shares)]),
            np.stack([along(x) for x in looked.answers]),
        )


@dataclass(frozen=True)
class Denoised:
    """Latents, with noise and without it again.

    Parameters
    ----------
    times : ndarray (n,)
        Times of the levels of noise, rising.
    truth : ndarray (k, *latent_shape)
        Normalised latents.
    noisy, answers : ndarray (n, k, *latent_shape)
        The latents with noise, and what the network takes them for.
    """

    times: np.ndarray
    truth: np.ndarray
    noisy: np.ndarray
    answers: np.ndarray

    def errors(self):
        """Give mean squared errors by level and image, predicting 0 being 1: (n, k)."""
        axes = tuple(range(2, self.answers.ndim))
        squared = np.mean((self.answers - self.truth) ** 2, axis=axes)
        return squared / np.mean(self.truth**2)

    def wiener_errors(self, variance, ratios):
        """Return the errors of a Wiener filter by position and channel.

        Parameters
        ----------
        variance : ndarray of shape (*latent_shape)
            Variance of the training latents.
        ratios : ndarray of shape (n,)
            Noise-to-signal ratios.

        Returns
        -------
        ndarray of shape (n,)
            As `errors`: predicting 0 is 1.
        """
        power = np.mean(self.truth**2)
        return wiener_errors(self.truth, variance, ratios) / power

    def linear_errors(self):
        """Give the error of the best multiple of the noisy latents by level: (n,)."""
        power = np.sum(self.truth**2)
        return np.array(
            [
                1 - np.sum(x * self.truth) ** 2 / (np.sum(x**2) * power)
                for x in self.noisy
            ]
        )


def _widest(latents):
    """Give the mean, the first principal axis (unit length) and its variance."""
    mean = latents.mean(axis=0)
    centered = (latents - mean).reshape(len(latents), -1)
    power, weights = np.linalg.eigh(centered @ centered.T)
    axis = centered.T @ weights[:, -1]
    return mean, axis / np.linalg.norm(axis), power[-1] / len(latents)


def _denoise(context, times, x0, conditions, kind):
    """Denoise latents from some levels, the noise being the same at each."""
    schedule = context.ldm.schedule
    rng = random_stream("diagnostics: latents", seed=context.seed)
    noise = rng.standard_normal(x0.shape, dtype="float32")
    if kind == "null":
        conditions = np.full_like(conditions, np.nan)
    elif kind == "others":
        conditions = far_conditions(conditions)
    noisy = np.stack([schedule.add_noise(x0, noise, t) for t in times])
    answers = np.empty_like(noisy)
    for start in range(0, len(x0), context.batch_size):
        rows = slice(start, start + context.batch_size)
        # as sampling does: what is checked is the path that makes volumes
        denoise = context.ldm.denoiser(conditions[rows])
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
