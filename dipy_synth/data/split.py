"""Training and validation, divided by subject."""

import hashlib

import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.utils.random import check_seed

SPLITS = ("train", "validation")
#: Held-out brains that an evaluation needs, for acceptance ranges.
LEAST_HELD_OUT = 8
#: Training subjects below which the mean of their latents nearly is each of them.
LEAST_TRAINED_ON = 8


def on_side(sides, split=None):
    """Return the mask of what is on one side of a split (all by default): bool, (n,).

    `sides` are "train" or "validation" of each volume or subject, ndarray (n,).
    """
    if split is None:
        return np.ones(len(sides), dtype=bool)
    if split not in SPLITS:
        raise InputError(f"split {split!r}: expected train or validation")
    return sides == split


def few_held_out(sides):
    """Describe that too few brains are held out for an evaluation; "" if enough are.

    `sides` are "train" or "validation" of each volume or subject.
    """
    sides = list(sides)
    count = sides.count("validation")
    if count >= LEAST_HELD_OUT:
        return ""
    return (
        f"{count} of {len(sides)} are held out from training (validation): "
        f"dipy_evaluate_mri needs {LEAST_HELD_OUT}, a fifth of {5 * LEAST_HELD_OUT} "
        "subjects, or a larger --validation_fraction of dipy_preprocess_t1"
    )


def few_trained_on(subjects):
    """Return a warning if so few subjects show in a model trained on them, or ""."""
    if subjects >= LEAST_TRAINED_ON:
        return ""
    return (
        f"{subjects} training subject{'s' * (subjects != 1)}: the means and variances "
        "in the model nearly are their brains; do not share it where the scans may not "
        f"be shared (expected {LEAST_TRAINED_ON} subjects or more, better dozens)"
    )


def split_subjects(rows, *, validation_fraction=0.2, seed=0, stratify=(), fixed=None):
    """Divide subjects into training and validation.

    Within each stratum subjects are ordered by a hash of seed and subject, so that the
    order does not depend on the other subjects; every k-th subject is assigned to
    validation. All sessions of a subject are on one side.

    Parameters
    ----------
    rows : dict
        Subject label to its covariates (dict of column name to str or None).
    validation_fraction : float, optional
        Fraction of the subjects for validation, in [0, 1).
    seed : int, optional
        Random seed of the split.
    stratify : sequence of str, optional
        Columns to stratify by: categories as they are, numbers by their quartile.
    fixed : dict, optional
        Subjects that are assigned already: label to "train" or "validation".

    Returns
    -------
    dict
        Subject label to "train" or "validation", those of `fixed` included.

    Raises
    ------
    InputError
        If the fraction is outside [0, 1), the seed is none, or no subject has a column
        of `stratify`.
    """
    if not 0 <= validation_fraction < 1:
        raise InputError(
            f"validation_fraction {validation_fraction}: expected 0 or more, below 1"
        )
    check_seed(seed)
    split = dict(fixed or {})
    strata = [_levels(rows, column) for column in stratify]
    new = sorted(
        (subject for subject in rows if subject not in split),
        key=lambda subject: ([s[subject] for s in strata], _hash(seed, subject)),
    )
    total = len(new) + len(split)
    number = round(validation_fraction * total)
    if validation_fraction > 0 and total > 1:
        number = max(number, 1)
    number -= sum(side == "validation" for side in split.values())
    number = min(max(number, 0), len(new))
    chosen = {int((index + 0.5) * len(new) / number) for index in range(number)}
    for index, subject in enumerate(new):
        split[subject] = "validation" if index in chosen else "train"
    return split


def _hash(seed, subject):
    return hashlib.sha256(f"{seed}/{subject}".encode()).hexdigest()


def _levels(rows, column):
    """Return the stratum of each subject: its value, or the quartile of a number."""
    values = {subject: row.get(column) for subject, row in rows.items()}
    known = {value for value in values.values() if value is not None}
    if not known:
        there = sorted({name for row in rows.values() for name in row})
        raise InputError(
            f"stratify by {column!r}: no subject has it; there are {', '.join(there)}"
        )
    try:
        numbers = {value: float(value) for value in known}
    except ValueError:
        return {subject: str(value) for subject, value in values.items()}
    known = [float(value) for value in values.values() if value is not None]
    edges = np.quantile(known, [0.25, 0.5, 0.75])
    return {
        subject: "" if value is None else str(np.searchsorted(edges, numbers[value]))
        for subject, value in values.items()
    }
