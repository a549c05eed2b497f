"""Scans of the same content under several subjects; most files are not read."""

import gzip
import hashlib
import os
import struct
import zlib

_BLOCK = 1 << 16
_EMPTY_GZIP = 20  # bytes; files below have no content to compare


def find_duplicates(records):
    """Find scans of the same content under different subjects: list of lists of Path.

    Uncompressed contents are compared: first by size and checksum, with which a
    ``.gz`` file ends, then byte for byte. Files that cannot be read are ignored.
    """
    subjects = {record.image: record.subject for record in records}
    packed = {}
    for group in _grouped(list(subjects), _gzip_end, least=1):
        packed |= dict.fromkeys(group, _gzip_end(group[0]))
    sizes = {size for _, size in packed.values()}
    groups = _grouped(
        list(subjects), lambda path: packed.get(path) or _checksum(path, sizes)
    )
    found = []
    for group in groups:
        found += _grouped(group, _digest) if _many(group, subjects) else []
    return [sorted(group) for group in found if _many(group, subjects)]


def _many(group, subjects):
    return len({subjects[path] for path in group}) > 1


def _grouped(paths, key, *, least=2):
    """Return the paths that share a key that is not None: list of lists."""
    found = {}
    for path in paths:
        try:
            value = key(path)
        except (OSError, EOFError, zlib.error):
            continue
        if value is not None:
            found.setdefault(value, []).append(path)
    return [group for group in found.values() if len(group) >= least]


def _is_packed(path):
    return path.name.lower().endswith(".gz")


def _gzip_end(path):
    """Return CRC-32 and size of the content of a ``.gz`` file; None for others."""
    if not _is_packed(path) or os.path.getsize(path) < _EMPTY_GZIP:
        return None
    with open(path, "rb") as stream:
        stream.seek(-8, os.SEEK_END)
        return struct.unpack("<II", stream.read(8))


def _checksum(path, sizes):
    """Return CRC-32 and size of a plain file, where a packed one has its size."""
    size = os.path.getsize(path)
    if size < _EMPTY_GZIP or _is_packed(path):
        return None
    checksum = 0
    with open(path, "rb") as stream:
        if size in sizes:
            while block := stream.read(_BLOCK):
                checksum = zlib.crc32(block, checksum)
            return checksum, size
        for place in (0, size // 3, size // 2):
            stream.seek(place)
            checksum = zlib.crc32(stream.read(_BLOCK), checksum)
    return checksum, size


def _digest(path):
    """Return the SHA-256 of a file's content, uncompressed."""
    digest = hashlib.sha256()
    opened = gzip.open if _is_packed(path) else open
    with opened(path, "rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
