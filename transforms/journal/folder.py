"""The journal beside remote output: a folder of small files on any Beam filesystem.

Each process writes files of its own and reads everybody's: several processes and several runs at
once are safe. A record is durable when its file is closed, some seconds later.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future

from transforms.journal.base import NOTHING, Record, Spent, Write
from transforms.journal.committing import GroupCommit
from transforms.journal.keys import JournalKey
from transforms.journal.shards import Shards
from transforms.journal.table import Table

_LOOK_AGAIN = 60.0


class FolderJournal:
    """Completions in `folder`/part-*.jsonl.gz, with a private index on the local disk.

    A file is closed after `most` records, `linger` seconds, or `quiet` seconds without a record;
    `record`'s future takes that long. What other processes write is seen within a minute. Raises
    JournalUnavailable if the folder cannot be used.
    """

    def __init__(
        self,
        folder: str,
        *,
        most: int = 1000,
        linger: float = 2.0,
        quiet: float = 0.25,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shards = Shards(folder)
        self._index = Table()
        self._clock = clock
        self._looking = threading.Lock()
        self._next_look = clock()
        self._look_again()
        write = _writing(self._shards, self._index)
        self._commit = GroupCommit(write, most=most, linger=linger, quiet=quiet)
        self._close = weakref.finalize(self, _close, self._commit, self._index)

    def lookup(self, key: JournalKey) -> bytes | None:
        """Return what was recorded under `key`, or None."""
        return self._find(lambda: self._index.get(key))

    def lookup_equal(self, request: str) -> bytes | None:
        """Return what was recorded for an equal request, or None."""
        return self._find(lambda: self._index.get_equal(request))

    def record(self, key: JournalKey, value: bytes, spent: Spent = NOTHING) -> Future[None]:
        """Keep `value`; the future is done once its file is closed."""
        return self._commit.put(Record(key, value, spent))

    def spend(self, spent: Spent) -> Future[None]:
        """Add to what was spent."""
        return self._commit.put(Record(None, b"", spent))

    def spent(self) -> Spent:
        """Return what all runs have spent, as far as this process has seen."""
        return self._index.spent()

    def close(self) -> None:
        """Write what is waiting."""
        self._close()

    def _find(self, find: Callable[[], bytes | None]) -> bytes | None:
        """Look into the index, and again if others may have written since."""
        found = find()
        if found is None and self._clock() >= self._next_look:
            self._look_again()
            found = find()
        return found

    def _look_again(self) -> None:
        with self._looking:
            if self._clock() < self._next_look:
                return  # another thread has just looked
            for records in self._shards.unread():
                self._index.put(records)
            self._next_look = self._clock() + _LOOK_AGAIN


def _writing(shards: Shards, index: Table) -> Write:
    def write(records: list[Record]) -> None:
        shards.write(records)
        index.put(records)

    return write


def _close(commit: GroupCommit, index: Table) -> None:
    commit.close()
    index.close()
