"""Writes outcomes in the order of their rows, for jobs on one machine.

The problem: Beam yields outcomes in any order, and there may be more of them than memory holds.

The idea: many workers insert records into one SQLite file, the spool, which sorts them by an index.
Once all records are in, the step that ends the run reads them in order and writes the shards:

    outcomes --> PutDown (insert, count) --(side input: all inserts are done)--> Finish (write)

Invariants:
- The side input makes `Finish` wait for the last insert.
- The key is path, line and id. So a retried bundle replaces its records instead of doubling them.
- The names of the shards have numbers, in the order of the rows. They appear when all rows are
  written.
- A crash loses the spool, and nothing else: the journal has the completions.
"""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindows

from pipelines.outputs.formats.base import RowFormat
from pipelines.outputs.shards.manifest import Shard
from pipelines.outputs.shards.names import shard_name
from pipelines.outputs.shards.settings import ShardSettings
from pipelines.outputs.shards.shard import OpenShard
from pipelines.outputs.shards.storage import storage_of
from pipelines.outputs.shards.write import Accounts, Count, Part
from pipelines.spools import Spool
from transforms.disks import temporary_disk
from transforms.elements import Completion, DeadLetter

_SCHEMA = "CREATE TABLE IF NOT EXISTS rows (path TEXT, line INTEGER, id TEXT, record BLOB)"
_UNIQUE = "CREATE UNIQUE INDEX IF NOT EXISTS by_place ON rows (path, line, id)"
_INSERT = "INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?)"  # a retried bundle replaces its rows


@dataclass(frozen=True)
class Spooled:
    """The records of one kind, which wait in the SQLite file `path` for their order."""

    path: str
    kind: str
    format: RowFormat

    def write(self, settings: ShardSettings) -> list[Shard]:
        """Write all records to shards, by file name and line, and return the shards."""
        found: list[Shard] = []
        shard: OpenShard | None = None
        try:
            for record in _sorted_records(self.path):
                shard = shard or self._new(settings, len(found) + 1)
                shard.write(record)
                if shard.rows >= settings.rows:
                    found += _finished(shard)
                    shard = None
        except BaseException:
            if shard is not None:
                shard.discard()
            raise
        return found if shard is None else found + _finished(shard)

    def _new(self, settings: ShardSettings, number: int) -> OpenShard:
        name = shard_name(self.kind, settings.run, f"{number:05d}", self.format.suffix)
        storage = storage_of(settings.folder)
        return OpenShard(settings.folder, storage, name, self.kind, self.format)


def _finished(shard: OpenShard) -> list[Shard]:
    finished = shard.finish()
    return [] if finished is None else [finished]


class PutDown(beam.ParDo):  # type: ignore[misc]
    """Keep `Completion`s or `DeadLetter`s in a spool; returns a `Part` for each bundle.

    `spooled` is for `Finish`. All workers must be on the machine that builds the pipeline.
    """

    def __init__(self, kind: str, format: RowFormat, accounts: Accounts) -> None:
        folder = Spool()
        self.spooled = Spooled(folder.file("rows.sqlite"), kind, format)
        super().__init__(_PutDownFn(self.spooled, accounts))
        self.with_output_types(Part)
        weakref.finalize(self, folder.remove)


class _PutDownFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, spooled: Spooled, accounts: Accounts) -> None:
        self._accounts = accounts
        self._path = spooled.path
        self._format = spooled.format

    def setup(self) -> None:
        self._count = Count(self._accounts)
        # The spool is worthless after a crash, so SQLite need not wait for the disk.
        self._db = sqlite3.connect(self._path, timeout=600, check_same_thread=False)
        with temporary_disk():
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute(_SCHEMA)
            self._db.execute(_UNIQUE)

    def start_bundle(self) -> None:
        self._count.start()

    def process(self, outcome: Completion | DeadLetter) -> None:
        if outcome.place is None:
            raise ValueError(f"row {outcome.id!r} must have a place; read it with ReadPrompts")
        self._count.add(outcome)
        path, _, line = outcome.place.rpartition(":")
        row = (path, int(line), outcome.id, self._format.encode(outcome))
        with temporary_disk():
            self._db.execute(_INSERT, row)
            self._db.commit()  # other threads insert too, and wait for the lock

    def finish_bundle(self) -> Iterator[Any]:
        if self._count.rows:
            yield GlobalWindows.windowed_value(Part(self._count.totals))

    def teardown(self) -> None:
        self._db.close()


def _sorted_records(spool: str) -> Iterator[bytes]:
    with closing(sqlite3.connect(spool)) as db:
        with temporary_disk():
            db.execute(_SCHEMA)  # no worker has made it if there are no rows
            rows = db.execute("SELECT record FROM rows ORDER BY path, line, id")
        for (record,) in rows:
            yield record
