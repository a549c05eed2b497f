"""Tables of a page: preprocessing and covariates of a cohort."""

from html import escape

import numpy as np

from dipy_synth.data.cohort import SPLITS

MOST = 8  # largest number of different values that are counted


def html_table(title, rows, *, level=2):
    """Format a table with a heading.

    Parameters
    ----------
    title : str
        The heading.
    rows : list of dict
        Column name to text; all with the same names.
    level : int, optional
        Level of the heading.

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


def facts_table(cohort, description):
    """Format the preprocessing of a cohort as a table.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    description : dict
        Its dataset_description.json.

    Returns
    -------
    str
        A table.
    """
    done = description["DipySynth"].get("Preprocessing", {})
    steps = {k: v for k, v in done.items() if k != "grid"}
    center = ", ".join(f"{value:g}" for value in cohort.grid.center)
    extent = " × ".join(f"{value:g}" for value in cohort.grid.extent)
    facts = {
        **{name.capitalize(): _written(value) for name, value in steps.items()},
        "Field of view": f"{extent} mm, centred on {center} mm",
        "Licence": description.get("License"),
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
    """Format an option."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in value)
    return value


def describe_columns(rows, split):
    """Summarise a table's columns on either side of a split.

    Parameters
    ----------
    rows : sequence of dict, (n,)
        Column name to str or None, one dict per volume.
    split : sequence of str, (n,)
        "train" or "validation".

    Returns
    -------
    list of dict
        One dict per column: mean and range of numbers, counts of categories. Columns
        with many different words, such as names, are left out.
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
    """Return a function that summarises numbers; None if the values are not numbers."""
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
    """Return a function that counts words; None if they are too many."""
    words = sorted({value for value in values if value is not None})
    if not 0 < len(words) <= MOST:
        return None

    def describe(values):
        counts = ", ".join(f"{word} {values.count(word)}" for word in words)
        return counts + _unknown(values.count(None))

    return describe


def _unknown(n):
    return f", {n} unknown" if n else ""
