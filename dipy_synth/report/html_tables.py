"""Tables of a page: how a cohort was prepared, and who is in it."""

from html import escape

import numpy as np

from dipy_synth.data.cohort import SPLITS

MOST = 8  # values of a column that are counted one by one


def html_table(title, rows, *, level=2):
    """Write a table under a heading.

    Parameters
    ----------
    title : str
        The heading.
    rows : list of dict
        Each from a column's name to its text; all with the same names.
    level : int, optional
        Of the heading.

    Returns
    -------
    str
    """
    head = "".join(f"<th>{escape(str(name))}</th>" for name in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(v))}</td>" for v in row.values()) + "</tr>"
        for row in rows
    )
    return (
        f"<h{level}>{escape(title)}</h{level}>"
        f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'
    )


def facts_table(cohort, told):
    """Write how a cohort was prepared.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    told : dict
        Its dataset_description.json.

    Returns
    -------
    str
        A table.
    """
    done = told["DipySynth"].get("Preprocessing", {})
    steps = {k: v for k, v in done.items() if k != "grid"}
    center = ", ".join(f"{value:g}" for value in cohort.grid.center)
    extent = " × ".join(f"{value:g}" for value in cohort.grid.extent)
    facts = {
        **{name.capitalize(): _written(value) for name, value in steps.items()},
        "Field of view": f"{extent} mm, centred on {center} mm",
        "Licence": told.get("License"),
    }
    return (
        "<table>"
        + "".join(
            f"<tr><th>{escape(str(name))}</th><td>{escape(str(value))}</td></tr>"
            for name, value in facts.items()
            if value is not None
        )
        + "</table>"
    )


def _written(value):
    """Write an option as a reader would."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in value)
    return value


def describe_columns(rows, split):
    """Describe a table's columns on either side of a split.

    Parameters
    ----------
    rows : sequence of dict, (n,)
        Column name to str or None, one dict a volume.
    split : sequence of str, (n,)
        "train" or "validation".

    Returns
    -------
    list of dict
        One dict a column: mean and range of numbers, counts of categories. Columns
        with too many different words to count (names, say) are left out.
    """
    described = []
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        describe = _describe_numbers(values) or _describe_words(values)
        if describe is None:
            continue
        sides = {"all": np.ones(len(rows), bool)}
        sides |= {side: np.array(split) == side for side in SPLITS}
        texts = {
            side: describe([v for v, here in zip(values, where) if here])
            for side, where in sides.items()
        }
        described.append({"": name, **texts})
    return described


def _describe_numbers(values):
    """Give a function that describes numbers; None if the values are not numbers."""
    try:
        known = [float(value) for value in values if value is not None]
    except ValueError:
        return None
    return _numbers if known else None


def _numbers(values):
    known = np.array([float(value) for value in values if value is not None])
    if not known.size:
        return "n/a"
    text = f"mean {known.mean():.1f}, {known.min():.1f} to {known.max():.1f}"
    return text + _unknown(len(values) - known.size)


def _describe_words(values):
    """Give a function that counts words; None if they are too many."""
    words = sorted({value for value in values if value is not None})
    if not 0 < len(words) <= MOST:
        return None

    def describe(values):
        counts = ", ".join(f"{word} {values.count(word)}" for word in words)
        return counts + _unknown(values.count(None))

    return describe


def _unknown(n):
    return f", {n} unknown" if n else ""
