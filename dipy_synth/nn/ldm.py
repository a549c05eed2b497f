"""LDM: a latent diffusion model of T1 volumes, in DIPY's manner."""

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
)
from dipy_synth.data.laterality import names_a_side
from dipy_synth.diffusion.denoising import choose_threshold, fit_gaussian
from dipy_synth.diffusion.gaussian import GaussianDenoiser
from dipy_synth.diffusion.guidance import (
    guided_denoiser,
    positive,
    sample_numbers,
    sampling_settings,
)
from dipy_synth.diffusion.latents import conditions_of, encode_cohort
from dipy_synth.diffusion.noise import NoiseStreams
from dipy_synth.diffusion.normalizer import LatentNormalizer
from dipy_synth.diffusion.pairs import NoisyPairs
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
    has_qc_filter,
    put_qc_filter,
    qc_filter_arrays,
)
from dipy_synth.training import (
    TrainingSettings,
    averaged_weights,
    building,
    is_fresh,
    reserve_output,
    train,
)
from dipy_synth.training.initial import check_initial, seen_subjects
from dipy_synth.utils.montage import save_montage
from dipy_synth.utils.progress import volume_bar


class LDM:
    """Latent diffusion: new volumes from noise, with conditions if asked for.

    A U-Net learns the flow from noise to the continuous latents of an autoencoder;
    generated latents are quantised and decoded.

    Parameters
    ----------
    model : str or Path, optional
        A model folder or the name of a bundled model to load.
    verbose : bool, optional
        Log what is done and show progress bars.

    Attributes
    ----------
    vqvae : VQVAE or None
        The autoencoder.
    network : UNet or None
        The denoiser.
    schema : ConditionSchema or None
        The conditions it understands.
    gaussian : GaussianDenoiser or None
        The closed-form denoiser used at noise levels where it is better than the
        network.
    config : dict
        Grid, split, and recommended sampling.
    folder : Path or None
        Where the model was loaded from.

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
        """Load the bundled model; nothing is downloaded."""
        self.load_model_weights(DEFAULT_MODEL)

    def load_model_weights(self, model):
        """Load a model.

        Parameters
        ----------
        model : str or Path
            A folder that `save` or `fit` wrote, or the name of a bundled model.
        """
        folder, config = read_config(model, kinds=("ldm",))
        networks, arrays = load_networks(
            folder, config, {"autoencoder": make_autoencoder, "unet": UNet.from_config}
        )
        self.vqvae = VQVAE(verbose=self.verbose)
        self.vqvae.network, self.vqvae.config = networks["autoencoder"], config
        self.network, self.config = networks["unet"], config
        self.config["sampling"] = {**SAMPLING, **config["sampling"]}
        self.folder = Path(folder).resolve()
        self.schedule = make_schedule(config["schedule"])
        self.schema = ConditionSchema.from_config(config["conditions"])
        self.normalizer = LatentNormalizer(
            *(arrays[name] for name in ("mean", "matrix", "variance"))
        )
        self.gaussian = None
        if "gaussian" in config:
            variance = self.normalizer.variance
            self.gaussian = GaussianDenoiser.load(config["gaussian"], arrays, variance)

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
        **network,
    ):
        """Train on a prepared cohort, or go on with a run that was stopped.

        Parameters
        ----------
        cohort : str, Path, Cohort or ArrayCohort
            A prepared cohort, or a file of images and labels.
        vqvae : str, Path or VQVAE
            The autoencoder, or its model folder. It must have been trained with the
            same split, so that no validation subject is seen by either.
        run_dir : str or Path
            Folder of the run; the model is written to its ``model`` folder, and the
            latents are kept there too, encoded once.
        settings : TrainingSettings, optional
            How to train; as the preset does by default.
        preset : str, optional
            A row of `dipy_synth.networks.presets.UNET_PRESETS`.
        force : bool, optional
            Start anew where the folder holds a run, instead of going on with it.
        schedule : Schedule, optional
            What is learnt; as the preset says by default.
        crop : int, optional
            Side of the parts of the latents that are trained on, as the preset says by
            default; 0 for whole images.
        conditions : sequence of str, optional
            Columns of ``participants.tsv`` the model is to follow; ``label`` of a file
            of images.
        dropout : float, optional
            Share of training pairs whose conditions are all left open, from which
            guidance learns what a brain is without them.
        initial : str, Path or LDM, optional
            A model to start from, in place of random weights: to adapt a model to
            another cohort, or to another autoencoder. It brings its conditions and its
            U-Net's shape, which cannot be given, too; a preset then tells how to train
            and no more. A network older than `ConditionField` gains one.
        **network
            Arguments of `UNet` that differ from the preset's, such as ``widths``.

        Returns
        -------
        list of dict
            The history, one row an epoch.

        Raises
        ------
        InputError
            If cohort and autoencoder do not fit each other, a column is absent, or
            the folder holds another run.
        """
        cohort = open_cohort(cohort)
        self.vqvae = vqvae if isinstance(vqvae, VQVAE) else VQVAE(vqvae)
        preset, run_dir = find_preset(preset, UNET_PRESETS), Path(run_dir)
        settings = settings or TrainingSettings(**preset["training"])
        if not 0 <= dropout <= 1:
            raise InputError(f"dropout {dropout}: expected a share from 0 to 1")
        self.schedule = schedule or make_schedule(preset["schedule"])
        self.gaussian = None
        if not self.schedule.loss_weight(np.ones(1))[0]:
            logger.warning(
                f"weighting {self.schedule.weighting}: pure noise, where sampling "
                "begins, is given no weight; expected plain"
            )
        _check_match(cohort, self.vqvae)
        self.config = {**cohort_config(cohort), "sampling": dict(SAMPLING)}
        if initial is not None:
            initial = initial if isinstance(initial, LDM) else LDM(initial)
            check_initial(initial, self.vqvae, self.schedule, conditions, network)
            self.schema = initial.schema
            if seen := seen_subjects(initial, self.config["split"]):
                logger.warning(
                    f"validation subjects {', '.join(seen[:5])} have names on which "
                    f"{initial.folder or 'the initial model'} was trained: if they are "
                    "the same people, nothing is held out from them"
                )
        else:
            self.schema = fit_schema(cohort, conditions)
        check_rows(self.schema, cohort)
        with building(settings):
            self.network = self._make_network(initial, {**preset["network"], **network})
        about = {
            "schedule": self.schedule.to_config(),
            "cohort": fingerprint(cohort, self.schema.names),
            "conditions": self.schema.to_config(),
            "dropout": dropout,
            "crop": preset["crop"] if crop is None else crop,
            "autoencoder": self.vqvae.config["weights_sha256"],
            **({"initial": initial.config["weights_sha256"]} if initial else {}),
        }
        validates = bool(cohort.where("validation").any())
        reserve_output(
            run_dir,
            self.network,
            settings,
            about=about,
            validates=validates,
            force=force,
        )
        train_data, validation = (
            self._pairs(cohort, run_dir, settings, side, about)
            for side in ("train", "validation")
        )
        if initial is not None and is_fresh(run_dir):
            self.network.set_weights(initial.network.get_weights())
        self._inform_network()
        self.gaussian = fit_gaussian(self, train_data, self._unmoved)
        history = train(
            self.network,
            train_data,
            run_dir=run_dir,
            settings=settings,
            validation=validation if validates else None,
            about=about,
            after_epoch=lambda epoch: self._show(run_dir, epoch, settings.epochs),
        )
        choose_threshold(self, validation)
        self.save(run_dir / "model")
        add_qc_filter_if_possible(run_dir / "model", cohort)
        self.load_model_weights(run_dir / "model")
        return history

    def _make_network(self, initial, arguments):
        if initial is not None:
            return UNet.from_config(initial.network.get_config())
        categories = [len(c.categories or ()) for c in self.schema.columns]
        shape, autoencoder = self.vqvae.network.latent_shape, self.vqvae.network
        arguments = {"patch": autoencoder.factor, **arguments}
        if arguments.get("unfold") is None:
            # a finer grid where the latents have a linear way to it
            finer = autoencoder.patch_basis() is not None and autoencoder.factor > 2
            arguments["unfold"] = 2 if finer and len(arguments["widths"]) > 1 else 1
        return UNet(shape, categories=categories, **arguments)

    def _pairs(self, cohort, run_dir, settings, split, about):
        """Return training pairs of one side of the split, from latents kept on disk."""
        mirror = not names_a_side(self.schema)
        path = run_dir / f"latents-{split}"
        latents = encode_cohort(cohort, self.vqvae, path, split, mirror=mirror)
        if split == "train":
            basis = self.vqvae.network.patch_basis()
            self.normalizer = LatentNormalizer.fit(
                latents.values[latents.unmoved],
                coordinates=None if basis is None else basis[0],
            )
            self._unmoved = latents.unmoved
        return NoisyPairs(
            latents.values,
            conditions_of(latents.values, self.schema, rows_of(cohort, split)),
            self.schedule,
            normalizer=self.normalizer,
            shifts=latents.shifts,
            crop=about["crop"] if split == "train" else None,
            batch_size=settings.batch_size,
            shuffle=split == "train",
            seed=settings.seed,
            dropout=about["dropout"],
        )

    def _inform_network(self):
        """Set what the network knows of the latents beside its trained weights."""
        basis = self.vqvae.network.patch_basis()
        mean = self.normalizer.mean @ self.normalizer.matrix
        basis = None if basis is None else basis[1]
        self.network.unfolding.set_statistics(
            mean, self.normalizer.variance, basis=basis
        )

    def _show(self, run_dir, epoch, epochs):
        """Draw a few samples every tenth of the run."""
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

        Sample i of a seed depends on the seed and i alone (to rounding): not on how
        many are asked for, nor on the batch size.

        Parameters
        ----------
        n : int, optional
            Volumes wanted; by default one, or as many as there are `numbers`.
        seed : int, optional
            Seed of the noise.
        numbers : sequence of int, optional
            Numbers of the samples, by default 0 to n - 1. Equal numbers start from
            the same noise: with ``numbers=[0, 0]`` two volumes differ by what is asked
            of them alone.
        attempts : sequence of int, optional
            Which draw of each sample is wanted, from 0: another attempt is another
            noise of the same number. 0 for all by default.
        conditions : dict or sequence of dict, optional
            Values asked for, such as ``{"age": 70, "sex": "F"}``; one dict for all
            samples, or one each. What is not named is left open.
        steps : int, optional
            Steps of the sampler; what the model recommends by default.
        sampler : str or callable, optional
            sde_dpmpp_2m, dpmpp_2m, heun, euler, ddim, ddpm or ddpm_large (the larger
            of its two variances), or a function as those of
            `dipy_synth.diffusion.samplers`; likewise.
        guidance : float, optional
            Weight of the conditions (1: none extra); likewise.
        guidance_rescale : float, optional
            Share, from 0 to 1, of the spread that guidance adds to be taken back;
            likewise.
        guidance_interval : (float, float), optional
            Noise-to-signal ratios between which guidance acts; likewise.
        eta : float, optional
            Share, from 0 to 1, of fresh noise in a step of the samplers ddim and
            sde_dpmpp_2m: 0 adds none. With no other sampler.
        batch_size : int, optional
            Volumes at a time.
        return_states : bool, optional
            Give the states on the way, too.
        progress : bool or callable, optional
            Show a progress bar; by default if `verbose`. A callable is called with the
            share of a volume, or sum of shares, that was done.

        Returns
        -------
        volumes : ndarray (n, *shape), float32
            Volumes in [0, 1], background exactly 0.
        states : ndarray (n, steps, *shape), float32
            With `return_states`: the volume that was expected at each step.

        Raises
        ------
        InputError
            If a condition or category is unknown, or an argument is out of range.

        Warns
        -----
        UserWarning
            If a number asked for lies outside of the training range.

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
            told(len(x0) / settings["steps"])
            if return_states:
                seen.append(x0)

        with volume_bar(len(numbers), shown=shown) as done:
            told = progress if callable(progress) else done
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
        """Return the estimate of clean latents as a function of state and time.

        Parameters
        ----------
        conditions : ndarray of shape (batch, n_conditions)
            Encoded conditions; NaN where missing.
        guidance : float, optional
            Guidance scale; 1 is the network's own estimate.
        **options
            ``rescale`` and ``interval``, as `guided_denoiser` takes them.

        Returns
        -------
        callable
            ``denoise(x_t, t)``, as the samplers take it.
        """
        return guided_denoiser(
            self.network.predict_on_batch,
            self.schedule,
            conditions,
            guidance,
            variance=self.normalizer.variance,
            gaussian=self.gaussian,
            **options,
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
            As `sampling_settings` returns them.
        callback : callable, optional
            As the samplers take it.

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
        """Turn latents as the network makes them into volumes.

        Parameters
        ----------
        latents : array (n, *latent_shape)
            Normalised latents.

        Returns
        -------
        ndarray (n, *shape), float32
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
        """Write a model folder that holds all that generating needs.

        Parameters
        ----------
        folder : str or Path
            Where to.
        dtype : str, optional
            ``float16`` halves the size.
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
        qc_filter = (
            qc_filter_arrays(self.folder) if has_qc_filter(self.config) else None
        )
        saved = save_model(
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
            dtype=dtype,
            card=card,
        )
        if qc_filter is not None:
            put_qc_filter(saved, qc_filter)
        return saved


SAMPLING = {
    "sampler": "sde_dpmpp_2m",
    "steps": 48,
    "guidance": 1.5,
    "guidance_rescale": 0.0,
    "guidance_interval": None,
}


def _check_match(cohort, vqvae):
    """Refuse an autoencoder of another grid, or one that saw validation subjects."""
    here, there = cohort_config(cohort), vqvae.config
    if here["grid"] != there["grid"]:
        raise InputError(
            f"{cohort.root}: grid {here['grid']}, but the autoencoder was trained on "
            f"{there['grid']}"
        )
    seen = set(there["split"]["train"]) & set(here["split"]["validation"])
    if seen:
        raise InputError(
            f"{cohort.root}: validation subjects {', '.join(sorted(seen)[:5])} were "
            "trained on by the autoencoder; use the cohort it was trained on"
        )
