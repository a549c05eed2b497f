"""Sides of the body in conditions: what the mirror image of a brain is to be called.

A brain is trained on with its mirror image. Where a condition names a side, such as a
tumour's place ``frontal-left``, that of the mirror image is the other one; where a
column does, such as the volume ``left_hippocampus``, it takes the other column's value.
"""

import re

import numpy as np

_OTHER = {"left": "right", "l": "r", "lh": "rh"}
_OTHER |= {right: left for left, right in _OTHER.items()}
_SIDE = re.compile(  # a whole word; left and right in camel case, too
    r"(?<![^\W\d_])(?:(?i:left|right|[lr]h?)(?![^\W\d_])|(?:[Ll]eft|[Rr]ight)(?=[A-Z]))"
    r"|(?<=[a-z])(?:Left|Right)(?![a-z])"
)


def other_side(name):
    """Name the other side.

    Parameters
    ----------
    name : str
        A category or a column, such as ``frontal-left``, ``rightTemporal`` or ``L``.

    Returns
    -------
    str
        With the words left and right, l and r, lh and rh exchanged; other names are
        given back as they are.
    """
    return _SIDE.sub(_exchange, name)


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
        The category or the column of the other side; NaN, which leaves it open, where
        a name says left or right and training had no other.
    """
    encoded = np.asarray(encoded, "float32")
    mirrored = np.full_like(encoded, np.nan)
    for place, (column, source) in enumerate(zip(schema.columns, _sources(schema))):
        if source is None or schema.columns[source].kind != column.kind:
            continue
        there = ~np.isnan(encoded[:, source])
        values = encoded[there, source]
        if column.categories:
            table = _mirrored_indices(schema.columns[source].categories, column)
            values = np.array(table, "float32")[values.astype(int)]
        elif source != place:  # each is scaled by its own range
            known = schema.columns[source].decode(values)
            values = [column.encode(value) for value in known]
        mirrored[there, place] = values
    return mirrored


def is_lateral(schema):
    """Tell whether a condition of a schema names sides: bool."""
    return _sources(schema) != list(range(len(schema.columns))) or any(
        index != place
        for column in schema.columns
        for place, index in enumerate(_mirrored_indices(column.categories, column))
    )


def _sources(schema):
    """Give, for each column, the place of that of the other side, or None."""
    places = {name: place for place, name in enumerate(schema.names)}
    return [places.get(other_side(name), _alone(name, places)) for name in places]


def _mirrored_indices(categories, column):
    """Give, for each category, the index of that of the mirror image, or NaN."""
    places = {name: float(place) for place, name in enumerate(column.categories)}
    found = [places.get(other_side(n), _alone(n, places)) for n in categories]
    return [np.nan if index is None else index for index in found]


def _alone(name, places):
    """Say what a name becomes whose other side is not there.

    A letter may stand for something else; left and right do not.
    """
    words = {word.lower() for word in _SIDE.findall(name)}
    return None if words & {"left", "right"} else places.get(name)


def _exchange(match):
    word = match.group()
    other = _OTHER[word.lower()]
    for case in (str.lower, str.upper, str.capitalize):
        if case(word) == word:
            return case(other)
    return word
