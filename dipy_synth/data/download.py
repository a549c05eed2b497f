"""Downloads that are resumed, verified and atomic.

A partial transfer stays in ``NAME.part``; the next one asks the server for the rest.
Only a file of the right size and checksum gets its final name.
"""

from dataclasses import dataclass
import errno
import hashlib
from http.client import HTTPException
import os
from pathlib import Path
import re
import shutil
import tarfile
import time
from urllib.error import HTTPError
from urllib.request import Request, urlopen
import zlib

from dipy.utils.logging import logger

from dipy_synth import __version__
from dipy_synth.errors import InputError
from dipy_synth.utils.progress import progress_bar

_BLOCK = 1 << 18
_TRY_AGAIN = (408, 425, 429)  # of the 4xx codes; every 5xx may pass, too


class FetchError(InputError):
    """A failed download, or an archive other than expected."""


class _RefusedError(Exception):
    """Permanent failure of an address: a retry will not help."""


@dataclass(frozen=True)
class RemoteFile:
    """A file on a server: addresses of the same bytes, in order, size and MD5."""

    name: str
    urls: tuple[str, ...]
    size: int | None = None
    md5: str | None = None


def download(
    file, folder, *, retries=5, wait=2.0, timeout=60.0, room=0.0, progress=True
):
    """Download a file, or the rest of it; do nothing where it is complete.

    Parameters
    ----------
    file : RemoteFile
        The file.
    folder : str or Path
        Target folder; made when missing.
    retries : int, optional
        Number of consecutive transfers without progress before it is given up.
    wait : float, optional
        Seconds before the first retry; doubled each time, 60 at most.
    timeout : float, optional
        Seconds without an answer after which a connection counts as broken.
    room : float, optional
        Free disk space needed to unpack it, as a multiple of its size.
    progress : bool, optional
        Show a progress bar.

    Returns
    -------
    Path
        The file, of the right size and checksum as far as they are known.

    Raises
    ------
    FetchError
        If all addresses failed, with their reasons, or the disk is too small.
    """
    path = Path(folder) / file.name
    part = path.with_name(f"{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        if _mismatch(path, file) is None:
            return path
        if path.stat().st_size < (file.size or 0) and not part.exists():
            path.rename(part)  # another program's unfinished download
    reasons = []
    for url in file.urls:
        reason = _from_url(url, part, file, retries, wait, timeout, room, progress)
        if reason is None:
            os.replace(part, path)
            return path
        reasons.append(f"{url}: {reason}")
    raise FetchError(
        f"{path}: not downloaded, {_size(part)} of {file.size or 'unknown'} bytes came "
        f"(kept in {part.name} if any, and resumed next time). " + "; ".join(reasons)
    )


def _from_url(url, part, file, retries, wait, timeout, room, progress):
    """Download from one address, with retries; return None or the reason of failure."""
    best = idle = 0
    while True:
        before = _size(part)
        best = max(best, before)
        try:
            _transfer(url, part, file, timeout, room, progress)
            reason = _mismatch(part, file)
            if reason is None:
                return None
            part.unlink()
            if before == 0:
                return reason  # the complete file is wrong; a retry will not help
        except _RefusedError as refusal:
            return str(refusal)
        except (OSError, HTTPException) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise FetchError(f"{part}: the disk is full") from error
            reason = f"{type(error).__name__}: {error}"
        # A server that cannot resume may send less than before: only more is progress.
        idle = 0 if _size(part) > best else idle + 1
        if idle > retries:
            return f"{reason} (given up after {idle} attempts without progress)"
        logger.info(f"{url}: {reason}; {_size(part)} bytes so far, trying again")
        time.sleep(min(wait * 2 ** max(idle - 1, 0), 60))


def _transfer(url, part, file, timeout, room, progress):
    """Append the bytes of one connection; raise OSError when it ends too early."""
    if file.size is not None and _size(part) > file.size:
        part.unlink()
    start = _size(part)
    if start and start == file.size:
        return
    headers = {"User-Agent": f"dipy_synth/{__version__}"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with _open(Request(url, headers=headers), part, timeout) as response:
        start, total = _extent(response, part, start)
        if total is not None and total != (file.size or total):
            raise _RefusedError(f"announces {total} bytes, expected {file.size}")
        _check_room(part, total, start, room)
        logger.info(f"{url}: {total or 'unknown'} bytes, {start} of them here already")
        _copy(response, part, start, total, progress)
    if _size(part) < (total or file.size or 0):
        raise ConnectionError(f"ended after {_size(part)} of {total} bytes")


def _open(request, part, timeout):
    try:
        return urlopen(request, timeout=timeout)
    except HTTPError as error:
        error.close()
        if error.code == 416:  # no bytes after the local ones
            part.unlink(missing_ok=True)
            raise ConnectionError("the server has no such range") from error
        if error.code < 500 and error.code not in _TRY_AGAIN:
            raise _RefusedError(f"HTTP {error.code} {error.reason}") from error
        raise


def _extent(response, part, start):
    """Return where the bytes begin, and the size of the file (None if unknown)."""
    length = response.headers.get("Content-Length", "")
    if response.status != 206:
        return 0, int(length) if length.isdigit() else None
    content_range = re.match(
        r"bytes (\d+)-\d+/(\d+|\*)", response.headers["Content-Range"] or ""
    )
    if content_range is None or int(content_range[1]) != start:
        part.unlink(missing_ok=True)
        raise ConnectionError("the server sent another range than requested")
    return start, None if content_range[2] == "*" else int(content_range[2])


def _check_room(part, total, start, room):
    if total is None:
        return
    needed = total - start + round(room * total)
    free = shutil.disk_usage(part.parent).free
    if free < needed:
        raise FetchError(
            f"{part.parent}: {free} bytes free, {needed} needed to download and unpack"
        )


def _copy(response, part, start, total, progress):
    bar = progress_bar(
        total=total,
        initial=start,
        unit="B",
        unit_scale=True,
        desc=part.stem,
        shown=progress,
    )
    with bar, open(part, "ab" if start else "wb") as stream:
        while block := response.read(_BLOCK):
            stream.write(block)
            bar.update(len(block))


def _size(path):
    return path.stat().st_size if path.is_file() else 0


def _mismatch(path, file):
    """Return the difference of a file from its record in words, or None."""
    if file.size is not None and _size(path) != file.size:
        return f"{_size(path)} bytes, expected {file.size}"
    if file.md5 is None:
        return None
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    found = digest.hexdigest()
    return None if found == file.md5 else f"MD5 is {found}, expected {file.md5}"


def unpack(archive, folder, *, progress=True):
    """Unpack a tar archive into a new folder, and nothing outside of it.

    An earlier folder is replaced; the caller renames it when complete. A damaged
    archive, or a member that would lie outside, is a FetchError, and the folder is
    removed.
    """
    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        with tarfile.open(archive) as tar:
            options = {"unit": " files", "desc": "unpack", "shown": progress}
            for member in progress_bar(tar, **options):
                tar.extract(member, folder, filter="data")
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise FetchError(f"{archive}: cannot be unpacked ({error})") from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
