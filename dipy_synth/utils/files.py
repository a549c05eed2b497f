"""Atomic writing of files, JSON, hashes."""

from contextlib import contextmanager
import hashlib
import json
import os
from pathlib import Path

from dipy_synth.errors import InputError

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
        kept.
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
    """Read a JSON file; raise an InputError when it is absent or invalid."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file (expected a JSON file)")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON ({error})") from error


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
    if not path.is_file() or not 0 < path.stat().st_size < POINTER:
        return ""
    start = path.read_bytes()[:64]
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, not the content; fetch it first (git lfs pull)"
    if start.startswith(b"/annex/objects/"):
        return "a pointer of git-annex, not the content; fetch it first (datalad get)"
    return ""
