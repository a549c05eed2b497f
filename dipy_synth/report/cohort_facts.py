"""Facts about a prepared cohort: its preprocessing and its covariates."""

import numpy as np

from dipy_synth.data.split import SPLITS
from dipy_synth.report.rendering import by

MOST = 8  # largest number of different values that are counted


def preprocessing_facts(cohort, description):
    """Describe the preprocessing of a cohort: dict of option to its value, in words.

    `description` is its dataset_description.json.
    """
    done = description["DipySynth"].get("Preprocessing", {})
    steps = {name: value for name, value in done.items() if name != "grid"}
    center = ", ".join(f"{value:g}" for value in cohort.grid.center)
    facts = {
        **{name.capitalize(): _written(value) for name, value in steps.items()},
        "Field of view": f"{by(cohort.grid.extent)} mm, centred on {center} mm",
        "Licence": description.get("License"),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _written(value):
    """Format an option."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in value)
    return value


def summarize_columns(rows, split):
    """Summarise each column of a table on either side of a split: list of dict.

    Numbers have mean and range, categories counts. Columns with many different words,
    such as names, are left out.
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
        described.append({"Column": name, **texts})
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
