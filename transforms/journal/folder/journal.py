"""The journal beside remote output: a folder of small files on any Beam filesystem.

Each process writes files of its own and reads everybody's: several processes and several runs at
once are safe. A record is durable when its file is closed, some seconds later. Opening reads only
what each file says of itself; a file is fetched when the first of its rows is looked for.
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
        """Keep `value`; the future is done once its file is closed."""
        return self._commit.put(Record(key, value, spent))

    def spend(self, spent: Spent) -> Future[None]:
        """Add to what was spent."""
        return self._commit.put(Record(None, b"", spent))

    def spent(self) -> Spent:
        """Return what all runs have spent, as far as this process has seen."""
        return self._files.spent

    def close(self) -> None:
        """Write what is waiting."""
        self._close()

    def _find(self, find: Callable[[], bytes | None]) -> bytes | None:
        """Look among the files, and again if others may have written since."""
        found = find()
        if found is None and self._clock() >= self._next_look:
            self._look_again()
            found = find()
        return found

    def _look_again(self) -> None:
        with self._looking:
            if self._clock() < self._next_look:
                return  # another thread has just looked
            self._files.look_again()
            self._next_look = self._clock() + _LOOK_AGAIN


class _Files:
    """The files and their index together."""

    def __init__(self, folder: str) -> None:
        self.spent = NOTHING
        self._shards = Shards(folder)
        self._index = Index()
        self._fetched: set[int] = set()
        self._lock = threading.Lock()  # of what is above it, and of fetching

    def write(self, records: list[Record]) -> None:
        """Write one more file."""
        self._add([self._shards.write(records)])

    def look_again(self) -> None:
        """Note what is in new files."""
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
        """Let go of the index."""
        self._index.close()

    def _add(self, shards: list[Shard]) -> None:
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
        is_asked: Callable[[JournalKey], bool],
        fetched: frozenset[int] = frozenset(),
    ) -> bytes | None:
        """Return the value of the first place that has what is asked: hashes can be another's."""
        for number, line in find():
            if line is None and number not in fetched:
                self._fetch(number)
                return self._first(find, is_asked, fetched | {number})
            record = from_line(line) if line is not None else None
            if record is not None and record.key is not None and is_asked(record.key):
                return record.value
        return None

    def _fetch(self, number: int) -> None:
        """Bring the lines of a file, once."""
        with self._lock:
            if number in self._fetched:
                return
            shard = self._shards.fetch(number)
            if shard.number != number:  # what is left of a damaged file
                self._index.add([(shard.number, shard.rows)])
            self._keep(shard)
            self._fetched.add(number)


def _close(commit: GroupCommit, files: _Files) -> None:
    commit.close()
    files.close()
