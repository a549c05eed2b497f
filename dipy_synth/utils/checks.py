"""Checks of numbers that a person gives, each with an error in one line."""

import math
from numbers import Real

from dipy_synth.errors import InputError


def check_number(name, value, *, low=-math.inf, high=math.inf):
    """Check a finite number within a range, and return it.

    Parameters
    ----------
    name : str
        What the error message calls it.
    value : float
        The number.
    low, high : float, optional
        The range, which includes both.

    Returns
    -------
    float
        The number, of the type it has.

    Raises
    ------
    InputError
        If it is no number, not finite, or outside the range.
    """
    if not (_is_number(value) and low <= value <= high):
        between = f"from {low:g} to {high:g}" if high < math.inf else f"of {low:g} up"
        wanted = "finite number" if low == -math.inf else f"number {between}"
        raise InputError(f"{name} {value!r}: expected a {wanted}")
    return value


def check_whole(name, value, *, low=1):
    """Check a whole number, and return it as an int.

    Parameters
    ----------
    name : str
        What the error message calls it.
    value : float
        The number.
    low : int, optional
        The least that is accepted.

    Returns
    -------
    int

    Raises
    ------
    InputError
        If it is no number, not whole, or too small.
    """
    if not _is_number(value) or value < low or value != int(value):
        raise InputError(f"{name} {value!r}: expected a whole number, at least {low}")
    return int(value)


def _is_number(value):
    known = isinstance(value, Real) and not isinstance(value, bool)
    return known and math.isfinite(value)
