"""Who trains and who validates."""

from collections import Counter

import numpy as np
import pytest

from dipy_synth.data.split import split_subjects
from dipy_synth.errors import InputError

ROWS = {f"{i:03d}": {"age": str(20 + i % 60), "sex": "MF"[i % 2]} for i in range(200)}


def validation(split):
    return {subject for subject, side in split.items() if side == "validation"}


def test_the_fraction_is_kept_and_the_seed_decides():
    split = split_subjects(ROWS, validation_fraction=0.15)
    assert set(split) == set(ROWS) and len(validation(split)) == 30
    assert split == split_subjects(
        dict(reversed(ROWS.items())), validation_fraction=0.15
    )
    assert split != split_subjects(ROWS, validation_fraction=0.15, seed=1)


def test_strata_are_shared_alike():
    split = split_subjects(ROWS, stratify=["sex", "age"])
    chosen = validation(split)
    assert len(chosen) == 40
    edges = np.quantile([float(row["age"]) for row in ROWS.values()], [0.25, 0.5, 0.75])

    def strata(subjects):
        rows = [ROWS[s] for s in subjects]
        levels = [int(np.searchsorted(edges, float(row["age"]))) for row in rows]
        return Counter(zip((row["sex"] for row in rows), levels))

    everyone, found = strata(ROWS), strata(chosen)
    assert len(everyone) == 8
    for stratum, count in everyone.items():
        assert abs(found[stratum] - 0.2 * count) <= 1


def test_who_is_divided_stays_when_others_come():
    few = {s: ROWS[s] for s in list(ROWS)[::3]}
    before = split_subjects(few, stratify=["sex"])
    after = split_subjects(ROWS, stratify=["sex"], fixed=before)
    assert {s: after[s] for s in few} == before
    assert len(validation(after)) == 40


def test_missing_values_are_a_stratum_of_their_own():
    rows = {**ROWS, "x": {"age": None, "sex": None}, "y": {}}
    assert set(split_subjects(rows, stratify=["age", "sex"])) == set(rows)


@pytest.mark.parametrize("count, expected", [(1, 0), (2, 1), (3, 1), (10, 2)])
def test_small_cohorts(count, expected):
    rows = {str(i): {} for i in range(count)}
    assert len(validation(split_subjects(rows))) == expected
    assert not validation(split_subjects(rows, validation_fraction=0))


def test_nonsense_is_refused():
    with pytest.raises(InputError, match="validation_fraction 1"):
        split_subjects(ROWS, validation_fraction=1)
    for seed in (None, -1, 0.5, "7"):
        with pytest.raises(InputError, match=f"seed {seed}: expected an integer"):
            split_subjects(ROWS, seed=seed)
    with pytest.raises(InputError, match="'iq'.* age, sex"):
        split_subjects(ROWS, stratify=["iq"])
