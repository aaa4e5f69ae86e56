"""Writes outcomes in the order of their rows, for jobs on one machine.

The problem: Beam yields outcomes in any order, and there may be more of them than memory holds.

The idea: many workers insert records into one SQLite file, the spool, which sorts them by an index.
Once all records are in, one worker reads them in order and writes the output:

    outcomes --> PutDown (insert) --> Count --(side input: all inserts are done)--> Sort (write)

Invariants:
- The side input makes Sort wait for the last insert.
- The key is path, line and id. So a retried bundle replaces its records instead of doubling them.
- The output appears under its name only when it is complete.
- A crash loses the spool, and nothing else: the journal has the completions.
"""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import closing
from typing import Any, BinaryIO

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.transforms.window import GlobalWindows

from pipelines.outputs.formats.base import RowFormat
from pipelines.outputs.whole_file import write_whole_by
from pipelines.spools import Spool
from transforms.disks import temporary_disk
from transforms.elements import Completion, DeadLetter

_SCHEMA = "CREATE TABLE IF NOT EXISTS rows (path TEXT, line INTEGER, id TEXT, record BLOB)"
_UNIQUE = "CREATE UNIQUE INDEX IF NOT EXISTS by_place ON rows (path, line, id)"
_INSERT = "INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?)"  # a retried bundle replaces its rows


class WriteInOrder(beam.PTransform):  # type: ignore[misc]
    """Write `Completion`s or `DeadLetter`s to one file, `folder/name-00000-of-00001.SUFFIX`.

    The order is that of the input: files by name, then lines. The file appears when it is complete.
    All workers must be on the machine that builds the pipeline.
    """

    def __init__(self, folder: str, name: str, format: RowFormat) -> None:
        super().__init__()
        self._path = FileSystems.join(folder, f"{name}-00000-of-00001{format.suffix}")
        self._format = format

    def expand(self, outcomes: Any) -> Any:
        """Insert all records, then sort."""
        folder = Spool()
        weakref.finalize(self, folder.remove)
        spool = folder.file("rows.sqlite")
        rows = (
            outcomes
            | "PutDown" >> beam.ParDo(_PutDownFn(spool, self._format)).with_output_types(int)
            | "Count" >> beam.CombineGlobally(sum)
        )
        return (
            outcomes.pipeline
            | "Once" >> beam.Create([None])
            | "Sort"
            >> beam.ParDo(_SortFn(spool, self._path, self._format), beam.pvalue.AsSingleton(rows))
        )


class _PutDownFn(beam.DoFn):  # type: ignore[misc]
    """Inserts records into the spool; yields their number for each bundle."""

    def __init__(self, spool: str, format: RowFormat) -> None:
        self._spool = spool
        self._format = format

    def setup(self) -> None:
        # The spool is worthless after a crash, so SQLite need not wait for the disk.
        self._db = sqlite3.connect(self._spool, timeout=600, check_same_thread=False)
        with temporary_disk():
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute(_SCHEMA)
            self._db.execute(_UNIQUE)

    def start_bundle(self) -> None:
        self._count = 0

    def process(self, outcome: Completion | DeadLetter) -> None:
        if outcome.place is None:
            raise ValueError(f"row {outcome.id!r} must have a place; read it with ReadPrompts")
        path, _, line = outcome.place.rpartition(":")
        row = (path, int(line), outcome.id, self._format.encode(outcome))
        with temporary_disk():
            self._db.execute(_INSERT, row)
            self._db.commit()  # other threads insert too, and wait for the lock
        self._count += 1

    def finish_bundle(self) -> Iterator[Any]:
        yield GlobalWindows.windowed_value(self._count)

    def teardown(self) -> None:
        self._db.close()


class _SortFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, spool: str, path: str, format: RowFormat) -> None:
        self._spool = spool
        self._path = path
        self._format = format

    def process(self, _: None, count: int) -> Iterator[str]:
        if count:
            write_whole_by(self._path, self._write, self._format.mime_type)
            yield self._path

    def _write(self, file: BinaryIO) -> None:
        writer = self._format.open(file)
        for record in _sorted_records(self._spool):
            writer.write(record)
        writer.close()


def _sorted_records(spool: str) -> Iterator[bytes]:
    with closing(sqlite3.connect(spool)) as db:
        with temporary_disk():
            rows = db.execute("SELECT record FROM rows ORDER BY path, line, id")
        for (record,) in rows:
            yield record
