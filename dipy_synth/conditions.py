"""Condition schema: encode columns of a table as model inputs, and check requests.

A model stores the schema of its training. So requests are encoded as the training table
was; unknown categories are refused, and numbers outside the training range warned of.
"""

from dataclasses import asdict, dataclass
import math
import re
import warnings

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
        to whole units, or to a twentieth of a range below 20, so that a model holds no
        exact age.
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
        """Fit a column to its values.

        Parameters
        ----------
        name : str
            The column's name.
        values : list of (str, float or None)
            Its values; None is missing. Where all known ones are numbers, the column is
            numeric.
        category : bool, optional
            The values are categories, even where they look like numbers.

        Returns
        -------
        Column
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
        """Encode a value as a number.

        Parameters
        ----------
        value : str, float or None
            The value.

        Returns
        -------
        float
            A number, in [-1, 1] within the training range, the index of a category, or
            NaN when missing.

        Raises
        ------
        InputError
            If the value is no number, or no category of the training.
        """
        if is_missing(value):
            return math.nan
        if self.kind == "category":
            return self._index(str(value))
        number = self._number(value)
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        return (number - middle) / (half or 1.0)

    def decode(self, values):
        """Decode numbers of `encode` to values.

        Parameters
        ----------
        values : array_like of shape (n,)
            Scaled numbers, or indices of categories.

        Returns
        -------
        ndarray of shape (n,), float64, or list of str
            Numbers in their unit, or categories.
        """
        if self.kind == "category":
            return [self.categories[int(index)] for index in values]
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        return middle + np.asarray(values, "float64") * (half or 1.0)

    def typed(self, value):
        """Return a value in JSON's own types: number, str, or None where missing."""
        if is_missing(value):
            return None
        if self.kind == "category":
            return str(value)
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
        """Split the values of a sweep, ``first:last:count`` or ``value,value``.

        Parameters
        ----------
        text : str
            Text of the values; categories may contain commas and colons.

        Returns
        -------
        list of str
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
    """Round a range outwards, so that a model holds no exact value of a person."""
    span = high - low
    step = min(1.0, 10.0 ** math.floor(math.log10(span / 2))) if span > 0 else 1.0
    if span <= 0 and not float(low).is_integer():
        return low, high
    digits = max(0, -round(math.log10(step)))
    rounded = math.floor(low / step) * step, math.ceil(high / step) * step
    return tuple(round(value, digits) for value in rounded)


@dataclass(frozen=True)
class ConditionSchema:
    """The conditions of a model, in the order of its inputs.

    Parameters
    ----------
    columns : tuple of Column, optional
        The conditions; none for an unconditional model.
    """

    columns: tuple[Column, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "columns", tuple(self.columns))
        if len(set(self.names)) < len(self.columns):
            raise InputError(
                f"conditions {', '.join(self.names)}: a name is there twice"
            )

    @property
    def names(self):
        """Names of the columns: tuple of str."""
        return tuple(column.name for column in self.columns)

    @classmethod
    def fit(cls, rows, names, *, categories=()):
        """Fit the conditions to a table.

        Parameters
        ----------
        rows : list of dict
            The table, of `dipy_synth.utils.tables.read_table`.
        names : sequence of str
            The columns, in order.
        categories : sequence of str, optional
            Columns that are categorical, even where they look like numbers: a digit, a
            site.

        Returns
        -------
        ConditionSchema

        Raises
        ------
        InputError
            If a column is not in the table or has no value.
        """
        there = sorted({name for row in rows for name in row})
        for name in names:
            if name not in there:
                raise InputError(
                    f"no column {name!r}; expected one of {', '.join(there) or 'none'}"
                )
        return cls(
            Column.fit(n, [row.get(n) for row in rows], category=n in categories)
            for n in names
        )

    def encode(self, rows):
        """Encode rows as inputs of the network.

        Parameters
        ----------
        rows : list of dict
            One dict (column name to str, number or None) per volume. Other columns are
            ignored; a request is checked by `check`.

        Returns
        -------
        ndarray of shape (n, n_columns), float32
            Numbers with their training range scaled to [-1, 1], indices of
            categories, NaN for what is missing.
        """
        encoded = [[c.encode(row.get(c.name)) for c in self.columns] for row in rows]
        return np.array(encoded, dtype=np.float32).reshape(len(rows), len(self.columns))

    def check(self, rows):
        """Refuse invalid requests; warn of numbers outside the training range.

        Parameters
        ----------
        rows : list of dict
            One dict (column name to str, number or None) per volume.

        Raises
        ------
        InputError
            If a column or category is unknown, or a value is no number.

        Warns
        -----
        UserWarning
            Once per column, if numbers are outside the training range.
        """
        self._know({name for row in rows for name in row})
        self.encode(rows)
        for column in self.columns:
            outside = column.outside([row.get(column.name) for row in rows])
            if outside:
                shown = ", ".join(f"{number:g}" for number in outside[:5])
                warnings.warn(
                    f"condition {column.name}={shown}{'...' * (len(outside) > 5)} is "
                    f"outside the training range [{column.low:g}, {column.high:g}]",
                    stacklevel=3,
                )

    def _know(self, names):
        unknown = sorted(set(names) - set(self.names))
        if unknown:
            there = ", ".join(self.names) or "none, the model is unconditional"
            raise InputError(
                f"no condition {', '.join(unknown)}; expected one of {there}"
            )

    def parse(self, words):
        """Read a request such as ``["age=70", "sex=F"]`` or ``"age=70 sex=F"``.

        Parameters
        ----------
        words : str or list of str
            Settings, each ``name=value``. ``n/a`` drops the condition.

        Returns
        -------
        dict
            Column name to number, str or None.

        Raises
        ------
        InputError
            If a word is not ``name=value``, the schema has no such column or category,
            or a number has a comma: 30,40 may be two numbers, or one.
        """
        settings = self._settings(words).items()
        for name, value in settings:
            if self._column(name).kind == "number" and "," in value:
                raise InputError(
                    f"condition {name}={value}: expected one number, with a decimal "
                    f"point (dipy_synth_mri --sweep {name}={value} varies it)"
                )
        row = {name: self._column(name).typed(value) for name, value in settings}
        self.encode([row])
        return row

    def parse_sweep(self, words):
        """Read values to vary, such as ``["age=20:90:8"]`` or ``"sex=F,M"``.

        Parameters
        ----------
        words : str or list of str
            Settings, each ``name=first:last:count`` for numbers with equal steps, or
            ``name=value,value``.

        Returns
        -------
        dict
            Column name to list of numbers or of str.

        Raises
        ------
        InputError
            As `parse`, or if a range is not valid.
        """
        sweep = {}
        for name, value in self._settings(words).items():
            values = self._column(name).split(value)
            if "" in values or len(set(values)) < len(values):
                raise InputError(f"condition {name}={value}: expected different values")
            self.encode([{name: value} for value in values])
            sweep[name] = [*map(self._column(name).typed, values)]
        return sweep

    def _column(self, name):
        return self.columns[self.names.index(name)]

    def _settings(self, words):
        """Split words into names, of known conditions, and values: dict."""
        settings = {}
        if isinstance(words, str):  # blanks may be part of a category
            words = re.split(r"\s+(?=[^\s=]+=)", words.strip()) if words.strip() else []
        for word in words:
            name, sign, value = word.partition("=")
            if not sign or not name or not value:
                raise InputError(f"condition {word!r}: expected name=value")
            self._know([name])
            if name in settings:
                raise InputError(f"condition {name} is given twice")
            settings[name] = value
        return settings

    def to_config(self):
        """Return the schema as a dict of JSON types."""
        columns = [
            {**asdict(c), "categories": list(c.categories)} for c in self.columns
        ]
        return {"columns": columns}

    @classmethod
    def from_config(cls, config):
        """Build the schema from the dict of `to_config`."""
        return cls(Column(**column) for column in config["columns"])


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
