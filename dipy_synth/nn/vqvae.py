"""VQVAE: a quantised autoencoder of prepared T1 volumes, in DIPY's manner."""

import math
from pathlib import Path

from dipy.utils.logging import logger
import numpy as np

from dipy_synth.data.arrays import as_volumes
from dipy_synth.data.augment import Augmentation, crop_shape
from dipy_synth.data.cohort import (
    cohort_config,
    fingerprint,
    open_cohort,
    persistent_config,
    subjects_of,
)
from dipy_synth.data.dataset import VolumeDataset
from dipy_synth.errors import InputError
from dipy_synth.networks.architectures import make_autoencoder
from dipy_synth.networks.codebook import VectorQuantizer
from dipy_synth.networks.conversion import (
    from_network,
    in_batches,
    need_weights,
    to_network,
)
from dipy_synth.networks.discriminator import AdversarialTraining
from dipy_synth.networks.presets import find_preset
from dipy_synth.store import load_networks, read_config, save_model
from dipy_synth.training import (
    TrainingSettings,
    averaged_weights,
    building,
    is_fresh,
    train,
)
from dipy_synth.training.callbacks import AdversarialRamp, StartCodebook
from dipy_synth.utils.labels import is_split_of
from dipy_synth.utils.lock import locks
from dipy_synth.utils.montage import save_montage
from dipy_synth.utils.random import random_stream

# flips alone: a resampled brain is a blurred one, and the network would learn the blur
SHARP = Augmentation(rotation=0, scale=0, translation=0, gamma=0, bias=0)
DEFAULT_MODEL = "ixi-2mm"
_WARMUP = 200  # steps before a codebook starts from the latents


class VQVAE:
    """Quantised autoencoder: volumes to small discrete latents and back.

    Parameters
    ----------
    model : str or Path, optional
        A model folder to load. Without one, call `fit`, `load_model_weights` or
        `fetch_default_weights` first.
    verbose : bool, optional
        Log what is done.

    Attributes
    ----------
    network : Autoencoder or None
        The network, once there is one.
    config : dict
        Grid, split and training of the model.
    folder : Path or None
        Where the model was loaded from.

    References
    ----------
    van den Oord et al. (2017). Neural discrete representation learning. NeurIPS.
    Mentzer et al. (2024). Finite scalar quantization: VQ-VAE made simple. ICLR.

    Examples
    --------
    >>> from dipy_synth.nn.vqvae import VQVAE
    >>> vqvae = VQVAE()
    >>> vqvae.fit("prepared", run_dir="run")  # doctest: +SKIP
    >>> reconstructed = vqvae.predict(volume)  # doctest: +SKIP
    """

    def __init__(self, model=None, *, verbose=False):
        self.network, self.config, self.verbose = None, {}, verbose
        self.folder = None
        if model is not None:
            self.load_model_weights(model)

    def fetch_default_weights(self):
        """Load the autoencoder of the bundled model; nothing is downloaded."""
        self.load_model_weights(DEFAULT_MODEL)

    def load_model_weights(self, model):
        """Load a model.

        Parameters
        ----------
        model : str or Path
            A folder that `save` or `fit` wrote, or the name of a bundled model; the
            autoencoder of a latent diffusion model will do.
        """
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
        adversarial_start=0.17,
        force=False,
        network=None,
    ):
        """Train on a prepared cohort, or go on with a run that was stopped.

        Parameters
        ----------
        cohort : str, Path, Cohort or ArrayCohort
            A prepared cohort, or a file of images such as MNIST's; its training
            subjects are trained on, its validation subjects give the validation loss
            and the pictures.
        run_dir : str or Path
            Folder of the run; the model is written to its ``model`` folder.
        settings : TrainingSettings, optional
            How to train; as the preset does by default.
        preset : str, optional
            A row of `dipy_synth.networks.presets.PRESETS`.
        crop : float, optional
            Side of the random crops that are trained on, as a share of the volume's; 1
            for whole volumes. By default the preset's.
        decoder_of : str, Path or VQVAE, optional
            An autoencoder whose decoder is trained further, with other losses, such
            as an adversarial one. Its encoder and codebook stay as they are, so that a
            latent diffusion model of its latents is one of these, too.
        adversarial : float, optional
            Weight of the adversarial (PatchGAN) loss; 0 trains without one.
        adversarial_start : float, optional
            Share of the training after which it is enabled; until then the
            discriminator learns alone.
        force : bool, optional
            Start anew where the folder holds a run, instead of going on with it.
        network : dict, optional
            Arguments of the autoencoder that differ from the preset's, such as
            ``channels``, ``quantizer`` or ``background_weight``.

        Returns
        -------
        list of dict
            The history, one row an epoch.

        Raises
        ------
        InputError
            If the cohort has no training subject, its shape does not suit the
            network, an argument is unknown, two options do not go together, or the
            folder holds another run.
        """
        cohort, network = open_cohort(cohort), network or {}
        preset, run_dir = find_preset(preset), Path(run_dir)
        settings = settings or TrainingSettings(**preset["training"])
        if settings.patience and adversarial:
            raise InputError(
                "patience with adversarial: expected one of them (the validation loss "
                "tells nothing of texture)"
            )
        volumes, held_out = cohort.volumes("train"), cohort.volumes("validation")
        self.config = cohort_config(cohort)
        known = _known(decoder_of, self.config, cohort)
        config = {"shape": cohort.shape, **preset["network"], **network}
        with building(settings):
            self.network = _go_on(known, network) if known else make_autoencoder(config)
            trained = AdversarialTraining(self.network) if adversarial else self.network
        if not known and is_fresh(run_dir, force=force):
            images = self._some_images(volumes, settings.seed, most=40)
            self.network.initialize(images, seed=settings.seed)
        batches = {"batch_size": settings.batch_size, "seed": settings.seed}
        crop = preset["crop"] if crop is None else crop
        data = VolumeDataset(
            volumes,
            augment=SHARP if cohort.symmetric else None,
            crop=crop_shape(cohort.shape, crop, multiple=self.network.factor),
            **batches,
        )
        starts = [] if known else self._start_codebook(volumes, settings, len(data))
        ramp = AdversarialRamp(adversarial, adversarial_start, settings.epochs)
        callbacks = [*starts, ramp] if adversarial else starts
        history = train(
            trained,
            data,
            run_dir=run_dir,
            settings=settings,
            validation=_validation(held_out, data),
            about={
                "cohort": fingerprint(cohort),
                "crop": crop,
                "adversarial": [adversarial, adversarial_start],
                **({"decoder_of": known.config["weights_sha256"]} if known else {}),
            },
            force=force,
            after_epoch=lambda epoch: self._show(run_dir, held_out, trained),
            callbacks=callbacks,
            monitored_from=max((c.epoch for c in starts), default=0),
        )
        self._finish(run_dir)
        return history

    def _some_images(self, volumes, seed, *, most):
        """Draw training images to start from: `most` brains, more where they are small.

        Returns an ndarray (n, *shape, 1) in [-1, 1].
        """
        most = max(most, min(2000, 2**22 // math.prod(self.network.shape)))
        rng = random_stream("autoencoder: first images", seed=seed)
        chosen = rng.permutation(len(volumes))[:most]
        return to_network(volumes[np.sort(chosen)], self.network.shape)

    def _start_codebook(self, volumes, settings, steps):
        """Return the callbacks that start a codebook; none without a codebook."""
        if not isinstance(self.network.quantizer, VectorQuantizer):
            return []
        images = self._some_images(volumes, settings.seed, most=8)
        self.network.quantizer.check_enough(
            len(images) * math.prod(self.network.latent_shape[:-1])
        )
        epoch = min(math.ceil(_WARMUP / steps), settings.epochs // 2)
        return [StartCodebook(self.network, images, epoch=epoch, seed=settings.seed)]

    def _show(self, run_dir, volumes, trained):
        """Draw reconstructions of held-out volumes below the originals."""
        n = 6 if self.network.rank == 3 else 16
        if len(volumes):
            with averaged_weights(trained):
                decoded = self.predict(volumes[:n])
            save_montage(
                run_dir / "reconstructions.png",
                [np.asarray(volumes[:n], "float32"), decoded],
                titles=["original", "decoded"],
                columns=n,
            )

    def _finish(self, run_dir):
        """Write the model, and read it back in float32."""
        self.save(run_dir / "model")
        self.load_model_weights(run_dir / "model")
        if self.verbose:
            logger.info("Model written to %s", run_dir / "model")

    def save(self, folder, *, dtype=None, card=None):
        """Write a model folder.

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
        return save_model(
            folder,
            kind="vqvae",
            config=persistent_config(self.config),
            networks={"autoencoder": need_weights(self.network)},
            dtype=dtype,
            card=card,
        )

    def encode(self, volumes, *, batch_size=1):
        """Encode volumes to continuous latents.

        Parameters
        ----------
        volumes : array (n, *shape), or sequence of images
            Prepared volumes in [0, 1], see `dipy_synth.data.arrays.as_volumes`.
        batch_size : int, optional
            Volumes at a time.

        Returns
        -------
        ndarray (n, *latent_shape), float32
        """
        network = need_weights(self.network)
        return in_batches(
            lambda batch: network.encode(to_network(batch, network.shape)),
            as_volumes(volumes),
            batch_size,
        )

    def decode(self, latents, *, batch_size=1):
        """Quantise latents and decode them to volumes.

        Parameters
        ----------
        latents : array (n, *latent_shape)
            Continuous or quantised latents.
        batch_size : int, optional
            Volumes at a time.

        Returns
        -------
        ndarray (n, *shape), float32
            Volumes in [0, 1], brains with a background of exactly 0.
        """
        decode = need_weights(self.network).decode
        brains = self.config.get("grid") is not None
        return in_batches(
            lambda z: from_network(decode(z), background=brains), latents, batch_size
        )

    def predict(self, volumes, *, batch_size=1):
        """Reconstruct volumes.

        Parameters
        ----------
        volumes : array (n, *shape) or (*shape), image, or sequence of images
            Prepared volumes in [0, 1], see `dipy_synth.data.arrays.as_volumes`.
        batch_size : int, optional
            Volumes at a time.

        Returns
        -------
        ndarray, float32
            Of the same shape, in [0, 1], brains with a background of exactly 0.
        """
        volumes = as_volumes(volumes)
        one = volumes.ndim == len(need_weights(self.network).shape)
        volumes = volumes[None] if one else volumes
        decoded = self.decode(
            self.encode(volumes, batch_size=batch_size), batch_size=batch_size
        )
        return decoded[0] if one else decoded


def _validation(volumes, data):
    """Return batches of held-out volumes, or None where there are none.

    They are whole volumes: as many as fill a training batch of `data`, or one.
    """
    if not len(volumes):
        return None
    batch_size = max(1, data.batch_size // data.parts)
    return VolumeDataset(volumes, batch_size=batch_size, shuffle=False)


def _known(model, config, cohort):
    """Load the autoencoder whose decoder is to be trained further, if there is one."""
    if model is None:
        return None
    known = model if isinstance(model, VQVAE) else VQVAE(model)
    need_weights(known.network)
    sides = (subjects_of(cohort, side) for side in ("train", "validation"))
    same = {
        "grid": known.config["grid"] == config["grid"],
        "split": is_split_of(known.config["split"], *sides),
    }
    for name in (name for name, agrees in same.items() if not agrees):
        raise InputError(
            f"decoder_of: an autoencoder of another {name} than the cohort's; expected "
            "one that was trained on this cohort"
        )
    return known


def _go_on(known, losses):
    """Make an autoencoder of which the decoder alone is trained, from a known one."""
    config = known.network.get_config()
    terms = {"distance", *(name for name in config if name.endswith("_weight"))}
    if others := sorted(set(losses) - terms):
        raise InputError(
            f"decoder_of with {', '.join(others)}: the network is that of the known "
            f"autoencoder; its losses can be chosen, {', '.join(sorted(terms))}"
        )
    network = make_autoencoder({**config, **losses})
    network.set_weights(known.network.get_weights())
    network.freeze_encoder()
    return network
