"""Text tables: BIDS tables are written, those of other programs are read, too."""

import csv
from pathlib import Path
import re

from dipy_synth.errors import InputError
from dipy_synth.utils.cells import clean, is_missing
from dipy_synth.utils.files import atomic_path, check_file

SEPARATORS = {"\t": "tabs", ";": "semicolons", ",": "commas", " ": "blanks"}
# Columns that are known by name, whatever their case, blanks and underscores.
KNOWN = "participant_id session_id age sex gender split".split()
EXCEL = re.compile(r"sep=.?", re.IGNORECASE)  # its first line, for its own reading


def write_table(path, rows):
    """Write rows, a dict each, as a BIDS table: tab-separated, n/a where empty.

    The columns are the union of the keys, in order of appearance.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    with atomic_path(path) as temporary:
        with open(temporary, "w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
            writer.writerow(names)
            for row in rows:
                values = (row.get(name) for name in names)
                writer.writerow("n/a" if v in (None, "") else v for v in values)


def read_table(path, *, needed=()):
    """Read a table, separated by tabs, semicolons, commas or blanks: list of dict.

    The file is a text with a header, in UTF-8 or as Excel's "Unicode text". Blanks at
    the ends of cells are ignored, and so are empty lines, repeated headers, columns
    without a name and Excel's line ``sep=;``. Cells may be in quotation marks that open
    and close on one line; any other quotation mark is a character.

    A row has a str for each column name, or None where the cell is missing, see
    `dipy_synth.utils.cells.is_missing`. Names such as ``Participant ID`` and ``AGE``
    become ``participant_id`` and ``age``. A file that is absent or no such text, has no
    header, columns of one name with different values or not those `needed`, or a row
    with another number of cells than the header, is an InputError.
    """
    path = Path(path)
    lines = [(n, line) for n, line in enumerate(_lines(path), 1) if clean(line)]
    if lines and EXCEL.fullmatch(clean(lines[0][1])):
        lines.pop(0)
    if not lines:
        raise InputError(f"{path}: empty (expected a header and rows)")
    separator = _separator([line for _, line in lines])
    names = [known_name(cell) for cell in _split(lines[0][1], separator)]
    while len(names) > 1 and not names[-1]:
        names.pop()
    for name in needed:
        if name not in names:
            raise InputError(
                f"{path}: no column {name}; the columns are {', '.join(names)} "
                f"(separated by {SEPARATORS[separator]})"
            )
    rows = [_row(path, number, line, names, separator) for number, line in lines[1:]]
    return [row for row in rows if row and any(v != n for n, v in row.items())]


def _lines(path):
    """Return the lines of a text file, without their ends."""
    check_file(path, "a table")
    raw = path.read_bytes()
    wide = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = raw.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a UTF-8 text ({error})") from error
    if "\0" in text:
        raise InputError(f"{path}: not a text (a spreadsheet? Save it as a table)")
    return re.split("\r\n|\r|\n", text)


def _separator(lines):
    """Return the separator: the first with equally many cells in all lines, or any.

    Blanks are none where the header has another, since cells may contain blanks.
    """
    counts = {s: [len(_split(line, s)) for line in lines] for s in SEPARATORS}
    there = [s for s, found in counts.items() if found[0] > 1]
    if len(there) > 1:
        there = [s for s in there if s != " "]
    alike = [s for s in there if len(set(counts[s])) == 1]
    return (alike or [s for s in there if s != " "] or ["\t"])[0]


def _split(line, separator, n=None):
    """Split a line into cells, with quotation marks only where they are paired.

    Of two readings of a line with quotation marks, that with `n` cells is used.
    """
    plain = line.split() if separator == " " else line.split(separator)
    if '"' not in line:
        return plain
    try:
        ((*cells,),) = csv.reader([line], delimiter=separator, strict=True)
    except (csv.Error, ValueError):
        return plain
    return plain if len(plain) == n != len(cells) else cells


def known_name(name):
    """Return the BIDS spelling of a known column's name; others unchanged.

    Of ``Participant ID``, for instance, ``participant_id``.
    """
    name = clean(name)
    letters = re.sub(r"[\s_.-]", "", name).casefold()
    return next((n for n in KNOWN if n.replace("_", "") == letters), name)


def _row(path, number, line, names, separator):
    """Return one row: dict of column name to str or None; empty without a cell."""
    cells = [clean(cell) for cell in _split(line, separator, len(names))]
    while len(cells) > len(names) and not cells[-1]:
        cells.pop()
    if not any(cells):
        return {}
    if len(cells) != len(names):
        raise InputError(
            f"{path}, line {number}: {len(cells)} cells, expected {len(names)} "
            f"({', '.join(names)}), separated by {SEPARATORS[separator]}"
        )
    values = [None if is_missing(cell) else cell for cell in cells]
    return named_cells(names, values, f"{path}, line {number}")


def named_cells(names, values, where):
    """Return the values of a row by the names of their columns: dict.

    Columns without a name, such as the row numbers of some programs, are left out.
    Different values under one name, missing ones aside, are an InputError, which says
    `where`.
    """
    row = {}
    for name, value in zip(names, values):
        known = row.get(name)
        if not name or (name in row and is_missing(value)):
            continue
        if not is_missing(known) and known != value:
            raise InputError(
                f"{where}: {known} and {value} in two columns of one name, {name}; "
                "expected equal values, or one column"
            )
        row[name] = value
    return row
