"""VQVAE: a vector-quantised autoencoder of T1 volumes, with DIPY's interface."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from dipy_synth.data.arrays import as_volumes
from dipy_synth.data.cohort import (
    cohort_config,
    fingerprint,
    open_cohort,
    persistent_config,
    subjects_of,
)
from dipy_synth.data.label_table import Labels
from dipy_synth.data.preprocess import prepare_t1, restore_t1
from dipy_synth.data.preprocess_config import PreprocessConfig
from dipy_synth.data.split import SPLITS
from dipy_synth.errors import InputError
from dipy_synth.networks.architectures import make_autoencoder
from dipy_synth.networks.conversion import (
    check_shape,
    in_batches,
    need_weights,
    to_arrays,
    to_network,
)
from dipy_synth.networks.discriminator import AdversarialTraining
from dipy_synth.networks.presets import find_preset
from dipy_synth.nn.base import Wrapper
from dipy_synth.store import load_networks, read_config
from dipy_synth.training import (
    TrainingSettings,
    averaged_weights,
    building,
    is_fresh,
    train,
)
from dipy_synth.training.callbacks import AdversarialRamp
from dipy_synth.training.initial import check_place
from dipy_synth.training.train_autoencoder import (
    check_known,
    codebook_callbacks,
    initialize,
    label_arguments,
    training_batches,
    validation_batches,
    with_frozen_encoder,
)
from dipy_synth.utils.lock import locks
from dipy_synth.utils.montage import difference_images, save_montage


class VQVAE(Wrapper):
    """Vector-quantised autoencoder: volumes to small discrete latents and back.

    Latents are codes of a codebook :footcite:p:`oord2017vqvae`, or are rounded to a few
    levels :footcite:p:`mentzer2024fsq`.

    Parameters
    ----------
    model : str or Path, optional
        A model folder or the name of a bundled model; by default the bundled one. None
        makes a model without weights, for `fit`.
    verbose : bool, optional
        Log progress.

    Attributes
    ----------
    network : Autoencoder or None
        The network.
    config : dict
        Grid, split and training of the model.
    folder : Path or None
        Folder the model was loaded from.

    References
    ----------
    .. footbibliography::

    Examples
    --------
    >>> from dipy_synth.nn.vqvae import VQVAE
    >>> reconstructed = VQVAE().predict(T1, affine)  # doctest: +SKIP
    >>> vqvae = VQVAE(None)
    >>> vqvae.fit("prepared", run_dir="run")  # doctest: +SKIP
    """

    def load_model_weights(self, model):
        """Load a model folder, or a bundled model by its name: that of an LDM, too."""
        folder, config = read_config(model, kinds=("vqvae", "ldm"))
        networks, _ = load_networks(folder, config, {"autoencoder": make_autoencoder})
        self.network, self.config = networks["autoencoder"], config
        self.folder = Path(folder).resolve()

    @locks("run_dir")
    def fit(
        self,
        cohort,
        *,
        run_dir,
        settings=None,
        preset="default",
        crop=None,
        decoder_of=None,
        adversarial=0.0,
        force=False,
        network=None,
    ):
        """Train on a prepared cohort, or resume an interrupted run.

        Parameters
        ----------
        cohort : str, Path, Cohort or ArrayCohort
            A prepared cohort, or a file of images such as MNIST's; its training
            subjects are trained on, its validation subjects are for the validation
            loss and the pictures.
        run_dir : str or Path
            Folder of the run; the model is written to its ``model`` folder.
        settings : TrainingSettings, optional
            Settings of the training; by default the preset's.
        preset : str, optional
            A row of `dipy_synth.networks.presets.PRESETS`.
        crop : float, optional
            Side of the random training crops, as a fraction of the volume's; 1 for
            whole volumes. By default the preset's.
        decoder_of : str, Path or VQVAE, optional
            An autoencoder whose decoder is trained further, with other losses. Its
            encoder and codebook are frozen, so that a latent diffusion model of its
            latents fits this one, too.
        adversarial : float, optional
            Weight of the adversarial (PatchGAN) loss; 0 trains without one. In the
            first sixth of the training the discriminator learns alone.
        force : bool, optional
            Overwrite an existing run, instead of resuming it.
        network : dict, optional
            Arguments of the autoencoder that differ from the preset's, such as
            ``channels``, ``quantizer`` or ``background_weight``.

        Returns
        -------
        list of dict
            The history, one row per epoch.

        Raises
        ------
        InputError
            If the cohort has no training subject, its shape does not suit the
            network, an argument is unknown, two options exclude each other, or the
            folder holds another run.
        """
        cohort, network = open_cohort(cohort), network or {}
        preset, run_dir = find_preset(preset), Path(run_dir)
        settings = settings or TrainingSettings(**preset["training"])
        if settings.patience and adversarial:
            raise InputError(
                "patience with adversarial: expected one of them (the validation loss "
                "does not measure texture)"
            )
        volumes, held_out = (cohort.volumes(side) for side in SPLITS)
        self.config, self.folder = cohort_config(cohort), None
        known = self._read_known(decoder_of, cohort)
        check_place(run_dir, known)
        config = {"shape": cohort.shape, **preset["network"], **network}
        config |= label_arguments(cohort, config)
        with building(settings):
            self.network = (
                with_frozen_encoder(known.network, network)
                if known
                else make_autoencoder(config)
            )
            trained = AdversarialTraining(self.network) if adversarial else self.network
        if not known and is_fresh(run_dir, force=force):
            initialize(self.network, cohort, seed=settings.seed)
        crop = preset["crop"] if crop is None else crop
        data = training_batches(cohort, self.network, settings, crop=crop)
        starts = codebook_callbacks(self.network, volumes, settings, len(data))
        ramp = AdversarialRamp(adversarial, settings.epochs)
        history = train(
            trained,
            data,
            run_dir=run_dir,
            settings=settings,
            validation=validation_batches(cohort, data),
            about={
                "cohort": fingerprint(cohort),
                "crop": crop,
                "adversarial": adversarial,
                **({"decoder_of": known.config["weights_sha256"]} if known else {}),
            },
            force=force,
            after_epoch=lambda epoch: self._show(run_dir, held_out, trained),
            callbacks=[*starts, ramp] if adversarial else starts,
            monitored_from=max((c.epoch for c in starts), default=0),
        )
        self._write(run_dir, cohort)
        return history

    def _read_known(self, model, cohort):
        """Load the autoencoder whose decoder is trained further: VQVAE or None."""
        if model is None:
            return None
        known = model if isinstance(model, VQVAE) else VQVAE(model)
        sides = [subjects_of(cohort, side) for side in SPLITS]
        check_known(known, self.config, sides)
        return known

    def _show(self, run_dir, volumes, trained):
        """Draw reconstructions of held-out volumes below the originals."""
        shown = volumes[: 6 if self.network.rank == 3 else 16]
        if len(shown):
            with averaged_weights(trained):
                rows = [np.asarray(shown, "float32"), self.reconstruct(shown)]
            rows.append(difference_images(*rows))
            titles = ["original", "decoded", "difference"]
            path = run_dir / "reconstructions.png"
            save_montage(path, rows, titles=titles, columns=len(shown))

    def _content(self):
        networks = {"autoencoder": need_weights(self.network)}
        config = persistent_config(self.config)
        return {"kind": "vqvae", "config": config, "networks": networks}

    @property
    def label_table(self):
        """The labels that the model knows: Labels, or None without any."""
        config = self.config.get("labels")
        return Labels.from_config(config) if config else None

    def predict(self, T1, affine=None, *, mask=None, brain="auto"):  # noqa: N803
        """Reconstruct a T1 scan in its native space.

        The scan is prepared as those of the training were, encoded, decoded, and
        resampled to its own voxels.

        Parameters
        ----------
        T1 : ndarray of shape (X, Y, Z), nibabel image, or its path
            The scan, in any unit and orientation.
        affine : ndarray of shape (4, 4), optional
            Voxel-to-world affine, in mm, RAS world; that of the image if `T1` is one.
        mask : ndarray of shape (X, Y, Z), nibabel image, or its path, optional
            The brain, on the voxels of `T1`.
        brain : str, optional
            Source of the brain mask, see `dipy_synth.data.brain_extraction.find_brain`.

        Returns
        -------
        ndarray of shape (X, Y, Z), float32
            The brain on the voxels and in the unit of the scan, 0 outside.

        Raises
        ------
        InputError
            If the model is one of images, or the scan cannot be prepared.
        """
        need_weights(self.network)
        preprocessing = PreprocessConfig.of_model(self.config, brain=brain)
        prepared = prepare_t1(T1, affine, mask=mask, preprocessing=preprocessing)
        decoded = self.reconstruct(prepared.data)
        return restore_t1(replace(prepared, data=decoded))[0]

    def encode(self, volumes, *, label_maps=None, batch_size=1):
        """Encode prepared volumes to continuous latents.

        Parameters
        ----------
        volumes : ndarray of shape (n, *shape), or sequence of images
            Prepared volumes in [0, 1], see `dipy_synth.data.arrays.as_volumes`.
        label_maps : ndarray of shape (n, *shape), int, optional
            The label of each voxel, of a model with labels; by default none anywhere.
        batch_size : int, optional
            Number of volumes at a time.

        Returns
        -------
        ndarray of shape (n, *latent_shape), float32
        """
        need_weights(self.network)
        volumes, labels = as_volumes(volumes), self.label_table
        check_shape(volumes, self.network.shape)
        if label_maps is None:
            label_maps = np.broadcast_to(0, volumes.shape)
        elif np.shape(label_maps) != volumes.shape:
            raise InputError(
                f"label maps of shape {np.shape(label_maps)}: expected that of the "
                f"volumes, {volumes.shape}"
            )

        def encode(chosen):
            images = to_network(volumes[chosen], self.network.shape)
            if labels is not None:
                images = labels.beside(images, label_maps[chosen])
            return self.network.encode(images)

        return in_batches(encode, np.arange(len(volumes)), batch_size)

    def decode(self, latents, *, return_labels=False, batch_size=1):
        """Quantise latents and decode them to volumes.

        Parameters
        ----------
        latents : ndarray of shape (n, *latent_shape)
            Continuous or quantised latents.
        return_labels : bool, optional
            Return the label maps, too, of a model that knows labels.
        batch_size : int, optional
            Number of volumes at a time.

        Returns
        -------
        volumes : ndarray of shape (n, *shape), float32
            Volumes in [0, 1], brains with a background of exactly 0.
        label_maps : ndarray of shape (n, *shape), int32
            With `return_labels`: the labels; 0 in the background of brains.

        Raises
        ------
        InputError
            If labels are wanted of a model without.
        """
        decode = need_weights(self.network).decode
        brains = self.config.get("grid") is not None
        labels = self.label_table if return_labels else None
        if return_labels and labels is None:
            raise InputError("labels of a model without; expected one that has labels")
        made = in_batches(
            lambda z: to_arrays(decode(z), background=brains, labels=labels),
            latents,
            batch_size,
        )
        if labels is None:
            return made[:, 0]
        return made[:, 0], made[:, 1].astype("int32")

    def reconstruct(self, volumes, *, batch_size=1):
        """Encode and decode prepared volumes.

        Parameters
        ----------
        volumes : ndarray of shape (n, *shape) or (*shape), image, or sequence of images
            Prepared volumes in [0, 1], see `dipy_synth.data.arrays.as_volumes`.
        batch_size : int, optional
            Number of volumes at a time.

        Returns
        -------
        ndarray of shape (n, *shape) or (*shape), float32
            Volumes in [0, 1], brains with a background of exactly 0.
        """
        volumes = as_volumes(volumes)
        one = volumes.ndim == len(need_weights(self.network).shape)
        volumes = volumes[None] if one else volumes
        latents = self.encode(volumes, batch_size=batch_size)
        decoded = self.decode(latents, batch_size=batch_size)
        return decoded[0] if one else decoded
