"""Atomic writing of files, JSON, hashes."""

from contextlib import contextmanager
import hashlib
import json
import logging
import os
from pathlib import Path

from dipy_synth.errors import InputError

logger = logging.getLogger("dipy")
TEMPORARY = ".tmp-[0-9]*-*"  # names of files that are being written
POINTER = 1024  # bytes; the pointers of Git LFS and git-annex are smaller


def temporary_path(path):
    """Return a temporary path beside a file; make its folder when missing."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".tmp-{os.getpid()}-{path.name}")


@contextmanager
def atomic_path(path):
    """Yield a temporary path beside `path`, which is renamed to it on success.

    The temporary name keeps the suffixes of `path`, for writers that depend on the
    extension (nibabel, NumPy, Keras).

    Parameters
    ----------
    path : str or Path
        The file to be written. Its folder is made when missing.

    Yields
    ------
    Path
        The path to write to. On an exception it is removed, and an existing `path` is
        kept. An error of the operating system that names no file, as that of a full
        disk, gets the name of `path`.
    """
    path = Path(path)
    temporary = temporary_path(path)
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise
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
    """Read a JSON file; raise an InputError when it is absent or invalid."""
    path = Path(path)
    check_file(path, "a JSON file")
    try:
        text = path.read_text(encoding="utf-8-sig")
        return json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({error})") from error


def _object(pairs):
    """Build an object of JSON; a name that is there twice is a ValueError."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice} is there twice")
    return found


def read_object(path, *, needed=()):
    """Read a JSON file that holds an object (names with values): dict.

    `needed` are the names that it must have, or a dict of them with the types of their
    values. A file that is absent, not valid or lacks one is an InputError.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise InputError(f"{path}: a {kind}, expected a JSON object (names and values)")
    check_object(content, path, needed=needed)
    return content


def check_object(content, path, *, needed):
    """Refuse the object of a JSON file that lacks a name, or a type, of `read_object`.

    A type may be a union, such as ``dict | None``.
    """
    if absent := [name for name in needed if name not in content]:
        there = ", ".join(content) or "none"
        raise InputError(f"{path}: no {', '.join(absent)}; the names are {there}")
    for name, kind in needed.items() if isinstance(needed, dict) else ():
        if not isinstance(content[name], kind):
            found = type(content[name]).__name__
            expected = kind.__name__ if isinstance(kind, type) else kind
            raise InputError(f"{path}: {name} is a {found}, expected {expected}")


def read_optional_object(path):
    """Read a JSON object that describes other files, see `read_object`: dict.

    It is empty where there is no such file, and where it is not valid: a warning says
    that it is not used.
    """
    if path is None or not os.path.lexists(path):
        return {}
    try:
        return read_object(path)
    except InputError as error:
        logger.warning(f"{error}; it is not used")
        return {}


def files_by_name(folder):
    """Return the paths in a folder by their names in lower case: dict.

    It is empty where there is no such folder, or none that may be listed.
    """
    if not (folder.is_dir() and os.access(folder, os.R_OK)):
        return {}
    return {name.lower(): folder / name for name in sorted(os.listdir(folder))}


def file_hash(*paths):
    """Hash the bytes of files, in this order: SHA-256, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def file_stamp(path):
    """Return name, size in bytes and time of change in ns of a file: list, for JSON."""
    status = path.stat()
    return [path.name, status.st_size, status.st_mtime_ns]


def check_file(path, expected):
    """Refuse a path that is no file on this disk; `expected` says what it should be."""
    if problem := not_fetched(path):
        raise InputError(f"{path}: {problem}")
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise InputError(f"{path}: {found} (expected {expected})")


def not_fetched(path):
    """Describe why a file's content is not on this disk; "" if it is.

    It may be a link of git-annex whose content was not fetched, or a pointer of
    git-annex or of Git LFS.
    """
    path = Path(path)
    if path.is_symlink() and not path.exists():
        annex = "/annex/" in os.readlink(path)
        cure = "datalad get, or git annex get" if annex else "or mend the link"
        return f"a link to a file that is not there; fetch it first ({cure})"
    if not os.access(path, os.R_OK) or not path.is_file():
        return ""
    if not 0 < path.stat().st_size < POINTER:
        return ""
    start = path.read_bytes()[:64]
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, not the content; fetch it first (git lfs pull)"
    if start.startswith(b"/annex/objects/"):
        return "a pointer of git-annex, not the content; fetch it first (datalad get)"
    return ""
