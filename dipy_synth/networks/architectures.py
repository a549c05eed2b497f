"""Autoencoders by name, and checks of network arguments."""

import inspect

from dipy_synth.errors import InputError
from dipy_synth.networks.conv_autoencoders import PlainAutoencoder, ResidualAutoencoder
from dipy_synth.networks.patch_autoencoder import PatchAutoencoder

ARCHITECTURES = {
    cls.architecture: cls
    for cls in (PatchAutoencoder, PlainAutoencoder, ResidualAutoencoder)
}


def make_autoencoder(config):
    """Make an autoencoder from the dict of its ``get_config``.

    Parameters
    ----------
    config : dict
        Arguments, and under ``architecture`` the name of one of `ARCHITECTURES`.

    Returns
    -------
    Autoencoder

    Raises
    ------
    InputError
        If the name is unknown, or an argument does not fit.
    """
    name = config.get("architecture")
    if name not in ARCHITECTURES:
        raise InputError(
            f"architecture {name!r}: expected one of {', '.join(ARCHITECTURES)}"
        )
    try:
        return ARCHITECTURES[name].from_config(config)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} autoencoder: {error}") from error


def check_arguments(network, arguments):
    """Refuse arguments that a network's class does not take; list those it takes."""
    parameters = inspect.signature(network).parameters.values()
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    # of the conditions, and of the autoencoder
    known = [name for name in known if name not in ("categories", "image_channels")]
    if unknown := sorted(set(arguments) - set(known)):
        raise InputError(
            f"network arguments {', '.join(unknown)}: expected some of "
            f"{', '.join(known)}"
        )
