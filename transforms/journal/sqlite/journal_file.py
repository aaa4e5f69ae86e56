"""The file of a journal, which survives what others do to it while a job runs.

The problem: a cleaner, a script or a person may delete, replace or cut off the file in mid-job. The
next run would then pay for all completions again.

The idea: before and after each write, `Watch` compares the files with those that were opened. If
they changed, everything that this process can still read goes into a new file at the same path:

    deleted, replaced   all rows: SQLite's connections still have the old file
    cut off             the rows that `salvage` finds, and the newest ones, which are in memory too

What holds:

- `put` returns once its records are in the file at the path.
- The cost of a row counts once, and the total does not fall.
- A file that was there instead is renamed, unless it is a sound journal: that one gets the rows
  that it lacks.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeVar

from transforms.journal.base import Record, Spent
from transforms.journal.key import JournalKey
from transforms.journal.sqlite.repair import copy_readable, is_sound_journal, set_aside
from transforms.journal.sqlite.run_lock import exclusive
from transforms.journal.sqlite.table import Table
from transforms.journal.sqlite.watch import Watch

_log = logging.getLogger("transforms.journal")
_Result = TypeVar("_Result")

# Bytes of the newest values that are kept in memory: more than SQLite keeps out of its main file.
_RECENT_BYTES = 8 << 20
# On a filesystem whose files change their identity, each look would be a change.
_MOST_RENEWALS = 20


class JournalFile:
    """The table in the file `path`; raises sqlite3.Error or OSError.

    `alone` says that no other process opens the file during this run.
    """

    def __init__(self, path: str, *, alone: bool) -> None:
        self._path = path
        self._alone = alone
        self._lock = threading.RLock()
        self._closed = False
        self._renewals = 0
        self._recent: deque[Record] = deque()
        self._recent_bytes = 0
        self._open()
        self._spent = self._table.spent()  # by all, as far as this process knows

    def put(self, records: list[Record]) -> None:
        """Store `records` and their cost, all or nothing."""
        self._renew_if_changed()
        try:
            self._table.put(records)
        except sqlite3.Error:
            if not self._renew_if_changed():
                raise
            # The failed write may have reached the file all the same.
            self._table.put([record for record in records if not _has(self._table, record)])
        self._remember(records)
        self._renew_if_changed()

    def get(self, key: JournalKey) -> bytes | None:
        """Return the value under `key`; raises ValueError if it is damaged."""
        return self._read(lambda table: table.get(key))

    def get_equal(self, request: str) -> bytes | None:
        """Return a value for `request` under any id; raises ValueError if it is damaged."""
        return self._read(lambda table: table.get_equal(request))

    def spent(self) -> Spent:
        """Return the total."""
        return self._read(lambda table: table.spent())

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            try:
                self._renew_if_changed()
            finally:
                self._closed = True
                self._table.close()

    def _open(self) -> None:
        self._table = Table(self._path, alone=self._alone)
        self._watch = Watch(self._path)

    def _read(self, read: Callable[[Table], _Result]) -> _Result:
        table = self._table
        self._watch.restore_shared_memory()
        try:
            return read(table)
        except sqlite3.Error:
            with self._lock:
                if self._table is table and not self._renew_if_changed():
                    raise
        return read(self._table)

    def _remember(self, records: Iterable[Record]) -> None:
        for record in records:
            self._spent += record.spent
            self._recent.append(record)
            self._recent_bytes += len(record.value)
        while self._recent_bytes > _RECENT_BYTES:
            self._recent_bytes -= len(self._recent.popleft().value)

    def _renew_if_changed(self) -> bool:
        """Return whether others changed the files; everything is in a new file then."""
        with self._lock:
            self._watch.restore_shared_memory()
            change = self._watch.change()
            if change is None or self._closed:
                return False
            self._renewals += 1
            if self._renewals > _MOST_RENEWALS:
                raise OSError(0, f"the file was {change} {_MOST_RENEWALS} times")
            self._renew(change)
            return True

    def _renew(self, change: str) -> None:
        os.makedirs(os.path.dirname(self._path) or ".", exist_ok=True)
        with exclusive(f"{self._path}.renewal"):  # other processes of the run do the same
            aside = None
            if self._is_journal_of_others():
                self._table.pour(self._path)
                self._close_old()
            else:
                aside = self._write_anew(change)
            self._open()
            self._table.put(self._missing())
            # Failed requests have a cost and no row.
            self._table.raise_to(self._spent)
        _log.warning(
            "the journal %s was %s while this job used it: %d completions were written to a new"
            " file%s",
            self._path,
            change,
            self._table.count(),
            f"; what was there is kept as {aside}" if aside else "",
        )

    def _is_journal_of_others(self) -> bool:
        """Return whether a sound journal replaced the file, such as that of another process."""
        if self._watch.is_ours(self._path) or not os.path.exists(self._path):
            return False
        if self._watch.is_ours(f"{self._path}-wal"):
            self._remove_log()  # it would be read as the log of that file
        return os.path.getsize(self._path) > 0 and is_sound_journal(self._path)

    def _write_anew(self, change: str) -> str | None:
        """Move all readable rows to a new file at the path; return where the old one is kept."""
        copy = f"{self._path}.mended"
        copy_readable(None, copy)
        try:
            if change == "cut off":
                raise sqlite3.DatabaseError(change)
            self._table.pour(copy)
        except sqlite3.Error:
            if self._watch.is_ours(self._path):
                copy_readable(self._path, copy)
        self._close_old()
        aside = set_aside(self._path) if os.path.exists(self._path) else None
        self._remove_log()
        os.rename(copy, self._path)
        return aside

    def _remove_log(self) -> None:
        """Delete the names of a write-ahead log whose main file is elsewhere."""
        for suffix in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.remove(self._path + suffix)

    def _close_old(self) -> None:
        with suppress(sqlite3.Error):
            self._table.close()

    def _missing(self) -> list[Record]:
        """Return the newest records that the file lacks."""
        return [
            record
            for record in self._recent
            if record.key is not None and _lacks(self._table, record.key)
        ]


def _has(table: Table, record: Record) -> bool:
    try:
        return record.key is not None and table.get(record.key) == record.value
    except ValueError:
        return False


def _lacks(table: Table, key: JournalKey) -> bool:
    try:
        return table.get(key) is None
    except ValueError:
        return True
