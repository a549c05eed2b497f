"""Table of IXI: ages and sexes, from the original spreadsheet or a text file."""

import csv
from functools import partial
from importlib.util import find_spec
import logging
import math

from dipy_synth.errors import InputError

SEXES = {1.0: "M", 2.0: "F"}

logger = logging.getLogger("dipy_synth")


def read_ixi_table(folder):
    """Read IXI's table beside the scans, or a folder above them.

    ``IXI.csv`` (commas) is preferred to ``IXI.tsv`` (tabs), and this to ``IXI.xls``,
    the spreadsheet of the archive. Return for each subject label age (str, years) and
    sex ("M", "F"), None where not known; an empty dict when there is no table. A table
    that lacks a column, or has words for numbers, is an InputError, and so is a
    spreadsheet without xlrd.
    """
    readers = {"IXI.csv": partial(_text, ","), "IXI.tsv": partial(_text, "\t")}
    readers["IXI.xls"] = _spreadsheet
    for place in (folder, folder.parent):
        for name, read in readers.items():
            if (place / name).is_file():
                return ages_and_sexes(read(place / name), place / name)
    return {}


def ages_and_sexes(rows, path):
    """Extract age and sex of each subject, as `read_ixi_table` returns them.

    Rows have IXI_ID, AGE, and a column that begins with SEX_ID: 1 male, 2 female. Where
    rows of a subject disagree, the value is None. An age of 0 means missing.
    """
    subjects = {}
    for row in rows:
        row = {str(name).strip().upper()[:6]: value for name, value in row.items()}
        try:
            number, age, sex = (_number(row[n]) for n in ("IXI_ID", "AGE", "SEX_ID"))
        except (KeyError, ValueError) as error:
            raise InputError(
                f"{path}: expected the columns IXI_ID, AGE and SEX_ID, and numbers in "
                f"them ({error})"
            ) from error
        if number is not None:  # None: a spreadsheet's empty line
            known = subjects.setdefault(f"IXI{int(number):03d}", {"age": [], "sex": []})
            known["age"] += [f"{age:.2f}"] if age and age > 0 else []
            known["sex"] += [SEXES[sex]] if sex in SEXES else []
    return {
        label: {
            name: _agreed(values, label, name, path) for name, values in row.items()
        }
        for label, row in subjects.items()
    }


def _number(value):
    """Convert a cell to a float; None for an empty one."""
    if value is None or not str(value).strip():
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _agreed(values, label, name, path):
    """Return the value that all rows of a subject share, None where they disagree."""
    if len(set(values)) > 1:
        several = " and ".join(dict.fromkeys(values))
        logger.warning(f"{path}: {label} has {name} {several}; it is taken as missing")
        return None
    return values[0] if values else None


def _text(delimiter, path):
    """Read a table in a text file."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            return list(csv.DictReader(stream, delimiter=delimiter, restkey="more"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a UTF-8 text ({error})") from error


def _spreadsheet(path):
    """Read the first sheet."""
    if find_spec("xlrd") is None:
        raise InputError(
            f"{path}: a spreadsheet, to read it needs xlrd (pip install "
            "'dipy_synth[ixi]'); or save it as IXI.csv beside"
        )
    import xlrd

    try:
        with xlrd.open_workbook(path) as book:
            names, *rows = book.sheet_by_index(0).get_rows()
            return [{n.value: c.value for n, c in zip(names, row)} for row in rows]
    except Exception as error:  # whatever a damaged file makes of xlrd
        raise InputError(
            f"{path}: not a spreadsheet that can be read ({error}); fetch it anew, or "
            "save it as IXI.csv beside"
        ) from error
