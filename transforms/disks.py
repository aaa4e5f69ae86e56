"""Says which disk is full, and what to do, where a write fails for lack of room."""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from dataclasses import dataclass

# EFBIG: the limit of the process on the size of a file (`ulimit -f`).
_NO_ROOM = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
# SQLite reports an exceeded quota as an I/O error.
_NO_ROOM_IN_SQLITE = ("disk is full", "disk i/o error")


class DiskFull(Exception):
    """A disk has no room left; the message says which one and what to do."""


@dataclass(frozen=True, slots=True)
class Disk:
    """Turns errors of writing to the disk of `path` into DiskFull, within a `with` block.

    `remedy` says what else may help than more room. Other errors are left alone.
    """

    path: str
    remedy: str

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and is_full(error):
            reason = getattr(error, "strerror", None) or str(error)
            raise DiskFull(
                f"cannot write to {self.path} ({reason}): make room on its disk, {self.remedy}, and"
                " run the same command"
            ) from error


def is_full(error: BaseException) -> bool:
    """Return whether `error` says that a disk, a quota or a file has no room left."""
    if isinstance(error, sqlite3.OperationalError):
        return any(words in str(error).lower() for words in _NO_ROOM_IN_SQLITE)
    return isinstance(error, OSError) and error.errno in _NO_ROOM


def output_disk(path: str) -> Disk:
    """Return the disk of an output."""
    return Disk(path, "or choose another --output")


def stdout_disk() -> Disk:
    """Return the disk of a file that stdout goes to."""
    return Disk("stdout", "or send it elsewhere")


def temporary_disk() -> Disk:
    """Return the disk of temporary files."""
    return _temporary(tempfile.gettempdir())


def sqlite_temporary_disk() -> Disk:
    """Return the disk of SQLite's private databases, which it chooses by itself."""
    named = (os.environ.get(name) for name in ("SQLITE_TMPDIR", "TMPDIR"))
    folders = [each for each in (*named, "/var/tmp", "/usr/tmp", "/tmp") if each]
    return _temporary(next((each for each in folders if os.access(each, os.W_OK)), "."))


def _temporary(folder: str) -> Disk:
    return Disk(f"the temporary folder {folder}", "or set TMPDIR to a folder on a larger disk")
