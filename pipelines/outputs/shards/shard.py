"""One shard while it is written: it counts its rows and bytes, and has their checksum."""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, cast

from pipelines.errors import OutputGone
from pipelines.filesystem import is_local
from pipelines.outputs.formats.base import RowFormat
from pipelines.outputs.shards.manifest import Shard
from pipelines.outputs.shards.storage import Storage
from transforms.disks import output_disk

_BUFFER = 1 << 18


class OpenShard:
    """The shard `name` of a folder, under its unfinished name.

    Methods raise DiskFull or OutputGone, which say what to do.
    """

    def __init__(
        self, folder: str, storage: Storage, name: str, kind: str, format: RowFormat
    ) -> None:
        self.rows = 0
        self.opened = time.monotonic()
        self.name = name
        self._kind = kind
        self._folder = folder
        self._storage = storage
        self._is_whole = True
        with explained(folder, name):
            self._file = storage.create(name, format.mime_type)
            self._is_done = False
            self._digest = _Digest(self._file)
            self._buffer = io.BufferedWriter(cast(io.RawIOBase, self._digest), _BUFFER)
            try:
                self._writer = format.open(cast(BinaryIO, self._buffer))
            except BaseException:
                self.discard()
                raise

    def write(self, record: bytes) -> None:
        """Add a record."""
        # Ctrl-C may interrupt the main thread anywhere in here.
        self._is_whole = False
        try:
            self._writer.write(record)
        except OSError:
            with explained(self._folder, self.name):
                raise
        self.rows += 1
        self._is_whole = True

    def finish(self) -> Shard | None:
        """Complete the unfinished file. None for a shard without whole rows, which is discarded."""
        if not self._is_whole or not self.rows:
            self.discard()
            return None
        try:
            with explained(self._folder, self.name):
                self._writer.close()
                self._buffer.flush()
                self._storage.finish(self._file)
        except BaseException:
            self.discard()
            raise
        self._is_done = True
        digest = self._digest
        return Shard(self.name, self._kind, self.rows, digest.count, digest.sha256.hexdigest())

    def discard(self) -> None:
        """Remove the unfinished file."""
        self._is_done = True
        with suppress(OSError, ValueError):  # a full disk refuses what is still in a buffer
            self._file.close()
        with suppress(OSError, ValueError):
            self._buffer.close()
        with suppress(OSError):
            self._storage.discard(self.name)

    def __del__(self) -> None:
        # A runner may drop a worker that has failed, without a word to it.
        if not getattr(self, "_is_done", True):
            self.discard()


class _Digest(io.RawIOBase):
    """Passes bytes on to a file, and computes their checksum."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.count = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._file.write(data)
        self.sha256.update(data)
        self.count += len(data)
        return len(data)

    def tell(self) -> int:
        return self.count


@contextmanager
def explained(folder: str, name: str) -> Iterator[None]:
    """Turn errors of a full disk into DiskFull, and those of a missing folder into OutputGone."""
    try:
        with output_disk(f"{folder.rstrip('/')}/{name}"):
            yield
    except FileNotFoundError as error:
        if not is_local(folder) or os.path.isdir(folder):
            raise
        raise OutputGone(
            f"the output folder {folder} was removed or renamed while the job was writing to it;"
            " run the same command again"
        ) from error
