"""Request of a synthetic cohort: seed, conditions and settings of the sampler."""

from dataclasses import dataclass, field, replace
from itertools import product
import logging
import math
from pathlib import Path

import numpy as np

from dipy_synth.data.columns import describe_table, read_columns
from dipy_synth.diffusion.noise import MOST_SAMPLES
from dipy_synth.diffusion.sampling_settings import SamplingSettings
from dipy_synth.errors import InputError
from dipy_synth.utils.cells import is_missing
from dipy_synth.utils.random import check_seed

_WIDE = 10  # least range in which whole units are precise enough
logger = logging.getLogger("dipy")


@dataclass(frozen=True)
class Request:
    """Request of a synthetic cohort; equal requests yield equal volumes.

    A cohort consists of samples, each with its own noise. A sample is one volume, or
    with a sweep one volume per value, all from the same noise.

    Attributes
    ----------
    seed : int
        Seed of the noise.
    conditions : dict
        Conditions of every volume, such as ``{"age": 70, "sex": "F"}``.
    participants : sequence of dict
        A cohort to match, of `read_matched_participants`: sample i has the conditions
        of row i, besides `conditions`.
    sweep : dict
        Values to vary, such as ``{"age": [20, 55, 90]}``; every combination when
        there are several columns.
    sampling : SamplingSettings
        Settings of the sampler.

    Raises
    ------
    InputError
        If a condition is given twice, a sweep has no value, or the seed is no integer
        of 0 or more.
    """

    seed: int = 0
    conditions: dict = field(default_factory=dict)
    participants: tuple = ()
    sweep: dict = field(default_factory=dict)
    sampling: SamplingSettings = SamplingSettings()

    def __post_init__(self):
        check_seed(self.seed)
        plain = {
            "conditions": _plain(self.conditions),
            "participants": tuple(_plain(row) for row in self.participants),
            "sweep": {n: [*map(_plain_value, v)] for n, v in self.sweep.items()},
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        table = {name for row in self.participants for name in row}
        names = [*self.conditions, *(table - {"participant_id"}), *self.sweep]
        for name in names:
            if names.count(name) > 1:
                raise InputError(
                    f"condition {name}: given twice; expected one of conditions, "
                    "participants and sweep"
                )
        if not all(self.sweep.values()):
            raise InputError(f"sweep {self.sweep}: expected a value or more")

    def completed(self, defaults):
        """Complete the settings of the sampler by a model's defaults (dict)."""
        return replace(self, sampling=self.sampling.completed(defaults))

    def count(self, n=None):
        """Count the volumes.

        Parameters
        ----------
        n : int, optional
            Number of samples; by default that of the participants, or one.

        Returns
        -------
        int

        Raises
        ------
        InputError
            If `n` is below 1, is not the number of participants, or there are more than
            `MOST_SAMPLES`.
        """
        there = len(self.participants)
        n = (there or 1) if n is None else n
        if n < 1:
            raise InputError(f"n_samples {n}: expected at least 1")
        if there and n != there:
            raise InputError(
                f"n_samples {n}: the cohort to match has {there} rows; expected as "
                "many, or no n_samples"
            )
        total = n * math.prod(map(len, self.sweep.values()))
        if total > MOST_SAMPLES:
            raise InputError(
                f"n_samples {n}: a cohort of {total}, expected {MOST_SAMPLES} or fewer"
            )
        return total

    def sample(self, number):
        """Return the request of one volume, for its sidecar.

        Parameters
        ----------
        number : int
            Number of the volume in the cohort, from 0.

        Returns
        -------
        dict
            ``SampleNumber``, which defines its noise, ``Conditions``, and ``MatchedId``
            for a participant with a known id.
        """
        variants = self.variants()
        sample, place = divmod(number, len(variants))
        row = dict(self.participants[sample]) if self.participants else {}
        known = "participant_id" in row
        matched = {"MatchedId": row.pop("participant_id")} if known else {}
        conditions = {**self.conditions, **row, **variants[place]}
        return {"SampleNumber": sample, "Conditions": conditions, **matched}

    def variants(self):
        """Return the combinations of the sweep's values: list of dict."""
        return [dict(zip(self.sweep, v)) for v in product(*self.sweep.values())]

    def to_config(self):
        """Return the request as in sidecars: CamelCase keys, JSON values."""
        content = {
            "seed": self.seed,
            "conditions": self.conditions,
            "participants": [dict(row) for row in self.participants],
            "sweep": {name: list(values) for name, values in self.sweep.items()},
            **self.sampling.to_config(),
        }
        return {
            "".join(word.capitalize() for word in name.split("_")): value
            for name, value in content.items()
        }


def _plain(row):
    return {name: _plain_value(value) for name, value in row.items()}


def _plain_value(value):
    """Convert a value to a JSON type; None where missing."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if is_missing(value) else value


def read_matched_participants(path, schema, *, keep_ids=False):
    """Read a cohort to match from a table.

    Parameters
    ----------
    path : str or Path
        A table, one row per subject, such as a ``participants.tsv``, see
        `dipy_synth.utils.tables.read_table`. Ages become years, sexes F and M.
    schema : ConditionSchema
        The model's conditions. Other columns are ignored, and logged.
    keep_ids : bool, optional
        Keep ``participant_id`` and exact numbers. By default there are no ids, and
        numbers such as ages are rounded to whole units, since both are written beside
        the synthetic brains.

    Returns
    -------
    list of dict
        The conditions of each row, with `keep_ids` and its ``participant_id`` (None
        where the table has none); None where a value is missing, which drops it.

    Raises
    ------
    InputError
        If the table has no row or no condition, or a value that is not valid.
    """
    rows, notes = read_columns(Path(path))
    rows = _by_condition(rows, schema, path)
    if not rows:
        raise InputError(f"{path}: no row (expected one per subject)")
    used = [name for name in schema.names if name in rows[0]]
    if not used:
        there = ", ".join(schema.names) or "none, the model is unconditional"
        raise InputError(
            f"{path}: columns {', '.join(rows[0])}; expected a condition of the model: "
            f"{there}"
        )
    for note in notes:
        logger.warning(f"{path}: {note}")
    others = [name for name in rows[0] if name not in (*used, "participant_id")]
    if others:
        logger.info(f"{path}: ignored, no conditions: {', '.join(others)}")
    absent = [name for name in schema.names if name not in used]
    if absent:
        logger.info(f"{path}: no column, so dropped: {', '.join(absent)}")
    for number, row in enumerate(rows, start=1):
        try:
            schema.encode([row])
        except InputError as error:
            raise InputError(f"{path}, row {number}: {error}") from error
    logger.info(f"{path}: {describe_table([{n: r[n] for n in used} for r in rows])}")
    columns = [column for column in schema.columns if column.name in used]
    if not keep_ids:
        return [{c.name: _rounded(row.get(c.name), c) for c in columns} for row in rows]
    ids = [row.get("participant_id") for row in rows]
    typed = [{c.name: c.typed(row.get(c.name)) for c in columns} for row in rows]
    return [{"participant_id": name, **row} for name, row in zip(ids, typed)]


def _by_condition(rows, schema, path):
    """Name columns as the conditions that they are: in another case, or Age (years)."""
    try:
        names = schema.columns_of([*rows[0]] if rows else [])
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    for column, name in names.items():
        if column != name:
            logger.info(f"{path}: {column} is read as the condition {name}")
    return [{names.get(k, k): value for k, value in row.items()} for row in rows]


def _rounded(value, column):
    """Round a number of a wide range, such as an age, to a whole one."""
    value = column.typed(value)
    if isinstance(value, str | None) or column.high - column.low < _WIDE:
        return value
    return round(value)
