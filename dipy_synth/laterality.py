"""Sides of the body in conditions: what the mirror image of a brain is to be called.

A brain is trained on with its mirror image. Where a condition names a side, such as a
tumour's place ``frontal-left``, that of the mirror image is the other one.
"""

import re

import numpy as np

_OTHER = {"left": "right", "l": "r", "lh": "rh"}
_OTHER |= {right: left for left, right in _OTHER.items()}
_WORD = re.compile(r"[^\W\d_]+")


def other_side(name):
    """Name the other side.

    Parameters
    ----------
    name : str
        A category, such as ``frontal-left``, ``Right_Temporal`` or ``L``.

    Returns
    -------
    str
        With the words left and right, l and r, lh and rh exchanged; other names are
        given back as they are.
    """
    return _WORD.sub(_exchange, name)


def mirror_conditions(encoded, schema):
    """Give the conditions of mirror images.

    Parameters
    ----------
    encoded : array (n, n_columns)
        Conditions, as `ConditionSchema.encode` gives them.
    schema : ConditionSchema
        Their columns.

    Returns
    -------
    ndarray (n, n_columns), float32
        The category of the other side; NaN, which leaves it open, where a name says
        left or right and no training subject had the other.
    """
    mirrored = np.array(encoded, "float32")
    for column, values in zip(schema.columns, mirrored.T):
        there = ~np.isnan(values)
        if column.categories:
            table = np.array(_mirrored_indices(column.categories), "float32")
            values[there] = table[values[there].astype(int)]
    return mirrored


def is_lateral(schema):
    """Tell whether a condition of a schema names sides: bool."""
    return any(
        index != place
        for column in schema.columns
        for place, index in enumerate(_mirrored_indices(column.categories))
    )


def _mirrored_indices(categories):
    """Give, for each category, the index of that of the mirror image, or NaN."""
    places = {name: float(place) for place, name in enumerate(categories)}
    return [places.get(other_side(name), _alone(name, places)) for name in categories]


def _alone(name, places):
    """Say what a name becomes whose other side is not there.

    A letter may stand for something else; left and right do not.
    """
    words = {word.lower() for word in _WORD.findall(name)}
    return np.nan if words & {"left", "right"} else places[name]


def _exchange(match):
    word = match.group()
    other = _OTHER.get(word.lower())
    if other is None:
        return word
    for case in (str.lower, str.upper, str.capitalize):
        if case(word) == word:
            return case(other)
    return word
