"""Conditions and labels that name a side of the body: brains are not mirrored."""

import re

_SIDE = re.compile(  # a whole word; left and right in camel case, too
    r"(?<![^\W\d_])(?:(?i:left|right|[lr]h?)(?![^\W\d_])|(?:[Ll]eft|[Rr]ight)(?=[A-Z]))"
    r"|(?<=[a-z])(?:Left|Right)(?![a-z])"
)


def names_a_side(schema):
    """Return whether a condition, or a category of one, names left or right: bool."""
    words = [
        word
        for column in schema.columns
        for word in (column.name, *map(str, column.categories or ()))
    ]
    return any(_SIDE.search(word) for word in words)


def labels_name_a_side(labels):
    """Return whether the name of a label (of `Labels`, or None) is of a side: bool."""
    return any(_SIDE.search(name) for name in (labels.names if labels else ()))
