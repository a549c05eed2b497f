"""The methods of a class that its page shows: its own and its parents'."""

from importlib import import_module


def own_methods(module, name, methods):
    """Leave out what other libraries define.

    Parameters
    ----------
    module, name : str
        The class.
    methods : list of str
        Names of all of its methods.

    Returns
    -------
    list of str
    """
    parents = getattr(import_module(module), name).__mro__
    own = [vars(c) for c in parents if c.__module__.split(".")[0] == "dipy_synth"]
    return [m for m in methods if m != "__init__" and any(m in names for names in own)]
