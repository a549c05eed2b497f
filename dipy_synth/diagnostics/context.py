"""Context of diagnostics: a model, its data and its run."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dipy_synth.diffusion.denoising import wiener_errors
from dipy_synth.errors import InputError
from dipy_synth.nn.ldm import LDM
from dipy_synth.nn.vqvae import VQVAE
from dipy_synth.utils.random import random_stream

_NUMBERS = 2**21  # latent numbers used, where images are small
_FOR_WIDEST = 128  # latent images for the widest component
NOISE_TO_SIGNAL = (0.25, 0.6, 0.8, 1.5, 3.0, 9.0)


@dataclass
class DiagnosticContext:
    """A model with its data and run. All but the model are optional.

    Parameters
    ----------
    ldm : LDM
        The model.
    latents : array of shape (n, *latent_shape), optional
        Continuous latents of the whole training set, of the autoencoder.
    conditions : array of shape (n, n_conditions), optional
        Their encoded conditions, NaN where missing.
    held_out : array of shape (m, *latent_shape), optional
        Latents of held-out subjects.
    held_out_conditions : array of shape (m, n_conditions), optional
        Their encoded conditions.
    volumes : array of shape (k, *shape), optional
        Prepared volumes in [0, 1], preferably of held-out subjects.
    run : Path, optional
        Folder of the run that trained the model.
    vqvae : VQVAE, optional
        The autoencoder of its own run, before it was copied to the model.
    cohort_split : dict, optional
        ``train`` and ``validation``: subjects of the given cohort.
    samples : array of shape (n, *latent_shape), optional
        Normalised samples of the model; generated when needed.
    ladder : Ladder, optional
        Images sampled back from rising noise; generated when needed.
    seed : int, optional
        Random seed.
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
        """Number of latent images in a batch of the network: int."""
        return max(1, min(32, 2**19 // int(np.prod(self.ldm.network.shape))))

    def most(self):
        """Largest number of latent images to use: int."""
        size = int(np.prod(self.ldm.network.shape))
        return int(np.clip(_NUMBERS // size, 8, 128))

    def sides(self):
        """Sides with latents: list of str."""
        return [
            name for name in ("held_out", "latents") if self.side(name)[0] is not None
        ]

    def side(self, name):
        """Return the latents and encoded conditions of one side, each array or None."""
        rows = {"latents": "conditions", "held_out": "held_out_conditions"}[name]
        return getattr(self, name), getattr(self, rows)

    def chosen(self, name, *, most=None):
        """Choose latents of one side, "latents" or "held_out", evenly spaced.

        Returns
        -------
        x0 : ndarray of shape (k, *latent_shape), float32
            Normalised latents; k is at most `most`, by default that of the method.
        conditions : ndarray of shape (k, n_conditions)
            Encoded conditions; NaN where unknown.
        """
        latents, conditions = self.side(name)
        k = min(len(latents), most or self.most())
        rows = np.unique(np.linspace(0, len(latents) - 1, k).round().astype(int))
        x0 = self.ldm.normalizer.normalize(np.asarray(latents[rows], "float32"))
        if conditions is None:
            return x0, np.full((len(x0), len(self.ldm.schema.names)), np.nan, "float32")
        return x0, np.asarray(conditions, "float32")[rows]

    def denoised(self, name, conditions=None):
        """Denoise chosen latents of one side from `NOISE_TO_SIGNAL`: Denoised.

        `conditions` for the network are their own by default, "null" for none, or those
        of "others".
        """
        key = (name, conditions)
        if key not in self._answers:
            times = self.ldm.schedule.times_at(NOISE_TO_SIGNAL)
            self._answers[key] = _denoise(self, times, *self.chosen(name), conditions)
        return self._answers[key]

    def along_widest(self, name, errors, *, most=32):
        """Denoise from high noise, along the training component of largest variance.

        `errors` set the noise levels: at each, the best linear estimate leaves this
        fraction of the component's variance. Returns a Denoised with coordinates (k, 1)
        as images; the mean is at 0.
        """
        mean, axis, variance = _widest(self.chosen("latents", most=_FOR_WIDEST)[0])
        errors = np.asarray(errors)
        times = self.ldm.schedule.times_at(np.sqrt(variance * errors / (1 - errors)))
        result = _denoise(self, times, *self.chosen(name, most=most), None)

        def along(x, share=1.0):
            return (x - share * mean).reshape(len(x), -1) @ axis[:, None]

        shares = self.ldm.schedule.alpha(times)
        return Denoised(
            times,
            along(result.truth),
            np.stack([along(x, share) for x, share in zip(result.noisy, shares)]),
            np.stack([along(x) for x in result.answers]),
        )


@dataclass(frozen=True)
class Denoised:
    """Latents, noisy and denoised.

    Parameters
    ----------
    times : ndarray of shape (n,)
        Times of the noise levels, increasing.
    truth : ndarray of shape (k, *latent_shape)
        Normalised latents.
    noisy, answers : ndarray of shape (n, k, *latent_shape)
        The latents with noise, and the estimates of the network.
    """

    times: np.ndarray
    truth: np.ndarray
    noisy: np.ndarray
    answers: np.ndarray

    def errors(self):
        """Compute MSE by level and image, relative to predicting 0: (n, k)."""
        axes = tuple(range(2, self.answers.ndim))
        squared = np.mean((self.answers - self.truth) ** 2, axis=axes)
        return squared / np.mean(self.truth**2)

    def wiener_errors(self, variance, ratios):
        """Compute the errors of a Wiener filter by position and channel: (n,).

        `variance` is that of the training latents, `ratios` are the noise-to-signal
        ratios.
        """
        power = np.mean(self.truth**2)
        return wiener_errors(self.truth, variance, ratios) / power

    def linear_errors(self):
        """Compute the error of the best linear estimate by level: (n,)."""
        power = np.sum(self.truth**2)
        return np.array(
            [
                1 - np.sum(x * self.truth) ** 2 / (np.sum(x**2) * power)
                for x in self.noisy
            ]
        )


def _widest(latents):
    """Compute the mean, the first principal axis (unit length) and its variance."""
    mean = latents.mean(axis=0)
    centered = (latents - mean).reshape(len(latents), -1)
    power, weights = np.linalg.eigh(centered @ centered.T)
    axis = centered.T @ weights[:, -1]
    return mean, axis / np.linalg.norm(axis), power[-1] / len(latents)


def _denoise(context, times, x0, conditions, kind):
    """Denoise latents from several levels, with the same noise."""
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
        # as in sampling
        denoise = context.ldm.denoiser(conditions[rows])
        for level, t in enumerate(times):
            answers[level, rows] = denoise(noisy[level, rows], float(t))
    return Denoised(times, x0, noisy, answers)


def far_conditions(conditions):
    """Return for each image the conditions of one far from it in a known condition."""
    column = np.isfinite(conditions).sum(axis=0).argmax()
    order = np.argsort(conditions[:, column], kind="stable")
    mixed = np.empty_like(conditions)
    mixed[order] = conditions[np.roll(order, len(order) // 2)]
    return mixed
