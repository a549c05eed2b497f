"""Cells: missing, numbers, ages and sexes, as people write them."""

import math

import numpy as np
import pytest

from dipy_synth.utils.cells import (
    as_age,
    as_number,
    column_number,
    column_word,
    is_bound,
    is_missing,
)


@pytest.mark.parametrize(
    ("value", "missing"),
    [(None, 1), (math.nan, 1), (" NaN ", 1), ("Unknown", 1), ("none", 0), (0, 0)]
    + [
        ("unk", 1),
        ("#REF!", 1),
        ("n.d.", 1),
        ("N.A", 1),
        ("not reported", 1),
        ("no", 0),
    ],
)
def test_missing(value, missing):
    assert is_missing(value) == bool(missing)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("25.5", 25.5),
        (" 25,5 ", 25.5),
        ("-0,5", -0.5),
        ("\u22123", -3.0),
        ("1e3", 1000.0),
        (np.float32(2), 2.0),
        ("1,234", None),
        ("0,125", 0.125),
        ("1_000", None),
        ("inf", None),
        ("0x10", None),
        ("25Y", None),
        (None, None),
    ],
)
def test_numbers(value, number):
    assert as_number(value) == number


@pytest.mark.parametrize(
    ("value", "age"),
    [
        ("25", 25),
        ("25,5", 25.5),
        ("25Y", 25),
        ("025Y", 25),
        ("018M", 1.5),
        ("26 weeks", 0.498),
        ("25 years old", 25),
        ("25 y.o.", 25),
        ("P45Y", 45),
        ("P45Y6M", 45.5),
        ("P18M", 1.5),
        ("P1Y2WT12H", 1.038),
        ("PT5H", None),
        ("P45", None),
        (">89", 89),
        ("89+", 89),
        ("\u2265 90", 90),
        ("0", 0),
        (120, 120),
        (999, None),
        ("-1", None),
        ("-9", None),
        ("9999", None),
        ("20-25", None),
        ("thirty", None),
        ("1,234", None),
        ("25 mm", None),
    ],
)
def test_ages_in_years(value, age):
    assert as_age(value) == age


def test_bounds_are_known_as_such():
    assert is_bound(">89") and is_bound("89+")
    assert not is_bound("89") and not is_bound(89) and not is_bound("x")


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("F", "F"),
        ("female ", "F"),
        ("Woman", "F"),
        ("MALE", "M"),
        ("f.", "F"),
        ("0", "0"),
        ("1.0", "1"),
        (1, "1"),
        ("other", "other"),
    ],
)
def test_sexes(value, word):
    assert column_word("Sex", value) == word
    assert column_number("sex", value) is None


def test_other_columns_keep_their_words():
    assert column_word("group", " f ") == "f"
    assert column_number("group", "999") == 999
    assert column_number("age", "999") is None
