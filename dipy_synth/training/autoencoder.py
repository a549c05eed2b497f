"""Parts of an autoencoder's training: its start, its batches, its known encoder."""

import math

import numpy as np

from dipy_synth.data.dataset import VolumeDataset
from dipy_synth.errors import InputError
from dipy_synth.networks.architectures import make_autoencoder
from dipy_synth.networks.codebook import VectorQuantizer
from dipy_synth.networks.conversion import need_weights, to_network
from dipy_synth.training.callbacks import StartCodebook
from dipy_synth.utils.labels import is_split_of
from dipy_synth.utils.random import random_stream

_WARMUP = 200  # steps before a codebook starts from the latents


def first_images(network, volumes, *, seed, most=40):
    """Draw training images to initialise an autoencoder from.

    Parameters
    ----------
    network : Autoencoder
        The autoencoder.
    volumes : array of shape (n, *shape)
        Training volumes in [0, 1].
    seed : int
        Random seed.
    most : int, optional
        Number of images; more where they are small.

    Returns
    -------
    ndarray of shape (m, *shape, 1), float32
        In [-1, 1].
    """
    most = max(most, min(2000, 2**22 // math.prod(network.shape)))
    rng = random_stream("autoencoder: first images", seed=seed)
    chosen = rng.permutation(len(volumes))[:most]
    return to_network(volumes[np.sort(chosen)], network.shape)


def codebook_callbacks(network, volumes, settings, steps):
    """Return the callbacks that initialise a codebook; none without a codebook.

    Parameters
    ----------
    network : Autoencoder
        The autoencoder.
    volumes : array of shape (n, *shape)
        Training volumes in [0, 1].
    settings : TrainingSettings
        Settings of the training.
    steps : int
        Number of steps per epoch.

    Returns
    -------
    list of StartCodebook
    """
    if not isinstance(network.quantizer, VectorQuantizer):
        return []
    images = first_images(network, volumes, seed=settings.seed, most=8)
    positions = math.prod(network.latent_shape[:-1])
    network.quantizer.check_enough(len(images) * positions)
    epoch = min(math.ceil(_WARMUP / steps), settings.epochs // 2)
    return [StartCodebook(network, images, epoch=epoch, seed=settings.seed)]


def validation_batches(volumes, training):
    """Return batches of whole held-out volumes, or None where there are none.

    Parameters
    ----------
    volumes : array of shape (n, *shape)
        Held-out volumes.
    training : VolumeDataset
        The training data: as many voxels make a batch, or one volume.

    Returns
    -------
    VolumeDataset or None
    """
    if not len(volumes):
        return None
    batch_size = max(1, training.batch_size // training.parts)
    return VolumeDataset(volumes, batch_size=batch_size, shuffle=False)


def check_known(known, config, sides):
    """Refuse an autoencoder that was not trained on a cohort.

    Parameters
    ----------
    known : VQVAE
        The autoencoder whose decoder is to be trained further.
    config : dict
        Of the cohort, see `dipy_synth.data.cohort.cohort_config`.
    sides : sequence of (set of str), (2,)
        Its subjects for training and for validation.

    Raises
    ------
    InputError
        If it has another grid or split, or no weights.
    """
    need_weights(known.network)
    same = {
        "grid": known.config["grid"] == config["grid"],
        "split": is_split_of(known.config["split"], *sides),
    }
    for name in (name for name, agrees in same.items() if not agrees):
        raise InputError(
            f"decoder_of: an autoencoder of another {name} than the cohort's; expected "
            "one that was trained on this cohort"
        )


def with_frozen_encoder(network, losses):
    """Copy an autoencoder, so that only its decoder is trained.

    Parameters
    ----------
    network : Autoencoder
        The known autoencoder.
    losses : dict
        Its ``distance`` and weights of losses that differ.

    Returns
    -------
    Autoencoder

    Raises
    ------
    InputError
        If another argument is given.
    """
    known = network.arguments()
    terms = {"distance", *(name for name in known if name.endswith("_weight"))}
    if others := sorted(set(losses) - terms):
        raise InputError(
            f"decoder_of with {', '.join(others)}: the network is that of the known "
            f"autoencoder; its losses can be chosen, {', '.join(sorted(terms))}"
        )
    copy = make_autoencoder({**known, **losses})
    copy.set_weights(network.get_weights())
    copy.freeze_encoder()
    return copy
