"""Files that are either whole or absent: atomic writing, JSON, TSV, hashes."""

from contextlib import contextmanager
import csv
import hashlib
import io
import json
import os
from pathlib import Path

from dipy_synth.errors import InputError


def temporary_path(path):
    """Name a temporary file beside a path, in a folder that is made when missing."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".tmp-{os.getpid()}-{path.name}")


@contextmanager
def atomic_path(path):
    """Give a temporary name beside `path`; rename it to `path` on success.

    The temporary name keeps the suffixes of `path`, so that writers which look
    at the extension (nibabel, NumPy, Keras) do as they would for `path`.

    Parameters
    ----------
    path : str or Path
        The file to be written. Its folder is made when missing.

    Yields
    ------
    Path
        The name to write to. On an exception it is removed and `path`, if it
        was there before, is left as it was.
    """
    path = Path(path)
    temporary = temporary_path(path)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path, text):
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path, content):
    """Write JSON atomically, indented, with a final newline."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path):
    """Read a JSON file; an InputError names it when it is absent or broken."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file (expected a JSON file)")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON ({error})") from error


def write_table(path, rows):
    """Write rows as a BIDS table: tab-separated, a header, n/a where empty.

    Parameters
    ----------
    path : str or Path
        The ``.tsv`` file.
    rows : list of dict
        One dict a row; the columns are the union of the keys, in the order in
        which they are met.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    with atomic_path(path) as temporary:
        with open(temporary, "w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
            writer.writerow(names)
            for row in rows:
                values = (row.get(name) for name in names)
                writer.writerow("n/a" if v in (None, "") else v for v in values)


def read_table(path):
    """Read a BIDS table; ``n/a`` and empty cells become None.

    Parameters
    ----------
    path : str or Path
        A tab-separated file with a header.

    Returns
    -------
    list of dict
        One dict (column name to str or None) a row.

    Raises
    ------
    InputError
        If the file is absent, is not UTF-8, has no header or two columns of one name,
        or a row has another number of cells than the header.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file (expected a tab-separated table)")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a UTF-8 text ({error})") from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t")
    lines = [(reader.line_num, line) for line in reader if line]
    if not lines:
        raise InputError(f"{path}: empty (expected a header and rows)")
    names = lines[0][1]
    if len(set(names)) < len(names):
        raise InputError(f"{path}: two columns of one name in {', '.join(names)}")
    for number, row in lines[1:]:
        if len(row) != len(names):
            raise InputError(
                f"{path}, line {number}: {len(row)} cells, expected {len(names)} "
                f"({', '.join(names)}), separated by tabs"
            )
    return [
        {n: None if v in ("", "n/a") else v for n, v in zip(names, row)}
        for _, row in lines[1:]
    ]


def file_hash(*paths):
    """Hash the bytes of files.

    Parameters
    ----------
    *paths : str or Path
        Files, in the order in which they count.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def file_stamp(path):
    """Tell a file by what changes when it does, without reading it.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    list of [str, int, int]
        Name, size in bytes and time of change in ns; JSON keeps it as it is.
    """
    told = path.stat()
    return [path.name, told.st_size, told.st_mtime_ns]
