"""The architecture of a network, apart from its name and its precision."""

_NOT_OF_IT = {"name", "dtype", "trainable"}


def arguments_of(network):
    """Return what defines a network's architecture: its configuration as a dict.

    Name and precision are left out: networks are made in the precision that suits the
    machine.
    """
    config = network.get_config()
    return {name: value for name, value in config.items() if name not in _NOT_OF_IT}
