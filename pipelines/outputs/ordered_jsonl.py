"""Outcomes in the order of their rows: put down on this machine's disk, and read back sorted.

For jobs that run on one machine; nothing but the line being written is held in memory.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.transforms.window import GlobalWindows

from pipelines.outputs.jsonl import to_json, write_whole
from transforms.elements import Completion, DeadLetter

_SCHEMA = "CREATE TABLE IF NOT EXISTS lines (path TEXT, line INTEGER, id TEXT, json TEXT)"
_UNIQUE = "CREATE UNIQUE INDEX IF NOT EXISTS by_place ON lines (path, line, id)"
_INSERT = "INSERT OR REPLACE INTO lines VALUES (?, ?, ?, ?)"  # a bundle that is repeated replaces


class WriteInOrder(beam.PTransform):  # type: ignore[misc]
    """Write `Completion`s or `DeadLetter`s to one file, `folder/name-00000-of-00001.jsonl`.

    In the order of their rows: files by name, then lines. The file appears when it is whole. All
    workers must be on the machine where the pipeline was put together.
    """

    def __init__(self, folder: str, name: str) -> None:
        super().__init__()
        self._path = FileSystems.join(folder, f"{name}-00000-of-00001.jsonl")

    def expand(self, outcomes: Any) -> Any:
        """Put down, then sort."""
        folder = tempfile.mkdtemp(prefix="ritellm-order-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        spool = os.path.join(folder, "lines.sqlite")
        rows = (
            outcomes
            | "PutDown" >> beam.ParDo(_PutDownFn(spool)).with_output_types(int)
            | "Count" >> beam.CombineGlobally(sum)
        )
        return (
            outcomes.pipeline
            | "Once" >> beam.Create([None])
            | "Sort" >> beam.ParDo(_SortFn(spool, self._path), beam.pvalue.AsSingleton(rows))
        )


class _PutDownFn(beam.DoFn):  # type: ignore[misc]
    """Puts lines into a SQLite file, a transaction per bundle; yields how many."""

    def __init__(self, spool: str) -> None:
        self._spool = spool

    def setup(self) -> None:
        # What is put down is worth nothing after a crash: no waiting for the disk.
        self._db = sqlite3.connect(self._spool, timeout=600, check_same_thread=False)
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute(_SCHEMA)
        self._db.execute(_UNIQUE)

    def start_bundle(self) -> None:
        self._count = 0

    def process(self, outcome: Completion | DeadLetter) -> None:
        if outcome.place is None:
            raise ValueError(f"row {outcome.id!r} has no place: it was not read by ReadPrompts")
        path, _, line = outcome.place.rpartition(":")
        self._db.execute(_INSERT, (path, int(line), outcome.id, to_json(outcome)))
        self._db.commit()  # other threads put down, too
        self._count += 1

    def finish_bundle(self) -> Iterator[Any]:
        yield GlobalWindows.windowed_value(self._count)

    def teardown(self) -> None:
        self._db.close()


class _SortFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, spool: str, path: str) -> None:
        self._spool = spool
        self._path = path

    def process(self, _: None, count: int) -> Iterator[str]:
        if count:
            lines = (text.encode() + b"\n" for text in _sorted_lines(self._spool))
            write_whole(self._path, lines, "text/plain")
            yield self._path


def _sorted_lines(spool: str) -> Iterator[str]:
    with closing(sqlite3.connect(spool)) as db:
        for (text,) in db.execute("SELECT json FROM lines ORDER BY path, line, id"):
            yield text
