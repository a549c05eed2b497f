"""A lock per output folder, against simultaneous commands."""

from contextlib import contextmanager
import errno
from functools import wraps
import inspect
import json
import logging
import os
from pathlib import Path
import socket
import sys
import time

from dipy_synth.errors import InputError
from dipy_synth.utils.files import TEMPORARY

LOCK = ".lock"
logger = logging.getLogger("dipy")
_PLACE = 1 << 20  # byte that is locked on Windows, where locked bytes cannot be read
_BUSY = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


@contextmanager
def folder_lock(folder):
    """Hold the lock of a folder, which is made when missing, and yield its path.

    The lock is the operating system's, on the file ``.lock`` in the folder, which
    describes its holder. So the lock of a killed process is free, and what it was
    writing, temporary files, is removed. Where the file system has no locks, nothing is
    locked. It is an InputError if another process holds the lock, or the path is that
    of a file.
    """
    folder = Path(folder)
    made = [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"{folder}: a file is there; expected a folder") from error
    path = folder / LOCK
    try:
        handle, killed = _acquire(path)
        try:
            if killed:
                _remove_temporary(folder)
            yield folder
        finally:
            _release(path, handle)
    finally:
        _remove_empty(made)


def locks(name):
    """Hold the lock of a folder, the argument of that name, while a function runs."""

    def decorate(function):
        signature = inspect.signature(function)

        @wraps(function)
        def locked(*args, **kwargs):
            arguments = signature.bind(*args, **kwargs).arguments
            with folder_lock(arguments[name]):
                return function(*args, **kwargs)

        return locked

    return decorate


def _acquire(path):
    """Open and lock a file, and write its holder.

    Returns its descriptor, and whether an earlier holder has left it, as if killed.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _lock(handle, path):
                raise InputError(_busy(path))
            if _is_same(handle, path):
                killed = os.fstat(handle).st_size > 0
                os.ftruncate(handle, 0)
                os.write(handle, json.dumps(_holder()).encode())
                return handle, killed
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its holder has removed it: the path is another file now


def _lock(handle, path):
    """Try to lock an open file; return whether it succeeded."""
    try:
        if os.name == "nt":
            import msvcrt

            os.lseek(handle, _PLACE, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            os.lseek(handle, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _BUSY:
            return False
        logger.debug("%s: a file system without locks (%s)", path, error)
    return True


def _is_same(handle, path):
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _release(path, handle):
    """Remove and unlock a file, in this order, so that no process locks it between."""
    try:
        path.unlink(missing_ok=True)
    except PermissionError:  # Windows cannot remove an open file: it stays, unlocked
        pass
    finally:
        os.close(handle)


def _remove_temporary(folder):
    """Remove temporary files, except in folders in which another command may write."""
    for path in [*folder.rglob(TEMPORARY)]:
        inner = path.parents[: len(path.relative_to(folder).parts) - 1]
        if path.is_file() and not any((other / LOCK).exists() for other in inner):
            path.unlink()


def _remove_empty(folders):
    """Remove empty folders that were made for the lock, inner ones first."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def _holder():
    """Describe this process: dict."""
    return {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "command": Path(sys.argv[0]).name if sys.argv else "",
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _read(path):
    """Read the holder of a lock: dict, empty where unknown."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _busy(path):
    holder = _read(path)
    words = "another process"
    if holder:
        words = (
            f"{holder.get('command') or 'a command'} (process {holder.get('process')} "
            f"on {holder.get('host')}, since {holder.get('since')})"
        )
    return (
        f"{path.parent}: {words} is writing here; expected to wait until it has ended, "
        "or another output folder"
    )
