"""Interpretation of table cells: missing values, numbers, ages and sexes.

The same rules are used for every table and request: participants of a study, of a
prepared cohort, and of a cohort to match.
"""

import math
import re

MISSING = frozenset(
    "n/a na nan nil null unknown unk missing n.a. n.a n.d. n/d n/k <na> "
    "#n/a #value! #ref! #div/0! #num! #name? #null! "
    "undisclosed unspecified - -- . ? ??".split()
    + [
        f"not {word}"
        for word in (
            *("available", "known", "applicable", "reported", "recorded"),
            *("determined", "stated"),
        )
    ]
    + [""]
)
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
# 1,234 may be a thousand or a little more than 1: it is not a number.
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
AGE = re.compile(
    r"(?P<bound>[<>]=?|[≤≥])?\s*(?P<number>\d+(?:[.,]\d+)?)\s*(?P<plus>\+)?\s*"
    r"(?P<unit>[a-z]+(?:\.\s?[a-z])?)?\.?(?:\s*old)?"
)
# A duration of ISO 8601, such as P45Y6M, the form of the age in many databases.
DURATION = re.compile(
    r"p(?=\d)"
    + "".join(rf"(?:(\d+(?:[.,]\d+)?){unit})?" for unit in "ymwd")
    + r"(?:t.*)?"
)
# DICOM's age string (nnnD, nnnW, nnnM, nnnY) and the usual words; in years.
UNITS = {
    **dict.fromkeys("y yr yrs year years yo y.o yearsold".split(), 1.0),
    **dict.fromkeys("m mo mos month months".split(), 1 / 12),
    **dict.fromkeys("w wk wks week weeks".split(), 7 / 365.25),
    **dict.fromkeys("d day days".split(), 1 / 365.25),
}
OLDEST = 120.0  # years
SEXES = {
    **dict.fromkeys("f female woman women girl w".split(), "F"),
    **dict.fromkeys("m male man men boy".split(), "M"),
}
# Names of columns, without blanks and signs: Age (years), age_at_scan; Sex (M/F).
AGE_NAME = re.compile(r"age(in)?(y|yrs?|years?)?|ageat(?!.*(month|week|day)s?$).+")
SEX_NAME = re.compile(r"(biological)?(sex|gender)(atbirth|mf|fm)?|mf")


def is_missing(value):
    """Return whether a value is missing, such as None, NaN, "n/a", "unknown": bool."""
    if isinstance(value, str):
        return clean(value).casefold() in MISSING
    return value is None or value != value


def clean(text):
    """Return a text without blanks and invisible characters at its ends."""
    return text.strip().strip("\ufeff\u200b\u200e\u200f\u2060").strip()


def as_number(value):
    """Return a value as a finite float, or None when it is not a number.

    A comma may stand for the decimal point (``25,5``), but not where it could part
    thousands (``1,234``).
    """
    if isinstance(value, str):
        value = clean(value).replace("\u2212", "-")
        if DECIMAL_COMMA.fullmatch(value) and not THOUSANDS.fullmatch(value):
            value = value.replace(",", ".")
        if not NUMBER.fullmatch(value):
            return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def as_age(value):
    """Return an age in years, in [0, 120], or None when it is not a possible age.

    It may have a unit (``25Y``, ``018M``, ``25 years``), be a duration (``P25Y6M``), or
    a bound (``>89``, ``89+``), which stands for its number. Codes for missing, such as
    999 and -1, lie outside.
    """
    number = as_number(value)
    if number is None and isinstance(value, str):
        number = _years_of(clean(value).casefold())
    return number if number is not None and 0 <= number <= OLDEST else None


def _years_of(text):
    """Return an age with a unit, or a duration, in years, or None."""
    if found := DURATION.fullmatch(text):
        parts = zip(found.groups(), "ymwd")
        return round(sum(as_number(n) * UNITS[unit] for n, unit in parts if n), 3)
    found = AGE.fullmatch(text)
    unit = UNITS.get((found["unit"] or "y").replace(" ", "")) if found else None
    number = as_number(found["number"]) if unit else None
    return None if number is None else round(number * unit, 3)


def is_bound(value):
    """Return whether an age is a bound such as ``>89`` or ``89+``, not exact."""
    found = AGE.fullmatch(clean(value).casefold()) if isinstance(value, str) else None
    return bool(found and (found["bound"] or found["plus"]))


def is_age(name):
    """Return whether a column holds ages in years, by its name."""
    return AGE_NAME.fullmatch(_letters(name)) is not None


def is_sex(name):
    """Return whether a column holds sexes, by its name."""
    return SEX_NAME.fullmatch(_letters(name)) is not None


def _letters(name):
    return re.sub(r"[\W_]", "", name).casefold()


def column_number(name, value):
    """Return a value as a number, in the unit of its column (years of age), or None.

    A column of sexes has no numbers: 0 and 1 are codes there.
    """
    if is_sex(name):
        return None
    return as_age(value) if is_age(name) else as_number(value)


def column_word(name, value):
    """Return a value that is not missing as a category of its column: str.

    In a column of sexes, ``female``, ``f`` and the like are ``F``, and ``male`` is
    ``M``; codes stay as they are.
    """
    word = clean(str(value))
    if not is_sex(name):
        return word
    number = as_number(value)
    if number is not None:
        return f"{number:g}"
    return SEXES.get(word.casefold().removesuffix("."), word)
