"""Start a latent diffusion model from another one, of another autoencoder even.

Two autoencoders that were started from the same patches tell nearly the same things
in other channels, or with other signs. A rotation of the channels brings the latents
of one nearest to those of the other, and leaves white noise what it is; folded into
the first and the last layer of the U-Net it makes the old network read new latents.
"""

import numpy as np

from dipy_synth.errors import InputError

_IMAGES = 8  # from which the rotation is found
# What a schedule says of training or sampling; the rest is what the network answers.
_AROUND = {"times", "logit_mean", "logit_std", "shift", "weighting", "spacing"}


def check_initial(initial, vqvae, schedule, conditions, network):
    """Refuse a model from which this training cannot start.

    Parameters
    ----------
    initial : LDM
        The model to start from.
    vqvae : VQVAE
        The autoencoder of the model to be trained.
    schedule : Schedule
        What is to be learnt. Its training times and weights may be others.
    conditions : sequence of str
        Conditions asked for; none, or those of the model.
    network : dict
        Arguments of the U-Net asked for; none are left to choose.

    Raises
    ------
    InputError
        If shapes, schedules or conditions differ, or an argument was given.
    """
    told = (
        ("latents", tuple(initial.network.shape), tuple(vqvae.network.latent_shape)),
        ("grid", initial.config["grid"], vqvae.config["grid"]),
        ("schedule", _question(initial.schedule), _question(schedule)),
    )
    for name, there, here in told:
        if there != here:
            raise InputError(
                f"{initial.folder}: a model of {name} {there} to start from; expected "
                f"{here}"
            )
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


def seen_subjects(initial, split):
    """List validation subjects whose names the model to start from was trained on.

    Parameters
    ----------
    initial : LDM
        The model to start from.
    split : dict
        Subjects of either side now, as a model's configuration has them.

    Returns
    -------
    list of str
        In another cohort they may be other people of the same names.
    """
    return sorted(set(initial.config["split"]["train"]) & set(split["validation"]))


def _question(schedule):
    config = schedule.to_config()
    return {key: config[key] for key in config if key not in _AROUND}


def adopt(ldm, initial, cohort):
    """Give a model the weights of another, turned to its own latents.

    Parameters
    ----------
    ldm : LDM
        With an autoencoder, a normalizer and a network of the other's shape, which
        may have a field (`ConditionField`) that the other's lacks.
    initial : LDM
        The other.
    cohort : Cohort or ArrayCohort
        The first few of its training volumes tell the rotation.
    """
    ldm.network.inherit(initial.network)
    some = cohort.volumes()[np.flatnonzero(cohort.where("train"))[:_IMAGES]]
    some = np.asarray(some, "float32")
    ours, theirs = (
        model.normalizer.normalize(model.vqvae.encode(some)) for model in (ldm, initial)
    )
    ldm.network.turn(rotation(ours, theirs))


def rotation(latents, others):
    """Find the rotation of channels that brings latents nearest to others.

    Parameters
    ----------
    latents, others : array (n, *spatial, channels)
        Normalised latents of the same images by two autoencoders.

    Returns
    -------
    ndarray (channels, channels), float64
        Orthogonal; ``latents @ rotation`` is nearest to `others`.

    References
    ----------
    Schoenemann (1966). A generalized solution of the orthogonal Procrustes problem.
    Psychometrika 31(1).
    """
    channels = latents.shape[-1]
    ours, theirs = (
        np.asarray(x, "float64").reshape(-1, channels) for x in (latents, others)
    )
    left, _, right = np.linalg.svd(ours.T @ theirs)
    return left @ right
