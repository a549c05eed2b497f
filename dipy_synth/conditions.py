"""Condition schema: encode columns of a table as model inputs, and check requests.

A model stores the schema of its training. So requests are encoded as the training table
was; unknown categories are refused, and numbers outside the training range warned of.
"""

from dataclasses import asdict, dataclass
import re
import warnings

import numpy as np

from dipy_synth.errors import InputError
from dipy_synth.utils.cells import is_age, is_bound, is_sex
from dipy_synth.utils.column import Column


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

    def columns_of(self, names):
        """Find the columns of a table that hold the conditions.

        Parameters
        ----------
        names : sequence of str
            Names of columns.

        Returns
        -------
        dict
            Column to condition: the same name, that in another case, or else another
            name of ages or sexes, such as ``Age (years)``.

        Raises
        ------
        InputError
            If several columns may be one condition.
        """
        found = {}
        for name in self.names:
            alike = [each for each in names if each == name]
            alike = alike or [n for n in names if n.casefold() == name.casefold()]
            alike = alike or [
                each
                for each in names
                if any(kind(each) and kind(name) for kind in (is_age, is_sex))
            ]
            if len(alike) > 1:
                raise InputError(
                    f"{', '.join(alike)} may each be the condition {name}; expected one"
                )
            found |= dict.fromkeys(alike, name)
        return found

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
            self._check_exact(name, [value])
        return {name: self._column(name).typed(value) for name, value in settings}

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
            column = self._column(name)
            values = column.split(value)
            self._check_exact(name, values)
            meant = [column.encode(each) for each in values]
            if "" in values or len({*map(str, meant)}) < len(values):
                raise InputError(f"condition {name}={value}: expected different values")
            sweep[name] = [*map(column.typed, values)]
        return sweep

    def _check_exact(self, name, values):
        """Refuse bounds such as ``>89``, which a table may have, in a request."""
        for value in values:
            if self._column(name).kind == "number" and is_bound(value):
                raise InputError(
                    f"condition {name}={value}: expected an exact number, not a bound"
                )

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
        try:
            return cls(Column(**column) for column in config["columns"])
        except (LookupError, TypeError) as error:
            raise InputError(
                f"conditions {config!r}: expected columns, each with the arguments of "
                f"Column ({error})"
            ) from error
