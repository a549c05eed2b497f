"""The base of all models: what Keras needs to save and to load one."""

from contextlib import contextmanager

import keras


@contextmanager
def default_precision(policy):
    """Make networks in a Keras dtype policy; None keeps the current one."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy or before)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


class Network(keras.Model):
    """A model that Keras saves with its architecture, its name and its precision.

    A subclass defines `arguments`. A model folder holds the arguments alone, since its
    networks are made in the precision that suits the machine.
    """

    def arguments(self):
        """Return the arguments of the architecture: dict of JSON types."""
        raise NotImplementedError

    def get_config(self):
        """Return the arguments, name and precision: dict."""
        own = {"name": self.name, "dtype": self.dtype_policy.name}
        return {**self.arguments(), **own}

    @classmethod
    def from_config(cls, config):
        """Make a network from the dict of `get_config` or `arguments`."""
        with default_precision(config.get("dtype")):
            return cls(**config)
