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
    """Return the arguments of an autoencoder that the labels of a cohort need: dict.

    It is empty without label maps. An architecture without a path for labels, too many
    labels, or no training scan with any, is an InputError.
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


def _first_images(network, volumes, *, seed, most=40, label_maps=None, labels=None):
    """Draw training images to initialise an autoencoder from: (m, *shape, 1 [+ k]).

    They are `most`, or more where images are small, with the channels of their labels.
    """
    most = max(most, min(2000, 2**22 // math.prod(network.shape)))
    rng = random_stream("autoencoder: first images", seed=seed)
    chosen = np.sort(rng.permutation(len(volumes))[:most])
    images = to_network(volumes[chosen], network.shape)
    if label_maps is None:
        return images
    return labels.beside(images, label_maps[chosen])


def initialize(network, cohort, *, seed):
    """Initialise an autoencoder from training images of a cohort."""
    labelled = labelled_side(cohort, "train")
    images = _first_images(network, cohort.volumes("train"), seed=seed, **labelled)
    network.initialize(images, seed=seed)


def codebook_callbacks(network, volumes, settings, steps):
    """Return the callbacks that initialise a codebook; none where there is none to.

    `steps` are those of an epoch.
    """
    quantizer = network.quantizer
    if not isinstance(quantizer, VectorQuantizer) or float(quantizer.started):
        return []
    images = _first_images(network, volumes, seed=settings.seed, most=8)
    positions = math.prod(network.latent_shape[:-1])
    network.quantizer.check_enough(len(images) * positions)
    epoch = min(math.ceil(_WARMUP / steps), settings.epochs // 2)
    return [StartCodebook(network, images, epoch=epoch, seed=settings.seed)]


def training_batches(cohort, network, settings, *, crop):
    """Return batches of training volumes, mirrored where left and right are alike.

    `crop` is the side of the crops as a fraction of the volume's.
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

    They have as many voxels as those of the training, or one volume.
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
    """Refuse an autoencoder without weights, or of another grid, split or labels.

    `config` is the `dipy_synth.data.cohort.cohort_config` of a cohort, and `sides` are
    its subjects for training and for validation.
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

    `losses` are its ``distance`` and weights of losses that differ; other arguments are
    refused.
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
