"""The journal for local output: one SQLite file, used by one run at a time.

An acknowledged record survives `kill -9` and, if the disk honours fsync, a power cut.

    RunLock       one run at a time; all processes of the run share the lock
    repair        a damaged file is repaired before it is opened, by the first process of the run
    JournalFile   a file that others delete or cut off in mid-job is written anew
    Table         rows with checksums
    GroupCommit   groups of records, one transaction and one fsync each

The lock keeps a stamp of the file from one run to the next. If the stamp is unchanged, the file was
closed properly and needs no check.
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
from transforms.journal.sqlite.journal_file import JournalFile
from transforms.journal.sqlite.repair import is_passing, repair, stamp
from transforms.journal.sqlite.run_lock import RunLock

_log = logging.getLogger("transforms.journal")
Name = TypeVar("Name")


class SqliteJournal:
    """Completions in the file `path`, shared by the processes of one `run`.

    A damaged file is repaired first. `alone` says that the run has only this process. Raises
    JournalInUse if another run uses it, JournalUnavailable if it cannot be opened or written.
    """

    def __init__(self, path: str, run: str, *, alone: bool = False) -> None:
        self._path = path
        self._damage = threading.Event()  # set once damage is seen: no stamp is left then
        self._explained = _Explained(path)
        with self._explained:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        lock = RunLock(f"{path}.lock", run)
        try:
            with self._explained:
                if lock.is_first:  # no other process has the file open: it may be replaced
                    repair(path, lock.left)
                lock.share()
                self._file = JournalFile(path, alone=alone)
        except BaseException:
            lock.release()
            raise
        self._commit = GroupCommit(_writing(path, self._file, self._damage))
        held = (path, self._commit, self._file, lock, self._damage)
        self._close = weakref.finalize(self, _close, *held)

    def lookup(self, key: JournalKey) -> bytes | None:
        """Return what was recorded under `key`, or None."""
        return self._read(self._file.get, key)

    def lookup_equal(self, request: str) -> bytes | None:
        """Return what was recorded for an equal request, or None."""
        return self._read(self._file.get_equal, request)

    def record(self, key: JournalKey, value: bytes, spent: Spent = NOTHING) -> Future[None]:
        """Record `value`; the future is done once it is on the disk."""
        return self._commit.put(Record(key, value, spent))

    def spend(self, spent: Spent) -> Future[None]:
        """Add spending."""
        return self._commit.put(Record(None, b"", spent))

    def spent(self) -> Spent:
        """Return what all runs have spent."""
        with self._explained:
            return self._file.spent()

    def close(self) -> None:
        """Write the waiting records, and release the lock for other runs."""
        self._close()

    def _read(self, read: Callable[[Name], bytes | None], name: Name) -> bytes | None:
        try:
            with self._explained:
                stored = read(name)
            return None if stored is None else unpack(stored)
        except (_Damaged, ValueError) as error:
            if not self._damage.is_set():
                _log.warning(
                    "damaged entries of %s are ignored, and their requests sent again: %s",
                    self._path,
                    error,
                )
            self._damage.set()
            return None


def _writing(path: str, file: JournalFile, damage: threading.Event) -> Write:
    explained = _Explained(path)

    def write(records: list[Record]) -> None:
        # Compressed on the writer thread: the sender of a record does not wait for it.
        packed = [replace(record, value=pack(record.value)) for record in records]
        try:
            with explained:
                file.put(packed)
        except _Damaged:
            damage.set()
            raise

    return write


class _Damaged(JournalUnavailable):
    """The file is damaged; opening it again repairs it."""


class _Explained:
    """Turns errors of SQLite and the system into JournalUnavailable, with a remedy.

    A class, not a generator, so that one instance serves all lookups at almost no cost.
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
            raise JournalUnavailable(f"cannot open the journal {path}: {error.strerror}") from error
        if not isinstance(error, sqlite3.Error):
            return
        if not is_passing(error):
            raise _Damaged(f"{path} is damaged ({error}): the next run repairs it") from error
        hint = ": its disk is full" if "full" in str(error) else ""
        raise JournalUnavailable(f"the journal {path} cannot be used{hint} ({error})") from error


def _close(
    path: str, commit: GroupCommit, file: JournalFile, lock: RunLock, damage: threading.Event
) -> None:
    # In this order: the stamp must be that of the closed file.
    commit.close()
    try:
        file.close()
    except (sqlite3.Error, OSError) as error:
        damage.set()
        _log.warning("the journal %s could not be closed properly: %s", path, error)
    lock.release(None if damage.is_set() else stamp(path))
