"""LDM: a latent diffusion model of T1 volumes, with the interface of ``dipy.nn``."""

import math
from pathlib import Path

from dipy.utils.logging import logger
import numpy as np

from dipy_synth.conditions import ConditionSchema
from dipy_synth.data.cohort import (
    check_rows,
    cohort_config,
    fingerprint,
    fit_schema,
    open_cohort,
    persistent_config,
    rows_of,
    subjects_of,
)
from dipy_synth.diffusion.gaussian import GaussianDenoiser
from dipy_synth.diffusion.guidance import (
    check_share,
    guided_denoiser,
    positive,
    sample_numbers,
    sampling_settings,
)
from dipy_synth.diffusion.noise import NoiseStreams
from dipy_synth.diffusion.normalizer import LatentNormalizer
from dipy_synth.diffusion.schedules import RectifiedFlow, make_schedule
from dipy_synth.errors import InputError
from dipy_synth.networks.architectures import make_autoencoder
from dipy_synth.networks.conversion import need_weights
from dipy_synth.networks.presets import UNET_PRESETS, find_preset
from dipy_synth.networks.unet import UNet
from dipy_synth.nn.vqvae import DEFAULT_MODEL, VQVAE
from dipy_synth.store import load_networks, read_config, save_model
from dipy_synth.synthesis.qc_filter import (
    add_qc_filter_if_possible,
    qc_filter_files,
)
from dipy_synth.training import (
    TrainingSettings,
    averaged_weights,
    building,
    is_fresh,
    reserve_output,
    train,
)
from dipy_synth.training.denoiser import (
    encode_splits,
    fit_model_gaussian,
    lower_threshold,
    make_pairs,
    make_unet,
    measure_latents,
)
from dipy_synth.training.devices import default_precision, inference_precision
from dipy_synth.training.initial import check_initial, seen_subjects
from dipy_synth.utils.labels import labels_on_side
from dipy_synth.utils.lock import locks
from dipy_synth.utils.montage import save_montage
from dipy_synth.utils.progress import volume_bar


class LDM:
    """Latent diffusion model: generates volumes, optionally with conditions.

    A U-Net learns to denoise the continuous latents of an autoencoder; generated
    latents are quantised and decoded.

    Parameters
    ----------
    model : str or Path, optional
        A model folder or the name of a bundled model to load.
    verbose : bool, optional
        Log progress and show progress bars.

    Attributes
    ----------
    vqvae : VQVAE or None
        The autoencoder.
    network : UNet or None
        The denoiser.
    schema : ConditionSchema or None
        The conditions of the model.
    gaussian : GaussianDenoiser or None
        The closed-form denoiser used at noise levels where it is better than the
        network.
    config : dict
        Grid, split, and default sampling options.
    folder : Path or None
        Folder the model was loaded from.

    References
    ----------
    Rombach et al. (2022). High-resolution image synthesis with latent diffusion
    models. CVPR.
    Liu, Gong & Liu (2023). Flow straight and fast. ICLR.

    Examples
    --------
    >>> from dipy_synth.nn.ldm import LDM
    >>> ldm = LDM()
    >>> ldm.fetch_default_weights()  # doctest: +SKIP
    >>> volumes = ldm.generate(2, seed=1, conditions={"age": 70})  # doctest: +SKIP
    """

    def __init__(self, model=None, *, verbose=False):
        self.vqvae = self.network = self.schema = self.normalizer = None
        self.gaussian = None
        self.schedule, self.config, self.verbose = RectifiedFlow(), {}, verbose
        self.folder = None
        if model is not None:
            self.load_model_weights(model)

    def fetch_default_weights(self):
        """Load the bundled model, without a download."""
        self.load_model_weights(DEFAULT_MODEL)

    def load_model_weights(self, model):
        """Load a model.

        Parameters
        ----------
        model : str or Path
            A model folder, or the name of a bundled model.
        """
        folder, config = read_config(model, kinds=("ldm",))
        _check_current(folder, config)
        networks, arrays = load_networks(
            folder, config, {"autoencoder": make_autoencoder, "unet": _make_denoiser}
        )
        self.vqvae = VQVAE(verbose=self.verbose)
        self.vqvae.network, self.vqvae.config = networks["autoencoder"], config
        self.network, self.config = networks["unet"], config
        self.config["sampling"] = {**SAMPLING, **config["sampling"]}
        self.folder = Path(folder).resolve()
        self.schedule = make_schedule(config["schedule"])
        self.schema = ConditionSchema.from_config(config["conditions"])
        _check_agreement(self)
        self.normalizer = LatentNormalizer(
            *(arrays[name] for name in ("mean", "matrix", "variance"))
        )
        self.gaussian = None
        if "gaussian" in config:
            variance = self.normalizer.variance
            self.gaussian = GaussianDenoiser.load(config["gaussian"], arrays, variance)

    @locks("run_dir")
    def fit(
        self,
        cohort,
        vqvae,
        *,
        run_dir,
        settings=None,
        preset="default",
        conditions=(),
        schedule=None,
        crop=None,
        dropout=0.12,
        initial=None,
        force=False,
        network=None,
        with_gate=False,
    ):
        """Train on a prepared cohort, or resume an interrupted run.

        Parameters
        ----------
        cohort : str, Path, Cohort or ArrayCohort
            A prepared cohort, or a file of images and labels.
        vqvae : str, Path or VQVAE
            The autoencoder, or its model folder. It must have been trained with the
            same split, so that no validation subject is seen by either.
        run_dir : str or Path
            Folder of the run; the model is written to its ``model`` folder, and the
            latents are stored there, too.
        settings : TrainingSettings, optional
            Settings of the training; by default the preset's.
        preset : str, optional
            A row of `dipy_synth.networks.presets.UNET_PRESETS`.
        conditions : sequence of str, optional
            Columns of ``participants.tsv`` to condition on; ``label`` of a file of
            images.
        schedule : Schedule, optional
            Noise schedule and prediction type; by default the preset's.
        crop : int, optional
            Side of the training crops of latents, 0 for whole images; by default the
            preset's.
        dropout : float, optional
            Probability of dropping all conditions of a training pair, for
            classifier-free guidance.
        initial : str, Path or LDM, optional
            A model of the same autoencoder to fine-tune. Its conditions and the
            arguments of its U-Net are kept.
        force : bool, optional
            Overwrite an existing run, instead of resuming it.
        with_gate : bool, optional
            Add the training brains, in blocks of 4 voxels, to the model, for its QC
            filter to find copies. Do not share the model unless the scans may be
            shared.
        network : dict, optional
            Arguments of `UNet` that differ from the preset's, such as ``widths``.

        Returns
        -------
        list of dict
            The history, one row per epoch.

        Raises
        ------
        InputError
            If cohort and autoencoder do not match, a column is absent, or the folder
            holds another run.
        """
        cohort, run_dir = open_cohort(cohort), Path(run_dir)
        preset = find_preset(preset, UNET_PRESETS)
        settings = settings or TrainingSettings(**preset["training"])
        crop = preset["crop"] if crop is None else crop
        check_share("dropout", dropout)
        self._start_config(cohort, vqvae, schedule or preset["schedule"])
        initial = self._read_initial(initial, cohort, conditions, network)
        self.schema = initial.schema if initial else fit_schema(cohort, conditions)
        check_rows(self.schema, cohort)
        arguments = {**preset["network"], **(network or {})}
        with building(settings):
            self.network = self._make_network(initial, arguments)
        run = {
            "run_dir": run_dir,
            "settings": settings,
            "about": self._about(cohort, initial, dropout=dropout, crop=crop),
        }
        reserve_output(
            model=self.network, validates=_validates(cohort), force=force, **run
        )
        pairs = self._encode(cohort, run_dir, settings, dropout=dropout, crop=crop)
        if initial is not None and is_fresh(run_dir):
            self.network.set_weights(initial.network.get_weights())
        history = self._train(cohort, *pairs, run)
        self._finish(run_dir, cohort, with_gate)
        return history

    def _start_config(self, cohort, vqvae, schedule):
        """Set autoencoder, schedule and configuration, after checks."""
        self.vqvae = vqvae if isinstance(vqvae, VQVAE) else VQVAE(vqvae)
        _check_match(cohort, self.vqvae)
        self.schedule = (
            make_schedule(schedule) if isinstance(schedule, dict) else schedule
        )
        if not self.schedule.loss_weight(np.ones(1))[0]:
            logger.warning(
                f"weighting {self.schedule.weighting}: pure noise, where sampling "
                "begins, is given no weight; expected plain"
            )
        self.gaussian = None
        self.config = {**cohort_config(cohort), "sampling": dict(SAMPLING)}

    def _read_initial(self, initial, cohort, conditions, network):
        """Load and check the model to fine-tune: LDM or None."""
        if initial is None:
            return None
        initial = initial if isinstance(initial, LDM) else LDM(initial)
        check_initial(initial, self.vqvae, self.schedule, conditions, network or {})
        if seen := seen_subjects(initial, subjects_of(cohort, "validation")):
            logger.warning(
                f"validation subjects {', '.join(seen[:5])} have names on which "
                f"{initial.folder or 'the initial model'} was trained: if they are "
                "the same people, nothing is held out from them"
            )
        return initial

    def _make_network(self, initial, arguments):
        if initial is not None:
            return UNet.from_config(initial.network.get_config())
        return make_unet(self.vqvae.network, self.schema, arguments)

    def _about(self, cohort, initial, **options):
        """Return the identity of a run besides network and settings: dict."""
        begun = {"initial": initial.config["weights_sha256"]} if initial else {}
        return {
            "schedule": self.schedule.to_config(),
            "cohort": fingerprint(cohort, self.schema.names),
            "conditions": self.schema.to_config(),
            "autoencoder": self.vqvae.config["weights_sha256"],
            **options,
            **begun,
        }

    def _encode(self, cohort, run_dir, settings, *, dropout, crop):
        """Encode the cohort; return the pairs for training and for validation."""
        latents = encode_splits(
            cohort, self.vqvae, self.schema, run_dir, seed=settings.seed
        )
        self.normalizer = measure_latents(
            latents["train"], self.network, self.vqvae.network
        )
        options = {"training": True, "crop": crop, "dropout": dropout}
        return tuple(
            make_pairs(latents[split], rows_of(cohort, split), self, settings, **more)
            for split, more in (("train", options), ("validation", {}))
        )

    def _train(self, cohort, training, validation, run):
        """Train the network and fit the Gaussian denoiser; return the history."""
        self.gaussian = fit_model_gaussian(self, training)
        run_dir, epochs = run["run_dir"], run["settings"].epochs
        history = train(
            self.network,
            training,
            validation=validation if _validates(cohort) else None,
            after_epoch=lambda epoch: self._show(run_dir, epoch, epochs),
            **run,
        )
        lower_threshold(self, validation, seed=run["settings"].seed)
        return history

    def _finish(self, run_dir, cohort, with_gate):
        """Write the model, and reload it in float32."""
        self.save(run_dir / "model")
        add_qc_filter_if_possible(run_dir / "model", cohort, copies=with_gate)
        self.load_model_weights(run_dir / "model")

    def _show(self, run_dir, epoch, epochs):
        """Draw a few samples ten times per run."""
        if epoch % max(1, epochs // 10) and epoch != epochs:
            return
        with averaged_weights(self.network):
            n, at_once = (3, 1) if self.vqvae.network.rank == 3 else (16, 16)
            volumes = self.generate(n, seed=0, batch_size=at_once, progress=False)
        save_montage(
            run_dir / "samples.png", [volumes], titles=[f"epoch {epoch}"], columns=n
        )

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
        eta=None,
        batch_size=1,
        return_states=False,
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
        conditions : dict or sequence of dict, optional
            Values of conditions, such as ``{"age": 70, "sex": "F"}``; one dict for all
            samples, or one each. Others are dropped.
        steps : int, optional
            Number of steps of the sampler; by default that of the model.
        sampler : str or callable, optional
            sde_dpmpp_2m, dpmpp_2m, heun, euler, ddim, ddpm or ddpm_large (the larger
            of its two variances), or a function like those of
            `dipy_synth.diffusion.samplers`; by default that of the model.
        guidance : float, optional
            Weight of classifier-free guidance (1: without); by default that of the
            model.
        guidance_rescale : float, optional
            Guidance rescale in [0, 1]: the fraction of the standard deviation added by
            guidance to remove; by default that of the model.
        guidance_interval : (float, float), optional
            Noise-to-signal ratios between which guidance acts; by default those of the
            model.
        eta : float, optional
            Fraction, from 0 to 1, of fresh noise in a step of the samplers ddim and
            sde_dpmpp_2m. An error with other samplers.
        batch_size : int, optional
            Number of volumes at a time.
        return_states : bool, optional
            Return the intermediate states, too.
        progress : bool or callable, optional
            Show a progress bar; by default if `verbose`. A callable is called with the
            fraction of a volume, or the sum of fractions, after each step.

        Returns
        -------
        volumes : ndarray of shape (n, *shape), float32
            Volumes in [0, 1], background exactly 0.
        states : ndarray of shape (n, steps, *shape), float32
            With `return_states`: the expected volume at each step.

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
        Ho & Salimans (2022). Classifier-free diffusion guidance. arXiv:2207.12598.
        Lin et al. (2024). Common diffusion noise schedules and sample steps are
        flawed. WACV.
        """
        need_weights(self.network)
        numbers = sample_numbers(n, numbers)
        wanted = self._encode_conditions(conditions, len(numbers))
        settings = sampling_settings(
            self.config["sampling"],
            steps=steps,
            sampler=sampler,
            guidance=guidance,
            guidance_rescale=guidance_rescale,
            guidance_interval=guidance_interval,
            eta=eta,
        )
        shown = self.verbose if progress is None else progress is True
        volumes, states, seen = [], [], []

        def after_step(step, x, x0):
            report(len(x0) / settings["steps"])
            if return_states:
                seen.append(x0)

        with volume_bar(len(numbers), shown=shown) as done:
            report = progress if callable(progress) else done
            for start in range(0, len(numbers), positive("batch_size", batch_size)):
                chosen = slice(start, start + batch_size)
                latents = self.sample_latents(
                    NoiseStreams(
                        seed,
                        numbers[chosen],
                        self.network.shape,
                        attempts=None if attempts is None else attempts[chosen],
                    ),
                    wanted[chosen],
                    callback=after_step,
                    **settings,
                )
                volumes.append(self.decode(latents))
                states += [self.decode(np.stack(one)) for one in zip(*seen)]
                seen.clear()
        volumes = np.concatenate(volumes)
        return (volumes, np.stack(states)) if return_states else volumes

    def denoiser(self, conditions, *, guidance=1.0, **options):
        """Build the estimate of clean latents as a function of state and time.

        Parameters
        ----------
        conditions : ndarray of shape (batch, n_conditions)
            Encoded conditions; NaN where missing.
        guidance : float, optional
            Guidance scale; 1 is the network's own estimate.
        **options
            ``rescale``, ``interval`` and ``gaussian`` of `guided_denoiser`; the last is
            the model's own by default.

        Returns
        -------
        callable
            ``denoise(x_t, t)``, for the samplers.
        """
        return guided_denoiser(
            self.network.predict_on_batch,
            self.schedule,
            conditions,
            guidance,
            variance=self.normalizer.variance,
            **{"gaussian": self.gaussian, **options},
        )

    def sample_latents(
        self,
        streams,
        conditions,
        *,
        steps,
        sampler,
        guidance,
        guidance_rescale,
        guidance_interval=None,
        callback=None,
    ):
        """Sample a batch of normalised latents.

        Parameters
        ----------
        streams : NoiseStreams
            The noise of the batch.
        conditions : ndarray of shape (batch, n_conditions)
            Encoded conditions; NaN where missing.
        steps, sampler, guidance, guidance_rescale, guidance_interval
            Values of `sampling_settings`.
        callback : callable, optional
            Callback of the samplers.

        Returns
        -------
        ndarray of shape (batch, *latent_shape), float32
        """
        denoise = self.denoiser(
            conditions,
            guidance=guidance,
            rescale=guidance_rescale,
            interval=guidance_interval,
        )
        times = self.schedule.sampling_times(steps, size=math.prod(streams.shape))
        options = {"draw": streams.at_step, "callback": callback}
        return sampler(denoise, streams.start(), times, self.schedule, **options)

    def decode(self, latents):
        """Decode normalised latents to volumes.

        Parameters
        ----------
        latents : array of shape (n, *latent_shape)
            Normalised latents.

        Returns
        -------
        ndarray of shape (n, *shape), float32
            Volumes in [0, 1].
        """
        return self.vqvae.decode(self.normalizer.restore(latents))

    def _encode_conditions(self, conditions, n):
        if conditions is None or isinstance(conditions, dict):
            conditions = [conditions or {}] * n
        if len(conditions) != n:
            raise InputError(f"{len(conditions)} rows of conditions for {n} samples")
        self.schema.check(conditions)
        return self.schema.encode(conditions)

    def save(self, folder, *, dtype=None, card=None):
        """Write a model folder, complete for generation.

        Parameters
        ----------
        folder : str or Path
            Output folder.
        dtype : str, optional
            ``float16`` halves the size; None keeps float32.
        card : str, optional
            Text of its README.

        Returns
        -------
        Path
        """
        need_weights(self.network)
        extra, arrays = {}, {}
        if self.gaussian is not None:
            extra = {"gaussian": self.gaussian.to_config()}
            arrays = self.gaussian.arrays()
        return save_model(
            folder,
            kind="ldm",
            config={
                **persistent_config(self.config),
                **extra,
                "sampling": self.config["sampling"],
                "schedule": self.schedule.to_config(),
                "conditions": self.schema.to_config(),
            },
            networks={"autoencoder": self.vqvae.network, "unet": self.network},
            arrays={
                "mean": self.normalizer.mean,
                "matrix": self.normalizer.matrix,
                "variance": self.normalizer.variance,
                **arrays,
            },
            files=qc_filter_files(self.folder, self.config),
            dtype=dtype,
            card=card,
        )


SAMPLING = {
    "sampler": "sde_dpmpp_2m",
    "steps": 64,
    "guidance": 1.5,
    "guidance_rescale": 0.0,
    "guidance_interval": [0.3, 1000.0],
}


def _make_denoiser(config):
    """Make the U-Net in the fastest precision of this machine, with float32 weights."""
    with default_precision(inference_precision()):
        return UNet.from_config(config)


def _check_current(folder, config):
    """Refuse a model with a denoiser of an earlier version."""
    if "unfold" not in config["networks"]["unet"]:
        raise InputError(
            f"{folder}: a model of dipy_synth {config.get('version')} from before its "
            "denoiser worked on unfolded latents; expected one of the present version: "
            "train it again (dipy_train_ldm; its autoencoder can be kept)"
        )


def _validates(cohort):
    return bool(cohort.where("validation").any())


def _check_agreement(ldm):
    """Refuse a configuration with parts of different models."""
    categories = tuple(len(column.categories or ()) for column in ldm.schema.columns)
    if categories != tuple(ldm.network.categories):
        raise InputError(
            f"{ldm.folder}: conditions {', '.join(ldm.schema.names)} with {categories} "
            f"categories, but a network of {tuple(ldm.network.categories)}; expected "
            "the configuration that was saved with the weights"
        )
    grid, shape = ldm.config["grid"], tuple(ldm.vqvae.network.shape)
    if grid is not None and tuple(grid["shape"]) != shape:
        raise InputError(
            f"{ldm.folder}: a grid of {tuple(grid['shape'])}, but an autoencoder of "
            f"{shape}; expected the configuration that was saved with the weights"
        )


def _check_match(cohort, vqvae):
    """Refuse an autoencoder of another grid, or trained on validation subjects."""
    here, there = cohort_config(cohort), vqvae.config
    if here["grid"] != there["grid"]:
        raise InputError(
            f"{cohort.root}: grid {here['grid']}, but the autoencoder was trained on "
            f"{there['grid']}"
        )
    held_out = subjects_of(cohort, "validation")
    seen = labels_on_side(there["split"], held_out, "train")
    if seen:
        raise InputError(
            f"{cohort.root}: validation subjects {', '.join(seen[:5])} were "
            "trained on by the autoencoder; use the cohort it was trained on"
        )
