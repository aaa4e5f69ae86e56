"""A damaged journal made whole: what can be read is kept, and so is the damaged file."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing
from itertools import count, islice

from transforms.journal.base import JournalError
from transforms.journal.sqlite.salvage import salvage
from transforms.journal.sqlite.table import Table, is_sound

_log = logging.getLogger("transforms.journal")

_MAGIC = b"SQLite format 3\0"
_SUFFIXES = ("-wal", "-shm", "")
# What SQLite says where nothing is damaged: such an error must not set a journal aside.
_PASSING = ("locked", "busy", "full", "unable to open", "readonly", "disk i/o", "permission")


def stamp(path: str) -> list[int] | None:
    """Return what tells whether anybody has written to a journal since it was closed."""
    if not os.path.exists(path) or os.path.exists(f"{path}-wal"):
        return None
    found = os.stat(path)
    return [found.st_size, found.st_mtime_ns]


def mend(path: str, sound: object) -> None:
    """Make sure that the journal at `path` is sound, or is not there yet.

    One whose stamp is `sound` is taken for it; others are read through: a million rows take a
    second or two. May be killed at any moment and begun again. Raises JournalError for a file that
    is no journal.
    """
    mended = f"{path}.mended"
    if not os.path.exists(path):
        if os.path.exists(mended):  # killed before its last step
            os.rename(mended, path)
        return
    if (sound is not None and stamp(path) == sound) or _is_sound(path):
        return
    kept = _copy_readable(path, mended)
    if not kept and not _looks_like_sqlite(path):
        raise _no_journal(path)
    aside = _set_aside(path)
    os.rename(mended, path)
    _log.warning(
        "the journal %s was damaged: %d completions could be read and are used, all others are"
        " asked again; the damaged file is kept as %s",
        path,
        kept,
        aside,
    )


def is_passing(error: sqlite3.Error) -> bool:
    """Return whether `error` is about something else than damage."""
    return any(word in str(error).lower() for word in _PASSING)


def _is_sound(path: str) -> bool:
    try:
        return is_sound(path)
    except UnicodeError:
        return False  # a damaged name
    except ValueError:
        raise _no_journal(path) from None
    except sqlite3.Error as error:
        if is_passing(error):
            raise
        return False


def _copy_readable(path: str, mended: str) -> int:
    for suffix in _SUFFIXES:
        if os.path.exists(mended + suffix):  # an earlier attempt that was killed
            os.remove(mended + suffix)
    kept, readable = 0, salvage(path)
    with closing(Table(mended)) as table:
        while lot := list(islice(readable, 1000)):
            table.put(lot)
            kept += len(lot)
    return kept


def _looks_like_sqlite(path: str) -> bool:
    with open(path, "rb") as file:
        begin = file.read(len(_MAGIC))
    return _MAGIC.startswith(begin)


def _no_journal(path: str) -> JournalError:
    return JournalError(f"{path} is there, and is no journal: name another file")


def _set_aside(path: str) -> str:
    names = (f"{path}.damaged-{number}" for number in count(1))
    aside = next(name for name in names if not os.path.exists(name))
    for suffix in _SUFFIXES:
        if os.path.exists(path + suffix):
            os.rename(path + suffix, aside + suffix)
    return aside
