"""VQVAE: a quantised autoencoder of prepared T1 volumes, in DIPY's manner."""

from pathlib import Path

from dipy.utils.logging import logger
import numpy as np

from dipy_synth.data.augment import Augmentation
from dipy_synth.data.dataset import Cohort, VolumeDataset
from dipy_synth.errors import InputError
from dipy_synth.files import read_json
from dipy_synth.networks.autoencoder import Autoencoder, sample_patches
from dipy_synth.nn.utils import (
    from_network,
    in_batches,
    need_weights,
    to_network,
)
from dipy_synth.pictures import save_montage
from dipy_synth.store import load_networks, read_config, save_model
from dipy_synth.training import (
    TrainingSettings,
    averaged_weights,
    building,
    start_anew,
    train,
)

# flips alone: a resampled brain is a blurred one, and the network would learn the blur
SHARP = Augmentation(rotation=0, scale=0, translation=0, gamma=0, bias=0)
DEFAULT_MODEL = "ixi-2mm"


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
        networks, _ = load_networks(folder, config, {"autoencoder": Autoencoder})
        self.network, self.config = networks["autoencoder"], config

    def fit(self, cohort, *, run_dir, settings=None, force=False, **network):
        """Train on a prepared cohort, or go on with a run that was stopped.

        Parameters
        ----------
        cohort : str, Path or Cohort
            A prepared cohort; its training subjects are trained on, its validation
            subjects give the validation loss and the pictures.
        run_dir : str or Path
            Folder of the run; the model is written to its ``model`` folder.
        settings : TrainingSettings, optional
            How to train.
        force : bool, optional
            Start anew where the folder holds a run, instead of going on with it.
        **network
            Arguments of `Autoencoder`, such as ``channels`` or ``levels``.

        Returns
        -------
        list of dict
            The history, one row an epoch.

        Raises
        ------
        InputError
            If the cohort has no training subject, its grid is not a multiple of 4,
            or the folder holds another run.
        """
        cohort = open_cohort(cohort)
        settings, run_dir = settings or TrainingSettings(), Path(run_dir)
        if force:
            start_anew(run_dir)
        volumes, held_out = cohort.volumes("train"), cohort.volumes("validation")
        self.config = cohort_config(cohort)
        with building(settings):
            self.network = Autoencoder(cohort.grid.shape, **network)
        if not (run_dir / "state.npz").exists():
            self._start_from_pca(volumes, settings.seed)
        options = {"batch_size": settings.batch_size, "seed": settings.seed}
        validation = VolumeDataset(
            held_out, batch_size=settings.batch_size, shuffle=False
        )
        history = train(
            self.network,
            VolumeDataset(volumes, augment=SHARP, **options),
            run_dir=run_dir,
            settings=settings,
            validation=validation if len(held_out) else None,
            after_epoch=lambda epoch: self._show(run_dir, held_out[:6]),
        )
        self._finish(run_dir)
        return history

    def _start_from_pca(self, volumes, seed):
        if self.verbose:
            logger.info("Starting from the PCA of %d training volumes", len(volumes))
        chosen = np.random.default_rng(seed).permutation(len(volumes))[:40]
        patches = sample_patches(volumes[np.sort(chosen)] * 2.0 - 1.0, seed=seed)
        self.network.initialize_linear(patches)

    def _show(self, run_dir, volumes):
        """Draw reconstructions of held-out volumes below the originals."""
        if len(volumes):
            with averaged_weights(self.network):
                rows = [np.asarray(volumes, "float32"), self.predict(volumes)]
            save_montage(
                run_dir / "reconstructions.png", rows, titles=["original", "decoded"]
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
            config=keep(self.config),
            networks={"autoencoder": need_weights(self.network)},
            dtype=dtype,
            card=card,
        )

    def encode(self, volumes, *, batch_size=1):
        """Encode volumes to continuous latents.

        Parameters
        ----------
        volumes : array (n, *shape)
            Prepared volumes in [0, 1].
        batch_size : int, optional
            Volumes at a time.

        Returns
        -------
        ndarray (n, *latent_shape), float32
        """
        network = need_weights(self.network)
        images = to_network(volumes, network.shape)
        return in_batches(network.encode, images, batch_size)

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
            Volumes in [0, 1], background exactly 0.
        """
        decode = need_weights(self.network).decode
        return in_batches(lambda z: from_network(decode(z)), latents, batch_size)

    def predict(self, volumes, *, batch_size=1):
        """Reconstruct volumes.

        Parameters
        ----------
        volumes : array (n, *shape) or (*shape)
            Prepared volumes in [0, 1].
        batch_size : int, optional
            Volumes at a time.

        Returns
        -------
        ndarray, float32
            Of the same shape, in [0, 1], background exactly 0.
        """
        one = np.ndim(volumes) == len(need_weights(self.network).shape)
        volumes = np.asarray(volumes)[None] if one else volumes
        decoded = self.decode(
            self.encode(volumes, batch_size=batch_size), batch_size=batch_size
        )
        return decoded[0] if one else decoded


def open_cohort(cohort):
    """Give a cohort by its folder or as it is; refuse one with nothing to train on."""
    cohort = cohort if isinstance(cohort, Cohort) else Cohort.load(cohort)
    if not cohort.where("train").any():
        raise InputError(
            f"{cohort.root}: no training subject (participants.tsv, column split)"
        )
    return cohort


def cohort_config(cohort):
    """Tell what a model must remember of its cohort: grid, split and licence."""
    subjects = np.array(cohort.subjects)
    return {
        "grid": cohort.grid.to_config(),
        "license": read_json(cohort.root / "dataset_description.json").get("License"),
        "split": {
            side: sorted(set(subjects[cohort.where(side)].tolist()))
            for side in ("train", "validation")
        },
    }


def keep(config):
    """Leave out what the model folder writes anew."""
    return {k: config[k] for k in ("grid", "license", "split") if k in config}
