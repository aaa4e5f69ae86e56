"""Repairs a damaged journal: readable completions are copied, and the damaged file is kept.

A repair may be killed at any moment. Its steps, and what the next run finds:

    1. copy the readable rows to PATH.mended      killed here: the copy is deleted and begun again
    2. rename PATH (and WAL) to PATH.damaged-N    killed here: PATH is missing, step 3 is done
    3. rename the copy to PATH
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import count, islice

from transforms.journal.base import JournalError, Record
from transforms.journal.sqlite.salvage import salvage
from transforms.journal.sqlite.table import Table, has_log, is_sound

_log = logging.getLogger("transforms.journal")

_MAGIC = b"SQLite format 3\0"
_GROUP_BYTES = 8 << 20
_SUFFIXES = ("-wal", "-shm", "")
# Words in SQLite's errors that have other causes than damage, and must not start a repair.
_PASSING = ("locked", "busy", "full", "unable to open", "readonly", "disk i/o", "permission")


def stamp(path: str) -> list[int] | None:
    """Return the size and time of a closed journal, which every later write changes."""
    if not os.path.exists(path) or os.path.exists(f"{path}-wal"):
        return None
    found = os.stat(path)
    return [found.st_size, found.st_mtime_ns]


def repair(path: str, sound: object) -> None:
    """Return once the journal at `path` is sound or does not exist yet.

    A file with the stamp `sound` counts as sound; others are read in full, which takes a
    second or two for a million rows. Raises JournalError for a file that is not a journal.
    """
    copy = f"{path}.mended"
    if not os.path.exists(path):
        if os.path.exists(copy):  # a repair was killed before its last step
            os.rename(copy, path)
            return
        if not has_log(path):
            return
        open(path, "xb").close()  # others deleted the file of a job that was killed
    elif (sound is not None and stamp(path) == sound) or _is_sound(path):
        return
    kept = copy_readable(path, copy)
    if not kept and not _looks_like_sqlite(path):
        raise _not_a_journal(path)
    aside = set_aside(path)
    os.rename(copy, path)
    _log.warning(
        "the journal %s was damaged: %d completions could be read and are used, all other requests"
        " will be sent again; the damaged file is kept as %s",
        path,
        kept,
        aside,
    )


def is_passing(error: sqlite3.Error) -> bool:
    """Return whether `error` has another cause than damage."""
    return any(word in str(error).lower() for word in _PASSING)


def _is_sound(path: str) -> bool:
    try:
        return is_sound(path)
    except UnicodeError:
        return False  # a damaged name
    except ValueError:
        raise _not_a_journal(path) from None
    except sqlite3.Error as error:
        if is_passing(error):
            raise
        return False


def is_sound_journal(path: str) -> bool:
    """Return whether the file at `path` is a sound journal, of any run."""
    try:
        return _is_sound(path)
    except JournalError:
        return False


def copy_readable(path: str | None, copy: str) -> int:
    """Write all completions that can be read in `path` to a new journal `copy`; return how many.

    Without a path the copy is empty.
    """
    for suffix in _SUFFIXES:
        if os.path.exists(copy + suffix):  # left by a repair that was killed
            os.remove(copy + suffix)
    readable = iter(()) if path is None else salvage(path)
    with closing(Table(copy)) as table:
        while group := _next_group(readable):
            table.put(group)
        table.recount()
        return table.count()


def _next_group(records: Iterator[Record]) -> list[Record]:
    """Return the next thousand records, or fewer that together have `_GROUP_BYTES`."""
    group, size = [], 0
    for record in islice(records, 1000):
        group.append(record)
        size += len(record.value)
        if size >= _GROUP_BYTES:
            break
    return group


def _looks_like_sqlite(path: str) -> bool:
    with open(path, "rb") as file:
        begin = file.read(len(_MAGIC))
    return _MAGIC.startswith(begin)


def _not_a_journal(path: str) -> JournalError:
    return JournalError(f"{path} exists but is not a journal; choose another file")


def set_aside(path: str) -> str:
    """Rename the database at `path`; return its new name."""
    names = (f"{path}.damaged-{number}" for number in count(1))
    aside = next(name for name in names if not os.path.exists(name))
    for suffix in _SUFFIXES:
        if os.path.exists(path + suffix):
            os.rename(path + suffix, aside + suffix)
    return aside
