"""Checks of numbers that a person gives, each with an error in one line."""

import math
from numbers import Real

from dipy_synth.errors import InputError


def check_number(name, value, *, low=-math.inf, high=math.inf):
    """Return a number as it is; refuse what is no finite number within a range.

    The range includes both ends. `name` is what the error message calls the number.
    """
    if not (_is_number(value) and low <= value <= high):
        between = f"from {low:g} to {high:g}" if high < math.inf else f"of {low:g} up"
        wanted = "finite number" if low == -math.inf else f"number {between}"
        raise InputError(f"{name} {value!r}: expected a {wanted}")
    return value


def check_whole(name, value, *, low=1, high=math.inf):
    """Return a whole number as an int; refuse what is none, or not within a range.

    The range includes both ends. `name` is what the error message calls it.
    """
    if not (_is_number(value) and low <= value <= high and value == int(value)):
        most = f", at most {high}" if high < math.inf else ""
        raise InputError(
            f"{name} {value!r}: expected a whole number, at least {low}{most}"
        )
    return int(value)


def _is_number(value):
    known = isinstance(value, Real) and not isinstance(value, bool)
    return known and math.isfinite(value)
