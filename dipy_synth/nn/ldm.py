"""LDM: a latent diffusion model of T1 volumes, with DIPY's interface."""

import math
from pathlib import Path

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
from dipy_synth.data.split import SPLITS
from dipy_synth.diffusion.denoising import fit_gaussian
from dipy_synth.diffusion.gaussian import GaussianDenoiser
from dipy_synth.diffusion.normalizer import LatentNormalizer
from dipy_synth.diffusion.sampling_settings import DEFAULT_SAMPLING
from dipy_synth.diffusion.schedules import make_schedule
from dipy_synth.errors import InputError, remedy
from dipy_synth.networks.architectures import make_autoencoder
from dipy_synth.networks.conversion import need_weights
from dipy_synth.networks.network import default_precision
from dipy_synth.networks.presets import UNET_PRESETS, find_preset, unet_arguments
from dipy_synth.networks.unet import UNet
from dipy_synth.nn.base import warn_of_few
from dipy_synth.nn.generator import Generator
from dipy_synth.nn.vqvae import VQVAE
from dipy_synth.store import load_networks, made_from, read_config
from dipy_synth.synthesis.qc_filter import add_qc_filter_if_possible, qc_filter_files
from dipy_synth.training import (
    TrainingSettings,
    averaged_weights,
    building,
    train,
)
from dipy_synth.training.devices import resolve_precision
from dipy_synth.training.initial import (
    check_initial,
    check_match,
    check_place,
    warn_of_seen,
)
from dipy_synth.training.train_denoiser import (
    GUIDE,
    Run,
    describe_training,
    encode_splits,
    guide_settings,
    make_guide,
    make_pairs,
    make_unet,
    measure_latents,
    reserve_runs,
    start_from,
)
from dipy_synth.utils.lock import locks
from dipy_synth.utils.montage import save_montage
from dipy_synth.utils.number_checks import check_number


class LDM(Generator):
    """Latent diffusion model: generates volumes, optionally with conditions.

    A U-Net learns to denoise the continuous latents of an autoencoder
    :footcite:p:`rombach2022latent`; generated latents are quantised and decoded.

    Parameters
    ----------
    model : str or Path, optional
        A model folder or the name of a bundled model; by default the bundled one. None
        makes a model without weights, for `fit`.
    verbose : bool, optional
        Log progress and show progress bars.

    Attributes
    ----------
    vqvae : VQVAE or None
        The autoencoder.
    network : UNet or None
        The denoiser.
    schedule : Schedule
        The noise schedule, such as a rectified flow :footcite:p:`liu2023flow`.
    schema : ConditionSchema or None
        The conditions of the model.
    normalizer : LatentNormalizer or None
        From latents of the autoencoder to those of the network, and back.
    guide : UNet or None
        A weaker denoiser, from whose estimates autoguidance extrapolates; read from
        the folder when it is first used.
    gaussian : GaussianDenoiser or None
        The closed-form denoiser used above the noise levels of the training.
    config : dict
        Grid, split, and default sampling options.
    folder : Path or None
        Folder the model was loaded from.

    References
    ----------
    .. footbibliography::

    Examples
    --------
    >>> from dipy_synth.nn.ldm import LDM
    >>> ldm = LDM()
    >>> volumes = ldm.generate(2, seed=1, conditions={"age": 70})  # doctest: +SKIP
    >>> (brain,) = ldm.generate(return_nifti=True)  # doctest: +SKIP
    """

    def load_model_weights(self, model):
        """Load a model folder, or a bundled model by its name."""
        folder, config = read_config(model, kinds=("ldm",))
        networks, arrays = load_networks(
            folder, config, {"autoencoder": make_autoencoder, "unet": _make_denoiser}
        )
        self.vqvae = VQVAE(None, verbose=self.verbose)
        self.vqvae.network, self.vqvae.config = networks["autoencoder"], config
        self.network, self.config = networks["unet"], config
        self.folder = Path(folder).resolve()
        with made_from(folder, "the schedule"):
            self.schedule = make_schedule(config["schedule"])
        self.schema = ConditionSchema.from_config(config["conditions"])
        self.gaussian = self.guide = None
        _check_agreement(self, self.network)
        self.normalizer = LatentNormalizer(
            *(arrays[name] for name in ("mean", "matrix", "variance"))
        )
        if "gaussian" in config:
            variance = self.normalizer.variance
            with made_from(folder, "the Gaussian denoiser"):
                self.gaussian = GaussianDenoiser.load(
                    config["gaussian"], arrays, variance
                )

    @property
    def guide(self):
        """Guide of autoguidance: UNet or None."""
        if self._guide is None and GUIDE in self.config.get("networks", {}):
            makers = {GUIDE: _make_denoiser}
            with remedy("autoguidance 1 generates without this network"):
                made, _ = load_networks(self.folder, self.config, makers, file=GUIDE)
            _check_agreement(self, made[GUIDE])
            self._guide = made[GUIDE]
        return self._guide

    @guide.setter
    def guide(self, network):
        self._guide = network

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
        guide_epochs=None,
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
        guide_epochs : int, optional
            Epochs of the guide, a weaker network for autoguidance: it has a quarter of
            the channels. 0 trains none; an eighth of the epochs by default.

        Returns
        -------
        list of dict
            The history of the network, one row per epoch. That of the guide is in the
            folder ``guide`` of the run.

        Raises
        ------
        InputError
            If cohort and autoencoder do not match, a column is absent, or the folder
            holds another run.
        """
        cohort, run_dir = open_cohort(cohort), Path(run_dir)
        warn_of_few(cohort)
        preset = find_preset(preset, UNET_PRESETS)
        settings = settings or TrainingSettings(**preset["training"])
        shorter = guide_settings(settings, guide_epochs)
        crop = preset["crop"] if crop is None else crop
        check_number("dropout", dropout, low=0, high=1)
        self._start_config(cohort, vqvae, schedule or preset["schedule"])
        initial = self._read_initial(initial, cohort, conditions, network)
        check_place(run_dir, self.vqvae, initial)
        self.schema = initial.schema if initial else fit_schema(cohort, conditions)
        check_rows(self.schema, cohort)
        with building(settings):
            self.network = (
                UNet(**initial.network.arguments())
                if initial
                else make_unet(
                    self.vqvae.network, self.schema, unet_arguments(preset, network)
                )
            )
            runs = [Run(self.network, run_dir, settings)]
            if shorter:
                runs.append(Run(make_guide(self.network), run_dir / GUIDE, shorter))
        about = describe_training(
            self,
            initial,
            cohort=fingerprint(cohort, self.schema.names),
            dropout=dropout,
            crop=crop,
        )
        validates = bool(cohort.where("validation").any())
        reserve_runs(runs, about=about, validates=validates, force=force)
        pairs = self._encode(cohort, runs, dropout=dropout, crop=crop)
        if initial is not None:
            start_from(runs, initial.network, initial.guide)
        history = self._train(*pairs, runs, about)
        self._write(
            run_dir,
            cohort,
            add=lambda new: add_qc_filter_if_possible(new, cohort, copies=with_gate),
        )
        return history

    def _start_config(self, cohort, vqvae, schedule):
        """Set autoencoder, schedule and configuration, after checks."""
        self.vqvae = vqvae if isinstance(vqvae, VQVAE) else VQVAE(vqvae)
        config, held_out = cohort_config(cohort), subjects_of(cohort, "validation")
        check_match(self.vqvae, config, held_out, root=cohort.root)
        self.schedule = (
            make_schedule(schedule) if isinstance(schedule, dict) else schedule
        )
        self.gaussian = self.guide = self.folder = None
        self.config = {**config, "sampling": dict(DEFAULT_SAMPLING)}

    def _read_initial(self, initial, cohort, conditions, network):
        """Load and check the model to fine-tune: LDM or None."""
        if initial is None:
            return None
        initial = initial if isinstance(initial, LDM) else LDM(initial)
        check_initial(initial, self.vqvae, self.schedule, conditions, network or {})
        warn_of_seen(initial, subjects_of(cohort, "validation"))
        return initial

    def _encode(self, cohort, runs, *, dropout, crop):
        """Encode the cohort; return the pairs for training and for validation."""
        _, run_dir, settings = runs[0]
        latents = encode_splits(
            cohort, self.vqvae, self.schema, run_dir, seed=settings.seed
        )
        self.normalizer = measure_latents(
            latents["train"], [run.model for run in runs], self.vqvae.network
        )
        rows = {split: rows_of(cohort, split) for split in SPLITS}
        return make_pairs(latents, rows, self, settings, crop=crop, dropout=dropout)

    def _train(self, training, validation, runs, about):
        """Train the networks and fit the Gaussian denoiser; return the history.

        The Gaussian is used above the noise levels of the training, if these end.
        """
        if (highest := self.schedule.highest_ratio) < math.inf:
            self.gaussian = fit_gaussian(training, categories=self.network.categories)
            self.gaussian.threshold = highest
        (_, run_dir, settings), *others = runs
        data = {"validation": validation if len(validation) else None, "about": about}
        history = train(
            data=training,
            after_epoch=lambda epoch: self._show(run_dir, epoch, settings.epochs),
            **data,
            **runs[0]._asdict(),
        )
        for run in others:
            train(data=training, desc="guide", **data, **run._asdict())
            self.guide = run.model
        if self.guide is None:
            no = {"autoguidance": None, "autoguidance_interval": None}
            self.config["sampling"] |= no
        return history

    def _show(self, run_dir, epoch, epochs):
        """Draw a few samples ten times per run."""
        if epoch % max(1, epochs // 10) and epoch != epochs:
            return
        with averaged_weights(self.network):
            n, at_once = (3, 1) if self.vqvae.network.rank == 3 else (16, 16)
            volumes = self.generate(
                n, seed=0, autoguidance=1, batch_size=at_once, progress=False
            )
        save_montage(
            run_dir / "samples.png", [volumes], titles=[f"epoch {epoch}"], columns=n
        )

    def _content(self):
        need_weights(self.network)
        config = {
            **persistent_config(self.config),
            "sampling": self.config["sampling"],
            "schedule": self.schedule.to_config(),
            "conditions": self.schema.to_config(),
        }
        names = ("mean", "matrix", "variance")
        arrays = {name: getattr(self.normalizer, name) for name in names}
        if self.gaussian is not None:
            config["gaussian"] = self.gaussian.to_config()
            arrays |= self.gaussian.arrays()
        return {
            "kind": "ldm",
            "config": config,
            "networks": {"autoencoder": self.vqvae.network, "unet": self.network},
            "apart": {GUIDE: self.guide} if self.guide else {},
            "arrays": arrays,
            "files": qc_filter_files(self.folder, self.config),
        }


def _make_denoiser(config):
    """Make the U-Net in the fastest precision of this machine, with float32 weights."""
    with default_precision(resolve_precision()):
        return UNet.from_config(config)


def _check_agreement(ldm, network):
    """Refuse a configuration with parts of different models."""
    categories = [len(column.categories or ()) for column in ldm.schema.columns]
    autoencoder, grid = ldm.vqvae.network, ldm.config["grid"]
    parts = []
    if grid is not None:
        parts.append(("a grid of", grid["shape"], "an autoencoder", autoencoder.shape))
    known = f"conditions {', '.join(ldm.schema.names)} with categories"
    parts += [
        (known, categories, "a network", network.categories),
        ("latents of", autoencoder.latent_shape, "a network", network.shape),
    ]
    for one, ours, other, theirs in parts:
        if tuple(ours) != tuple(theirs):
            raise InputError(
                f"{ldm.folder}: {one} {tuple(ours)}, but {other} of {tuple(theirs)}; "
                "expected the configuration that was saved with the weights"
            )
