"""Writes rows of one kind to shards, one after the other.

A shard becomes visible in one of two ways (`ShardSettings.at_once`):

- At once: the writer lists a closed shard in the manifest and renames it. A thread of the process
  (`Writers`) closes the shards that are old enough, so that rows become readable while the next
  ones are waited for.
- Later: a closed shard stays unfinished, and its description leaves the bundle. A runner may repeat
  the bundle, so only the descriptions of a committed bundle lead to a rename (`publish.py`).
"""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

from pipelines.outputs.formats.base import RowFormat
from pipelines.outputs.shards.manifest import Manifest, Shard
from pipelines.outputs.shards.names import shard_name
from pipelines.outputs.shards.settings import ShardSettings
from pipelines.outputs.shards.shard import OpenShard, explained
from pipelines.outputs.shards.storage import storage_of

# A shard is closed when this share of its seconds is over: so it is readable before they are.
_EARLY = 0.85
_LONGEST_TICK = 1.0


class ShardWriter:
    """Writes records to shards of one kind. Usable from any thread."""

    def __init__(self, settings: ShardSettings, kind: str, format: RowFormat) -> None:
        self._settings = settings
        self._kind = kind
        self._format = format
        self._storage = storage_of(settings.folder)
        self._storage.prepare()
        self._manifest = Manifest(settings.folder, settings.run, alone=settings.alone)
        self._lock = threading.RLock()
        self._open: OpenShard | None = None
        self._closed: list[Shard] = []
        self.error: BaseException | None = None
        if settings.at_once:
            WRITERS.add(self)

    def write(self, record: bytes) -> None:
        """Add a record; raises DiskFull or OutputGone, also for an earlier one."""
        with self._lock:
            if self.error is not None:
                raise self.error
            if self._open is None:
                self._open = self._new()
            try:
                self._open.write(record)
            except Exception as error:
                self._fail(error)
                raise
            if self._open.rows >= self._settings.rows:
                self._close()

    def take(self) -> list[Shard]:
        """Close the open shard, and return those that were closed since the last call."""
        with self._lock:
            if self.error is not None:
                raise self.error
            self._close()
            taken, self._closed = self._closed, []
            return taken

    def close_if_due(self, now: float) -> None:
        """Close a shard that is old enough; `write` or `take` raises the error if that fails."""
        with self._lock, suppress(Exception):
            shard = self._open
            if shard is not None and now - shard.opened >= _EARLY * self._settings.seconds:
                self._close()

    def close(self) -> None:
        """Close the open shard; if shards become visible later, remove those not taken."""
        with self._lock:
            if self._settings.at_once:
                WRITERS.remove(self)
                with suppress(Exception):
                    self._close()
            else:
                self.discard()

    def discard(self) -> None:
        """Remove the shards that have not been taken."""
        with self._lock:
            if self._open is not None:
                self._open.discard()
                self._open = None
            for shard in self._closed:
                with suppress(OSError):
                    self._storage.discard(shard.name)
            self._closed = []

    @property
    def tick(self) -> float:
        """Seconds between two looks at the age of the open shard."""
        return min(_LONGEST_TICK, max(0.01, self._settings.seconds / 20))

    def _new(self) -> OpenShard:
        numbered, run = self._settings.at_once and self._settings.alone, self._settings.run
        shard = f"{WRITERS.number(run):05d}" if numbered else secrets.token_hex(8)
        name = shard_name(self._kind, run, shard, self._format.suffix)
        return OpenShard(self._settings.folder, self._storage, name, self._kind, self._format)

    def _close(self) -> None:
        if (shard := self._open) is None:
            return
        self._open = None
        try:
            if (finished := shard.finish()) is None:
                return
            if self._settings.at_once:
                with explained(self._settings.folder, finished.name):
                    self._manifest.add([finished])
                    self._storage.publish(finished.name)
            self._closed.append(finished)
        except Exception as error:
            self._fail(error)
            raise

    def _fail(self, error: BaseException) -> None:
        self.error = error
        if self._open is not None:
            self._open.discard()
            self._open = None


class Writers:
    """The writers of this process whose shards become visible at once, and the thread for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._writers: list[ShardWriter] = []
        self._numbers: dict[str, Iterator[int]] = {}
        self._changed = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, writer: ShardWriter) -> None:
        """Watch the age of the writer's shards."""
        with self._lock:
            self._writers.append(writer)
            self._changed.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="shards", daemon=True)
                self._thread.start()

    def remove(self, writer: ShardWriter) -> None:
        """Watch the writer no longer."""
        with self._lock:
            if writer in self._writers:
                self._writers.remove(writer)
            self._changed.set()

    def number(self, run: str) -> int:
        """Return the number of the next shard of a run in this process, from 1."""
        with self._lock:
            return next(self._numbers.setdefault(run, itertools.count(1)))

    def close(self) -> None:
        """Make all whole rows visible: the job has ended before its end."""
        with self._lock:
            writers = list(self._writers)
        for writer in writers:
            writer.close()

    def _watch(self) -> None:
        while True:
            with self._lock:
                writers = list(self._writers)
                self._changed.clear()
                if not writers:
                    self._thread = None
                    return
            now = time.monotonic()
            for writer in writers:
                writer.close_if_due(now)
            self._changed.wait(min(writer.tick for writer in writers))


WRITERS = Writers()
