"""Parts of a latent diffusion model's training: networks, latents, pairs."""

from dataclasses import replace
import logging
from pathlib import Path
from typing import NamedTuple

import keras

from dipy_synth.data.laterality import labels_name_a_side, names_a_side
from dipy_synth.data.split import SPLITS
from dipy_synth.diffusion.latents import conditions_of, encode_cohort
from dipy_synth.diffusion.normalizer import LatentNormalizer
from dipy_synth.diffusion.pairs import NoisyPairs
from dipy_synth.errors import InputError
from dipy_synth.networks.architectures import check_arguments
from dipy_synth.networks.unet import UNet
from dipy_synth.training.engine import reserve_output
from dipy_synth.training.run_folder import is_fresh
from dipy_synth.training.settings import TrainingSettings
from dipy_synth.utils.architecture import arguments_of
from dipy_synth.utils.number_checks import check_whole

logger = logging.getLogger("dipy")
GUIDE = "guide"  # folder of its run; a network with a file of its own


def make_unet(autoencoder, schema, arguments):
    """Make the U-Net for the latents of an autoencoder, with conditions of a schema.

    ``unfold`` is 2 by default where the latents have a linear path to a finer grid and
    there are two levels or more, else 1. An argument that is unknown or does not fit is
    an InputError.
    """
    check_arguments(UNet, arguments)
    arguments = {"patch": autoencoder.factor, **arguments}
    arguments["image_channels"] = 1 + autoencoder.labels
    if arguments.get("unfold") is None:
        finer = autoencoder.patch_basis() is not None and autoencoder.factor > 2
        arguments["unfold"] = 2 if finer and len(arguments["widths"]) > 1 else 1
    categories = [len(column.categories or ()) for column in schema.columns]
    return UNet(autoencoder.latent_shape, categories=categories, **arguments)


class Run(NamedTuple):
    """A network, the folder of its training, and the settings."""

    model: keras.Model
    run_dir: Path
    settings: TrainingSettings


def make_guide(network):
    """Make the guide of a U-Net for autoguidance: a quarter of its channels.

    A guide is to make the errors of the network, but more of them
    :footcite:p:`karras2024autoguidance`.

    References
    ----------
    .. footbibliography::
    """
    arguments = network.arguments()
    widths = [max(1, width // 4) for width in arguments["widths"]]
    return UNet(**{**arguments, "widths": widths})


def guide_settings(settings, epochs=None):
    """Return the settings of a guide's training, None without: TrainingSettings.

    `epochs` are an eighth of those of the network by default; 0 is without a guide.
    """
    if epochs is None:
        epochs = max(1, round(settings.epochs / 8))
    epochs = check_whole("guide_epochs", epochs, low=0)
    return replace(settings, epochs=epochs, patience=0) if epochs else None


def reserve_runs(runs, *, force, **options):
    """Reserve the folders of runs, see `dipy_synth.training.reserve_output`.

    A guide of another request is trained anew, as that takes minutes.
    """
    network, *guides = runs
    trained = network.run_dir / GUIDE
    if not guides and not is_fresh(trained):
        logger.warning(
            "%s: this guide is left out of the model, as it is to have none", trained
        )
    reserve_output(**network._asdict(), force=force, **options)
    for guide in guides:
        try:
            reserve_output(**guide._asdict(), force=force, **options)
        except InputError:
            reserve_output(**guide._asdict(), force=True, **options)


def start_from(runs, *networks):
    """Set the weights of new runs to those of other networks of the same shape."""
    for run, network in zip(runs, networks):
        if (
            network is not None
            and is_fresh(run.run_dir)
            and arguments_of(network) == arguments_of(run.model)
        ):
            run.model.set_weights(network.get_weights())


def describe_training(ldm, initial, **options):
    """Describe what identifies a run besides network and settings: dict.

    `options` are the fingerprint of the cohort, and options of the training.
    """
    begun = {"initial": initial.config["weights_sha256"]} if initial else {}
    if initial and initial.guide:
        begun["initial_guide"] = initial.config["guide_sha256"]
    return {
        "schedule": ldm.schedule.to_config(),
        "conditions": ldm.schema.to_config(),
        "autoencoder": ldm.vqvae.config["weights_sha256"],
        **options,
        **begun,
    }


def encode_splits(cohort, vqvae, schema, run_dir, *, seed=0):
    """Encode both sides of a cohort's split: dict of `SPLITS` to Latents.

    Latents that are stored in the run's folder are read. Where a condition or a label
    names a side of the body, no view is mirrored.
    """
    mirror = not (names_a_side(schema) or labels_name_a_side(cohort.label_table))
    return {
        split: encode_cohort(
            cohort,
            vqvae,
            run_dir / f"latents-{split}",
            split,
            mirror=mirror,
            seed=seed,
        )
        for split in SPLITS
    }


def measure_latents(latents, networks, autoencoder):
    """Fit the normalizer to training latents, and set the maps of networks.

    Shifted views are left out.
    """
    coordinates, basis = autoencoder.patch_basis() or (None, None)
    normalizer = LatentNormalizer.fit(
        latents.values[latents.unmoved], coordinates=coordinates
    )
    mean = normalizer.mean @ normalizer.matrix
    for network in networks:
        network.unfolding.set_statistics(mean, normalizer.variance, basis=basis)
    return normalizer


def make_pairs(latents, rows, ldm, settings, **options):
    """Make the pairs for training and for validation: list of NoisyPairs.

    Latents and rows of the table are dicts of `SPLITS`. Noise is new in every epoch of
    training, and fixed in validation. `options` are those of training: ``crop`` and
    ``dropout``.
    """
    return [
        NoisyPairs(
            latents[split].values,
            conditions_of(latents[split].values, ldm.schema, rows[split]),
            ldm.schedule,
            normalizer=ldm.normalizer,
            shifts=latents[split].shifts,
            subjects=latents[split].subjects,
            batch_size=settings.batch_size,
            shuffle=split == "train",
            seed=settings.seed,
            **(options if split == "train" else {}),
        )
        for split in SPLITS
    ]
