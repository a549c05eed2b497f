"""The autoencoders by name."""

from dipy_synth.errors import InputError
from dipy_synth.networks.conv_autoencoders import PlainAutoencoder, ResidualAutoencoder
from dipy_synth.networks.patch_autoencoder import PatchAutoencoder

ARCHITECTURES = {
    cls.architecture: cls
    for cls in (PatchAutoencoder, PlainAutoencoder, ResidualAutoencoder)
}


def make_autoencoder(config):
    """Make an autoencoder.

    Parameters
    ----------
    config : dict
        The arguments, and under ``architecture`` the name of one of `ARCHITECTURES`:
        what an autoencoder's ``get_config`` gives.

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
