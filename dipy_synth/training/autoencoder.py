"""Parts of an autoencoder's training: its start, its batches, its known encoder."""

import math

import numpy as np

from dipy_synth.data.augment import Augmentation, crop_shape
from dipy_synth.data.dataset import VolumeDataset
from dipy_synth.data.label_table import UNKNOWN
from dipy_synth.data.laterality import labels_name_a_side
from dipy_synth.errors import InputError
from dipy_synth.networks.architectures import make_autoencoder
from dipy_synth.networks.codebook import VectorQuantizer
from dipy_synth.networks.conversion import need_weights, to_network
from dipy_synth.networks.patch_autoencoder import PatchAutoencoder
from dipy_synth.training.callbacks import StartCodebook
from dipy_synth.utils.labels import is_split_of
from dipy_synth.utils.random import random_stream

_WARMUP = 200  # steps before a codebook starts from the latents


def labelled_side(cohort, split):
    """Return the ``label_maps`` and ``labels`` of one side: dict for `VolumeDataset`.

    It is empty without label maps.
    """
    labels = cohort.label_table
    if labels is None:
        return {}
    return {"label_maps": cohort.label_maps(split), "labels": labels}


def label_arguments(cohort, config):
    """Return the arguments of an autoencoder that the labels of a cohort need.

    Parameters
    ----------
    cohort : Cohort or ArrayCohort
        The cohort.
    config : dict
        Other arguments of the autoencoder.

    Returns
    -------
    dict
        Empty without label maps.

    Raises
    ------
    InputError
        If the architecture has no path for labels, they are too many, or no training
        scan has any.
    """
    labels = cohort.label_table
    if labels is None:
        return {}
    if config["architecture"] != PatchAutoencoder.architecture:
        raise InputError(
            f"architecture {config['architecture']!r} with label maps: expected "
            f"{PatchAutoencoder.architecture!r}, which has a path for labels"
        )
    labels.check_memory(cohort.shape)
    if not any((one != UNKNOWN).any() for one in cohort.label_maps("train")):
        raise InputError(
            f"{cohort.root}: no training scan has a label map; expected some, or a "
            "cohort prepared without labels"
        )
    return {"labels": len(labels)}


def first_images(network, volumes, *, seed, most=40, label_maps=None, labels=None):
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
    label_maps : array of shape (n, *shape), int, optional
        Their label maps.
    labels : Labels, optional
        The labels of the maps.

    Returns
    -------
    ndarray of shape (m, *shape, 1), float32
        In [-1, 1]; with labels (m, *shape, 1 + k).
    """
    most = max(most, min(2000, 2**22 // math.prod(network.shape)))
    rng = random_stream("autoencoder: first images", seed=seed)
    chosen = np.sort(rng.permutation(len(volumes))[:most])
    images = to_network(volumes[chosen], network.shape)
    if label_maps is None:
        return images
    return labels.beside(images, label_maps[chosen])


def initialize(network, cohort, *, seed):
    """Initialise an autoencoder from training images.

    Parameters
    ----------
    network : Autoencoder
        The autoencoder.
    cohort : Cohort or ArrayCohort
        The cohort.
    seed : int
        Random seed.
    """
    labelled = labelled_side(cohort, "train")
    images = first_images(network, cohort.volumes("train"), seed=seed, **labelled)
    network.initialize(images, seed=seed)


def codebook_callbacks(network, volumes, settings, steps):
    """Return the callbacks that initialise a codebook; none where there is none to.

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
    quantizer = network.quantizer
    if not isinstance(quantizer, VectorQuantizer) or float(quantizer.started):
        return []
    images = first_images(network, volumes, seed=settings.seed, most=8)
    positions = math.prod(network.latent_shape[:-1])
    network.quantizer.check_enough(len(images) * positions)
    epoch = min(math.ceil(_WARMUP / steps), settings.epochs // 2)
    return [StartCodebook(network, images, epoch=epoch, seed=settings.seed)]


def training_batches(cohort, network, settings, *, crop):
    """Return batches of training volumes, mirrored where left and right are alike.

    Parameters
    ----------
    cohort : Cohort or ArrayCohort
        The cohort.
    network : Autoencoder
        The autoencoder.
    settings : TrainingSettings
        Settings, for batch size and seed.
    crop : float
        Side of the crops, as a fraction of the volume's.

    Returns
    -------
    VolumeDataset
    """
    mirrored = cohort.symmetric and not labels_name_a_side(cohort.label_table)
    return VolumeDataset(
        cohort.volumes("train"),
        augment=Augmentation(flip=0.5) if mirrored else None,
        crop=crop_shape(cohort.shape, crop, multiple=network.factor),
        batch_size=settings.batch_size,
        seed=settings.seed,
        **labelled_side(cohort, "train"),
    )


def validation_batches(cohort, training):
    """Return batches of whole held-out volumes, or None where there are none.

    Parameters
    ----------
    cohort : Cohort or ArrayCohort
        The cohort.
    training : VolumeDataset
        The training data: as many voxels make a batch, or one volume.

    Returns
    -------
    VolumeDataset or None
    """
    if not cohort.where("validation").any():
        return None
    return VolumeDataset(
        cohort.volumes("validation"),
        batch_size=max(1, training.batch_size // training.parts),
        shuffle=False,
        **labelled_side(cohort, "validation"),
    )


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
        If it has another grid or split, other labels, or no weights.
    """
    need_weights(known.network)
    same = {
        "grid": known.config["grid"] == config["grid"],
        "split": is_split_of(known.config["split"], *sides),
        "set of labels": known.config.get("labels") == config.get("labels"),
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
