"""Checks of the models that a latent diffusion model is trained from."""

import logging
from pathlib import Path

import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.utils.labels import labels_on_side

logger = logging.getLogger("dipy")
# Parts of a schedule for training or sampling; the rest defines the prediction.
_TRAINING = {"times", "logit_mean", "logit_std", "shift", "noise_range", "spacing"}


def check_place(run_dir, *models):
    """Refuse, also by force, the run of a model that this training starts from."""
    place = (Path(run_dir) / "model").resolve()
    if place in [model.folder for model in models if model is not None]:
        raise InputError(
            f"{run_dir}: its model is an input of this training; expected another "
            "out_dir"
        )


def check_initial(initial, vqvae, schedule, conditions, network):
    """Refuse a model that cannot be fine-tuned by this training.

    Autoencoder, prediction and conditions (where any are requested) must be those of
    the model; training times may differ, and arguments of the U-Net are refused.
    """
    folder = initial.folder or "the initial model"
    there, here = (v.network.get_weights() for v in (initial.vqvae, vqvae))
    if len(there) != len(here) or not all(map(np.array_equal, there, here)):
        raise InputError(
            f"{folder}: its latents are of another autoencoder; expected the one that "
            "is given"
        )
    if (there := _predicted(initial.schedule)) != (here := _predicted(schedule)):
        raise InputError(f"{folder}: schedule {there}; expected {here}")
    names = tuple(initial.schema.names)
    if conditions and tuple(conditions) != names:
        raise InputError(
            f"conditions {', '.join(conditions)}: expected those of the model to start "
            f"from, {', '.join(names) or 'none'}"
        )
    if network:
        raise InputError(
            f"{', '.join(network)}: the U-Net has the shape of the model to start from"
        )


def warn_of_seen(initial, held_out):
    """Warn of validation subjects that the initial model was trained on, by name.

    In another cohort equal names may be other people.
    """
    if seen := labels_on_side(initial.config["split"], held_out, "train"):
        logger.warning(
            f"validation subjects {', '.join(seen[:5])} have names on which "
            f"{initial.folder or 'the initial model'} was trained: if they are "
            "the same people, nothing is held out from them"
        )


def check_match(vqvae, here, held_out, *, root):
    """Refuse an autoencoder of another cohort, or trained on validation subjects.

    `here` is the `dipy_synth.data.cohort.cohort_config` of the cohort in folder `root`.
    """
    known = vqvae.config
    for name in ("grid", "labels"):
        if here.get(name) != known.get(name):
            raise InputError(
                f"{root}: {name} {here.get(name)}, but the autoencoder was trained on "
                f"{known.get(name)}"
            )
    if seen := labels_on_side(known["split"], held_out, "train"):
        raise InputError(
            f"{root}: validation subjects {', '.join(seen[:5])} were "
            "trained on by the autoencoder; use the cohort it was trained on"
        )


def _predicted(schedule):
    config = schedule.to_config()
    return {key: config[key] for key in config if key not in _TRAINING}
