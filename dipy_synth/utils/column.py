"""One condition: a column of a table, fitted, and encoded as a model's input."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from itertools import count
import math

import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.utils.cells import (
    as_number,
    column_number,
    column_word,
    is_age,
    is_missing,
    is_sex,
)

KINDS = ("number", "category")
MOST_VALUES = 1000  # of a range in a sweep; each is a volume


@dataclass(frozen=True)
class Column:
    """One condition.

    Parameters
    ----------
    name : str
        The column of the table, for instance ``age``.
    kind : {"number", "category"}, optional
        Numeric or categorical.
    low, high : float, optional
        Range of a number in the training table, in its unit; `fit` rounds it outwards
        to whole units, or, where it is below 4, to multiples of the largest of 0.5,
        0.2, 0.1, 0.05, ... that is at most a quarter of it. So 3.3 to 4.9 becomes 3.2
        to 5. What is such a multiple stays: of whole ages the least and the largest.
    categories : tuple of str, optional
        The categories, in the order of their indices.

    Raises
    ------
    InputError
        If the range or the categories do not fit the kind.
    """

    name: str
    kind: str = "number"
    low: float = 0.0
    high: float = 1.0
    categories: tuple[str, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "categories", tuple(self.categories))
        if self.kind not in KINDS:
            raise InputError(
                f"condition {self.name}: kind {self.kind!r}, not in {KINDS}"
            )
        if self.kind == "category" and not self.categories:
            raise InputError(f"condition {self.name}: a category needs categories")
        if len(set(self.categories)) < len(self.categories):
            raise InputError(f"condition {self.name}: a category is there twice")
        if not -math.inf < self.low <= self.high < math.inf:
            raise InputError(
                f"condition {self.name}: low {self.low}, high {self.high}; expected a "
                "finite range"
            )

    @classmethod
    def fit(cls, name, values, *, category=False):
        """Fit a column to its values, str, float or None where missing.

        It is numeric where all known ones are numbers, unless they are categories
        (`category`) that look like numbers.
        """
        known = [value for value in values if not is_missing(value)]
        if not known:
            raise InputError(f"condition {name}: no value is known")
        numbers = [column_number(name, value) for value in known]
        words = sorted({str(v) for v, n in zip(known, numbers) if n is None})
        if is_age(name) and (wrong := [v for v in words if as_number(v) is not None]):
            raise InputError(
                f"condition {name}: {', '.join(wrong[:3])} cannot be an age in years; "
                "expected 0 to 120 (n/a where missing)"
            )
        if not category and words and any(n is not None for n in numbers):
            raise InputError(
                f"condition {name}: numbers and {', '.join(words[:3])}; expected "
                "numbers alone (n/a where missing), or names alone"
            )
        if category or words:
            names = {column_word(name, value) for value in known}
            return cls(name, "category", categories=sorted(names))
        low, high = _rounded_range(min(numbers), max(numbers))
        return cls(name, "number", low=low, high=high)

    def encode(self, value):
        """Encode a value as a number: float.

        It is in [-1, 1] within the training range, the index of a category, or NaN when
        missing. A value that is no number, or no category of the training, is an
        InputError.
        """
        if is_missing(value):
            return math.nan
        if self.kind == "category":
            return self._index(str(value))
        number = self._number(value)
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        return (number - middle) / (half or 1.0)

    def decode(self, values):
        """Decode numbers (n,) of `encode`: float64 in their unit, or a list of str."""
        if self.kind == "category":
            return [self.categories[int(index)] for index in values]
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        return middle + np.asarray(values, "float64") * (half or 1.0)

    def typed(self, value):
        """Return a value in JSON's own types: number, category, None where missing."""
        if is_missing(value):
            return None
        if self.kind == "category":
            return self.categories[int(self._index(str(value)))]
        number = float(self._number(value))
        return int(number) if number.is_integer() else number

    def outside(self, values):
        """Return the numbers outside the training range: sorted list."""
        if self.kind == "category":
            return []
        numbers = {self._number(value) for value in values if not is_missing(value)}
        return sorted(x for x in numbers if not self.low <= x <= self.high)

    def _number(self, value):
        """Return a value as a number; in a column of sexes, as a code."""
        number = column_number(self.name, value)
        number = as_number(value) if is_sex(self.name) else number
        if number is None:
            possible = " of years, 0 to 120" * is_age(self.name)
            raise InputError(
                f"condition {self.name}={value}: expected a number{possible}"
            )
        return number

    def _index(self, value):
        """Return the index of a category, in any case or synonym."""
        word = column_word(self.name, value)
        for name in (value, word):
            if name in self.categories:
                return float(self.categories.index(name))
        names = [column_word(self.name, c).casefold() for c in self.categories]
        if names.count(word.casefold()) != 1:
            raise InputError(
                f"condition {self.name}={value}: expected one of "
                f"{', '.join(self.categories)}"
            )
        return float(names.index(word.casefold()))

    def split(self, text):
        """Split the values of a sweep: list of str.

        They are ``first:last:count`` or ``value,value``; categories may contain commas
        and colons.
        """
        if self.kind == "number":
            return _range(self.name, text) if ":" in text else text.split(",")
        values, parts = [], text.split(",")
        while parts:
            # the longest run of parts that is a category, or else one part
            runs = [",".join(parts[:n]) for n in range(len(parts), 0, -1)]
            value = next((run for run in runs if run in self.categories), parts[0])
            values.append(value)
            parts = parts[value.count(",") + 1 :]
        return values


def _rounded_range(low, high):
    """Round a range outwards, see `Column`; that of one value, everyone's, stays."""
    # 3.3 / 0.1 is below 33 in binary numbers
    first, last = Decimal(str(low)), Decimal(str(high))
    if last <= first:
        return low, high
    units = (Decimal(n).scaleb(-k) for k in count(1) for n in (10, 5, 2))
    unit = next(unit for unit in units if 4 * unit <= last - first)
    return (
        float((first / unit).to_integral_value(ROUND_FLOOR) * unit),
        float((last / unit).to_integral_value(ROUND_CEILING) * unit),
    )


def _range(name, text):
    """Read ``first:last:count``: list of str, equal steps from first to last."""
    numbers = [as_number(part) for part in text.split(":")]
    whole = len(numbers) == 3 and None not in numbers and numbers[2] % 1 == 0
    if not whole or not 2 <= numbers[2] <= MOST_VALUES:
        raise InputError(
            f"condition {name}={text}: expected first:last:count, such as 20:90:8, "
            f"with a count of 2 to {MOST_VALUES}"
        )
    first, last, count = numbers
    return [f"{number:g}" for number in np.linspace(first, last, int(count))]
