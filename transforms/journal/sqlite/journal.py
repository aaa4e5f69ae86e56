"""The journal beside local output: one SQLite file for one run at a time.

What is acknowledged survives `kill -9` and, where the disk keeps what it promises, a power cut.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import TypeVar

from transforms.journal.base import (
    NOTHING,
    JournalUnavailable,
    Record,
    Spent,
    Write,
    pack,
    unpack,
)
from transforms.journal.group_commit import GroupCommit
from transforms.journal.key import JournalKey
from transforms.journal.sqlite.repair import is_passing, mend, stamp
from transforms.journal.sqlite.run_lock import RunLock
from transforms.journal.sqlite.table import Table

_log = logging.getLogger("transforms.journal")
Asked = TypeVar("Asked")


class SqliteJournal:
    """Completions in the file `path`, shared by the processes of one `run`.

    A damaged file is mended first. Raises JournalInUse if another run has it, JournalUnavailable if
    it cannot be opened or written.
    """

    def __init__(self, path: str, run: str) -> None:
        self._path = path
        self._damage = threading.Event()
        self._explained = _Explained(path)
        with self._explained:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        lock = RunLock(f"{path}.lock", run)
        try:
            with self._explained:
                if lock.is_first:
                    mend(path, lock.left)
                lock.share()
                self._table = Table(path)
        except BaseException:
            lock.release()
            raise
        self._commit = GroupCommit(_writing(path, self._table, self._damage))
        held = (path, self._commit, self._table, lock, self._damage)
        self._close = weakref.finalize(self, _close, *held)

    def lookup(self, key: JournalKey) -> bytes | None:
        """Return what was recorded under `key`, or None."""
        return self._read(self._table.get, key)

    def lookup_equal(self, request: str) -> bytes | None:
        """Return what was recorded for an equal request, or None."""
        return self._read(self._table.get_equal, request)

    def record(self, key: JournalKey, value: bytes, spent: Spent = NOTHING) -> Future[None]:
        """Keep `value`; the future is done once it is on the disk."""
        return self._commit.put(Record(key, value, spent))

    def spend(self, spent: Spent) -> Future[None]:
        """Add to what was spent."""
        return self._commit.put(Record(None, b"", spent))

    def spent(self) -> Spent:
        """Return what all runs have spent."""
        with self._explained:
            return self._table.spent()

    def close(self) -> None:
        """Write what is waiting, and let other runs in."""
        self._close()

    def _read(self, read: Callable[[Asked], bytes | None], asked: Asked) -> bytes | None:
        try:
            with self._explained:
                stored = read(asked)
            return None if stored is None else unpack(stored)
        except (_Damaged, ValueError) as error:
            if not self._damage.is_set():
                _log.warning("damaged entries of %s are asked again: %s", self._path, error)
            self._damage.set()
            return None


def _writing(path: str, table: Table, damage: threading.Event) -> Write:
    explained = _Explained(path)

    def write(records: list[Record]) -> None:
        packed = [replace(record, value=pack(record.value)) for record in records]
        try:
            with explained:
                table.put(packed)
        except _Damaged:
            damage.set()
            raise

    return write


class _Damaged(JournalUnavailable):
    """The file is not what it was; opening it again mends it."""


class _Explained:
    """Turns what SQLite and the system say into JournalUnavailable, with a remedy.

    A class: made once, it costs a lookup next to nothing.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        path = self._path
        if isinstance(error, sqlite3.ProgrammingError):
            raise JournalUnavailable(f"the journal {path} is closed") from None
        if isinstance(error, OSError):
            raise JournalUnavailable(f"no journal at {path}: {error.strerror}") from error
        if not isinstance(error, sqlite3.Error):
            return
        if not is_passing(error):
            raise _Damaged(f"{path} is damaged ({error}): the next run mends it") from error
        hint = ": its disk is full" if "full" in str(error) else ""
        raise JournalUnavailable(f"the journal {path} cannot be used{hint} ({error})") from error


def _close(
    path: str, commit: GroupCommit, table: Table, lock: RunLock, damage: threading.Event
) -> None:
    commit.close()
    table.close()
    lock.release(None if damage.is_set() else stamp(path))
