"""Generation of volumes by a latent diffusion model: noise, guidance, decoding."""

import math

import numpy as np

from dipy_synth.data.nifti import SYNTHETIC, nifti_image
from dipy_synth.data.prepared import space_of_model
from dipy_synth.diffusion.guidance import guided_denoiser
from dipy_synth.diffusion.noise import NoiseStreams, sample_numbers
from dipy_synth.diffusion.sampling_settings import SamplingSettings
from dipy_synth.diffusion.schedules import RectifiedFlow
from dipy_synth.errors import InputError
from dipy_synth.grid import model_grid
from dipy_synth.networks.conversion import need_weights
from dipy_synth.nn.base import DEFAULT_MODEL, Wrapper
from dipy_synth.utils.number_checks import check_whole
from dipy_synth.utils.progress import volume_bar


class Generator(Wrapper):
    """Sample from a latent diffusion model; `LDM` trains, saves and loads one.

    Parameters and attributes are those of `LDM`.
    """

    def __init__(self, model=DEFAULT_MODEL, *, verbose=False):
        self.vqvae = self.schema = self.normalizer = self.gaussian = self.guide = None
        self.schedule = RectifiedFlow()
        super().__init__(model, verbose=verbose)

    def generate(
        self,
        n=None,
        *,
        seed=0,
        numbers=None,
        attempts=None,
        conditions=None,
        steps=None,
        sampler=None,
        guidance=None,
        guidance_rescale=None,
        guidance_interval=None,
        autoguidance=None,
        autoguidance_interval=None,
        eta=None,
        batch_size=1,
        return_states=False,
        return_labels=False,
        return_nifti=False,
        progress=None,
    ):
        """Generate volumes.

        Sample i of a seed depends only on the seed and i (to rounding), not on the
        number of samples or the batch size.

        Parameters
        ----------
        n : int, optional
            Number of volumes; by default one, or that of `numbers`.
        seed : int, optional
            Seed of the noise.
        numbers : sequence of int, optional
            Numbers of the samples, by default 0 to n - 1. Equal numbers have the same
            noise: with ``numbers=[0, 0]`` two volumes differ only by their conditions.
        attempts : sequence of int, optional
            Number of the draw of each sample, from 0: each attempt has other noise. 0
            for all by default.
        conditions : dict, str or sequence of dict, optional
            Values of conditions, such as ``{"age": 70, "sex": "F"}`` or ``"age=70
            sex=F"``, for all samples, or one dict each. Others are dropped.
        steps, sampler, guidance, ..., eta : optional
            Settings of the sampler, such as the scale of guidance
            :footcite:p:`ho2022guidance` and its rescale :footcite:p:`lin2024flawed`,
            see `dipy_synth.diffusion.sampling_settings.SamplingSettings`; by default
            those of the model.
        batch_size : int, optional
            Number of volumes at a time.
        return_states : bool, optional
            Return the intermediate states, too.
        return_labels : bool, optional
            Return the label maps, too, of a model with labels.
        return_nifti : bool, optional
            Return volumes and label maps as NIfTI images, in the space of the model.
        progress : bool or callable, optional
            Show a progress bar; by default if `verbose`. A callable is called with the
            fraction of a volume, or the sum of fractions, after each step.

        Returns
        -------
        volumes : ndarray of shape (n, *shape), float32, or list of Nifti1Image
            Volumes in [0, 1], background exactly 0.
        states : ndarray of shape (n, steps, *shape), float32
            With `return_states`: the expected volume at each step.
        label_maps : ndarray of shape (n, *shape), int32, or list of Nifti1Image
            With `return_labels`: the label of each voxel, 0 for none.

        Raises
        ------
        InputError
            If a condition or category is unknown, or an argument is out of range.

        Warns
        -----
        UserWarning
            If a requested number is outside the training range.

        References
        ----------
        .. footbibliography::
        """
        need_weights(self.network)
        numbers = sample_numbers(n, numbers)
        wanted = self._encode_conditions(conditions, len(numbers))
        settings = SamplingSettings(
            steps=steps,
            sampler=sampler,
            guidance=guidance,
            guidance_rescale=guidance_rescale,
            guidance_interval=guidance_interval,
            autoguidance=autoguidance,
            autoguidance_interval=autoguidance_interval,
            eta=eta,
        ).completed(self.config["sampling"])
        shown = self.verbose if progress is None else progress is True
        made, states, seen = [], [], []

        def after_step(step, x, x0):
            report(len(x0) / settings.steps)
            if return_states:
                seen.append(x0)

        with volume_bar(len(numbers), shown=shown) as done:
            report = progress if callable(progress) else done
            step = check_whole("batch_size", batch_size)
            for start in range(0, len(numbers), step):
                chosen = slice(start, start + step)
                streams = NoiseStreams(
                    seed,
                    numbers[chosen],
                    self.network.shape,
                    attempts=None if attempts is None else attempts[chosen],
                )
                latents = self.sample_latents(
                    streams, wanted[chosen], settings, callback=after_step
                )
                made.append(self.decode(latents, return_labels=return_labels))
                states += [self.decode(np.stack(one)) for one in zip(*seen)]
                seen.clear()
        parts = zip(*made) if return_labels else [made]
        volumes, *labels = [
            self._as_nifti(part) if return_nifti else part
            for part in map(np.concatenate, parts)
        ]
        more = [np.stack(states), *labels] if return_states else labels
        return (volumes, *more) if more else volumes

    def _as_nifti(self, volumes):
        affine = model_grid(self.config).affine
        said = {"space": space_of_model(self.config), "words": SYNTHETIC}
        return [nifti_image(volume, affine, **said) for volume in volumes]

    def denoiser(self, conditions, settings=None, **options):
        """Build the estimate of clean latents as a function of state and time.

        Parameters
        ----------
        conditions : ndarray of shape (batch, n_conditions)
            Encoded conditions; NaN where missing.
        settings : SamplingSettings, optional
            Guidance; by default none.
        **options
            ``gaussian`` of `guided_denoiser`; by default the model's own.

        Returns
        -------
        callable
            ``denoise(x_t, t)``, for the samplers.
        """
        guide = self.guide if settings is not None and settings.autoguided else None
        return guided_denoiser(
            self.network.predict_on_batch,
            self.schedule,
            conditions,
            settings,
            guide=guide and guide.predict_on_batch,
            variance=self.normalizer.variance,
            **{"gaussian": self.gaussian, **options},
        )

    def sample_latents(self, streams, conditions, settings, *, callback=None):
        """Sample a batch of normalised latents: (batch, *latent_shape), float32.

        `streams`, NoiseStreams, have the noise; `conditions` are encoded, NaN where
        missing; `settings` are completed SamplingSettings; `callback` is that of the
        samplers.
        """
        denoise = self.denoiser(conditions, settings)
        times = self.schedule.sampling_times(
            settings.steps, size=math.prod(streams.shape)
        )
        options = {"draw": streams.at_step, "callback": callback}
        return settings.function(
            denoise, streams.start(), times, self.schedule, **options
        )

    def decode(self, latents, *, return_labels=False):
        """Decode normalised latents to volumes, see `VQVAE.decode`."""
        latents = self.normalizer.restore(latents)
        return self.vqvae.decode(latents, return_labels=return_labels)

    def _encode_conditions(self, conditions, n):
        if isinstance(conditions, str):
            conditions = self.schema.parse(conditions)
        if conditions is None or isinstance(conditions, dict):
            conditions = [conditions or {}] * n
        if not all(isinstance(row, dict) for row in conditions):
            raise InputError(
                f"conditions {conditions}: expected a dict for all samples, or one each"
            )
        if len(conditions) != n:
            raise InputError(f"{len(conditions)} rows of conditions for {n} samples")
        self.schema.check(conditions)
        return self.schema.encode(conditions)
