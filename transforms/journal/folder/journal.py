"""The journal for remote output: a folder of small files on any Beam filesystem.

The problem: object stores have no locks, no appends and slow requests, and the workers of a job
share nothing else.

The idea: each process writes whole files of its own and reads the files of all processes. Opening
the journal reads only the index at the beginning of each file (`format`); a file is fetched when
the first of its rows is looked up.

What holds:

- Files never change after they are written, so several processes and runs at once are safe.
- A record is durable once its file is closed, some seconds after `record`.
- Rows that other processes write are found within a minute (`_LOOK_AGAIN`).
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future

from transforms.journal.base import NOTHING, Record, Spent
from transforms.journal.folder.format import equal_hash, from_line, key_hash
from transforms.journal.folder.index import Index
from transforms.journal.folder.shards import Shard, Shards
from transforms.journal.group_commit import GroupCommit
from transforms.journal.key import JournalKey

# Seconds between two listings of the folder: a listing is billed and takes a while.
_LOOK_AGAIN = 60.0


class FolderJournal:
    """Completions in `folder`/part-*.jsonl.gz, with a private index on the local disk.

    A file is closed after `most` records, `linger` seconds, or `quiet` seconds without a record;
    `record`'s future takes that long. Raises JournalUnavailable if the folder cannot be used.
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
        self._files = _Files(folder)
        self._clock = clock
        self._looking = threading.Lock()
        self._next_look = clock()
        self._look_again()
        self._commit = GroupCommit(self._files.write, most=most, linger=linger, quiet=quiet)
        self._close = weakref.finalize(self, _close, self._commit, self._files)

    def lookup(self, key: JournalKey) -> bytes | None:
        """Return what was recorded under `key`, or None."""
        return self._find(lambda: self._files.first(key))

    def lookup_equal(self, request: str) -> bytes | None:
        """Return what was recorded for an equal request, or None."""
        return self._find(lambda: self._files.first_equal(request))

    def record(self, key: JournalKey, value: bytes, spent: Spent = NOTHING) -> Future[None]:
        """Record `value`; the future is done once its file is closed."""
        return self._commit.put(Record(key, value, spent))

    def spend(self, spent: Spent) -> Future[None]:
        """Add spending."""
        return self._commit.put(Record(None, b"", spent))

    def spent(self) -> Spent:
        """Return what all runs have spent, in the files that this process knows."""
        return self._files.spent

    def close(self) -> None:
        """Write the waiting records."""
        self._close()

    def _find(self, find: Callable[[], bytes | None]) -> bytes | None:
        """Search the known files; list the folder and search again if the last listing is old."""
        found = find()
        if found is None and self._clock() >= self._next_look:
            self._look_again()
            found = find()
        return found

    def _look_again(self) -> None:
        # One thread lists the folder; the others wait for it, since it may find their row.
        with self._looking:
            if self._clock() < self._next_look:
                return  # another thread has just listed the folder
            self._files.look_again()
            self._next_look = self._clock() + _LOOK_AGAIN


class _Files:
    """The files of the folder, and the index of their rows."""

    def __init__(self, folder: str) -> None:
        self.spent = NOTHING
        self._shards = Shards(folder)
        self._index = Index()
        self._fetched: set[int] = set()
        self._lock = threading.Lock()  # guards the attributes above it, and fetching

    def write(self, records: list[Record]) -> None:
        """Write one more file."""
        self._add([self._shards.write(records)])

    def look_again(self) -> None:
        """Add the rows of new files."""
        for shards in self._shards.unread():
            self._add(shards)

    def first(self, key: JournalKey) -> bytes | None:
        """Return the newest value of `key`."""
        hash = key_hash(key)
        return self._first(lambda: self._index.find(hash), lambda found: found == key)

    def first_equal(self, request: str) -> bytes | None:
        """Return the newest value of an equal request."""
        hash = equal_hash(request)
        return self._first(
            lambda: self._index.find_equal(hash), lambda found: found.request == request
        )

    def close(self) -> None:
        """Close the index."""
        self._index.close()

    def _add(self, shards: list[Shard]) -> None:
        # The index first: a row that is found without its line is fetched.
        if shards:
            self._index.add((shard.number, shard.rows) for shard in shards)
        with self._lock:
            for shard in shards:
                self.spent += shard.spent
                self._keep(shard)

    def _keep(self, shard: Shard) -> None:
        if shard.lines is not None:
            self._index.keep(shard.number, shard.lines)
            self._fetched.add(shard.number)

    def _first(
        self,
        find: Callable[[], list[tuple[int, bytes | None]]],
        matches: Callable[[JournalKey], bool],
        fetched: frozenset[int] = frozenset(),
    ) -> bytes | None:
        """Return the newest value whose key `matches`: other keys may have the same hash."""
        for number, line in find():
            if line is None and number not in fetched:
                self._fetch(number)
                return self._first(find, matches, fetched | {number})
            record = from_line(line) if line is not None else None
            if record is not None and record.key is not None and matches(record.key):
                return record.value
        return None

    def _fetch(self, number: int) -> None:
        """Fetch the lines of a file, unless they were fetched before."""
        with self._lock:
            if number in self._fetched:
                return
            shard = self._shards.fetch(number)
            if shard.number != number:  # the file was damaged: its sound lines have a new number
                self._index.add([(shard.number, shard.rows)])
            self._keep(shard)
            self._fetched.add(number)


def _close(commit: GroupCommit, files: _Files) -> None:
    commit.close()
    files.close()
