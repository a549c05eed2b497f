"""Table of IXI: ages and sexes, from the original spreadsheet or a text file."""

from importlib.util import find_spec
import logging

from dipy_synth.data.columns import few
from dipy_synth.errors import InputError
from dipy_synth.utils.cells import as_age, as_number, clean, is_missing
from dipy_synth.utils.files import files_by_name
from dipy_synth.utils.tables import named_cells, read_table

SEXES = {1.0: "M", 2.0: "F"}
NAMES = ("IXI_ID", "AGE", "SEX_ID")

logger = logging.getLogger("dipy")


def read_ixi_table(folder):
    """Read IXI's table beside the scans, or a folder above them.

    ``IXI.csv`` is preferred to ``IXI.tsv``, see `dipy_synth.utils.tables.read_table`,
    and this to ``IXI.xls``, the spreadsheet of the archive; names in any case. Return
    for each subject label age (str, years) and sex ("M", "F"), None where not known; an
    empty dict when there is no table. A table that lacks a column, or has words for
    numbers, is an InputError, and so is a spreadsheet without xlrd.
    """
    readers = {"ixi.csv": read_table, "ixi.tsv": read_table, "ixi.xls": _spreadsheet}
    for place in (folder, folder.parent):
        there = files_by_name(place)
        for name, read in readers.items():
            if name in there:
                return ages_and_sexes(read(there[name]), there[name])
    return {}


def ages_and_sexes(rows, path):
    """Extract age and sex of each subject, as `read_ixi_table` returns them.

    Rows have IXI_ID, AGE, and a column that begins with SEX_ID: 1 male, 2 female. Where
    rows of a subject disagree, the value is None. An age of 0 means missing; other
    values that are not possible are missing with a warning.
    """
    subjects, odd = {}, []
    for row in rows:
        number, age, sex = _numbers(row, path)
        if number is None:  # a spreadsheet's empty line
            continue
        label = f"IXI{int(number):03d}"
        known = subjects.setdefault(label, {"age": [], "sex": []})
        wrong = [f"age {age:g}"] if age and as_age(age) is None else []
        wrong += [f"sex {sex:g}"] if sex and sex not in SEXES else []
        odd += [f"{', '.join(wrong)} of {label}"] if wrong else []
        known["age"] += [f"{age:.2f}"] if age and as_age(age) else []
        known["sex"] += [SEXES[sex]] if sex in SEXES else []
    if odd:
        logger.warning(f"{path}: {few(odd)}, taken as missing")
    return {
        label: {
            name: _agreed(values, label, name, path) for name, values in row.items()
        }
        for label, row in subjects.items()
    }


def _numbers(row, path):
    """Return number, age and sex of a row: floats, None where missing."""
    names = [str(name).strip().upper()[:6] for name in row]
    if any(names.count(name) > 1 for name in NAMES):
        raise InputError(f"{path}: expected one column each of {', '.join(NAMES)}")
    row = dict(zip(names, row.values()))
    try:
        return [_number(row[name]) for name in NAMES]
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{path}: expected the columns IXI_ID, AGE and SEX_ID, and numbers in "
            f"them ({error})"
        ) from error


def _number(value):
    """Convert a cell to a float; None for an empty one."""
    number = as_number(value)
    if number is None and not is_missing(value):
        raise ValueError(f"{value!r} is no number")
    return number


def _agreed(values, label, name, path):
    """Return the value that all rows of a subject share, None where they disagree."""
    if len(set(values)) > 1:
        several = " and ".join(dict.fromkeys(values))
        logger.warning(f"{path}: {label} has {name} {several}; it is taken as missing")
        return None
    return values[0] if values else None


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
            names, *rows = (
                [cell.value for cell in row]
                for row in book.sheet_by_index(0).get_rows()
            )
    except Exception as error:  # whatever a damaged file makes of xlrd
        raise InputError(
            f"{path}: not a spreadsheet that can be read ({error}); fetch it anew, or "
            "save it as IXI.csv beside"
        ) from error
    names = [clean(str(name)) for name in names]
    return [
        named_cells(names, row, f"{path}, line {number}")
        for number, row in enumerate(rows, start=2)
    ]
