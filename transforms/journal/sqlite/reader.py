"""Reads the SQLite journal of a job that may be running, as bytes; see `journal.reading`.

The problem: a job that is alone holds its database with an exclusive lock. SQLite would wait for
it, and would create or delete files beside it.

The idea: `salvage` finds rows in pages without SQLite, and each row has a checksum. The first call
of `new` looks at all pages, later calls at the pages that have changed. New rows are in frames at
the end of the write-ahead log. When SQLite begins the log again, it has moved the pages of the old
one into the main file: those, and what the main file has grown by, are looked at again.

What holds: every yielded row is right. A row may be yielded several times. A row whose page was
half written is yielded by the next call, because the last frames are always looked at twice.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from transforms.journal.base import JournalError, JournalUnavailable
from transforms.journal.reading import Entry, open_regular
from transforms.journal.sqlite.leaf import Leaves
from transforms.journal.sqlite.salvage import Pages

_MAGIC = b"SQLite format 3\0"
_NOTHING: frozenset[int] = frozenset()


class _Seen(NamedTuple):
    """What the last call has looked at: the file, the log, its frames, and the pages in it."""

    file: int = 0
    salt: bytes = b""
    log_end: int = 0
    in_log: frozenset[int] = _NOTHING
    whole: int = 0
    mark: tuple[int, ...] = ()


class SqliteReader:
    """The entries in the file `path` and its write-ahead log."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen = _Seen()
        self._settled = False  # whether nothing had changed when the last call looked

    def new(self) -> Iterator[Entry]:
        """Yield the entries of pages that have changed since the last call."""
        mark = _mark(self._path)
        if mark == self._seen.mark and self._settled:
            return
        self._settled = mark == self._seen.mark
        try:
            open_regular(self._path).close()
            with Pages(self._path) as pages:
                yield from self._changed(pages, mark)
        except FileNotFoundError:
            return
        except OSError as error:
            reason = f"the journal {self._path} cannot be read: {error.strerror}"
            raise JournalUnavailable(reason) from error

    def _changed(self, pages: Pages, mark: tuple[int, ...]) -> Iterator[Entry]:
        begin = pages.read(1)[: len(_MAGIC)]
        if not _MAGIC.startswith(begin):
            raise JournalError(f"{self._path} exists but is not a journal; choose another file")
        before = self._seen
        if before.file != pages.identity:
            numbers: Iterator[int] = pages.numbers()
        else:
            numbers = iter(sorted(self._numbers(pages)))
        leaves = Leaves(pages)
        for number in numbers:
            yield from leaves.entries(pages.read(number))
        end, in_log = pages.log_end, frozenset(pages.in_log)
        self._seen = _Seen(pages.identity, pages.salt, end, in_log, pages.whole, mark)

    def _numbers(self, pages: Pages) -> set[int]:
        before = self._seen
        if pages.salt == before.salt:
            return {number for number, at in pages.in_log.items() if at >= before.log_end}
        grown = range(before.whole, pages.whole + 1)
        return {*grown, *before.in_log, *pages.in_log}


def _mark(path: str) -> tuple[int, ...]:
    """Return sizes and times of the files, which each write changes."""
    found: list[int] = []
    for name in (path, f"{path}-wal"):
        with suppress(OSError):
            status = os.stat(name)
            found += [status.st_ino, status.st_size, status.st_mtime_ns]
    return tuple(found)
