"""Reads, writes, renames and removes the files of an output folder, local or in a bucket.

A file appears whole under its name or not at all: it is written under `_unfinished/` and renamed.
A local rename is atomic. In a bucket a rename copies the object, which also appears whole.

Local files are flushed to the disk (fsync) before they are renamed. So after a power failure a file
under its final name has its content. The rename itself is not flushed: it may be lost, and with it
one file, whose rows the journal has.

The module imports Beam for buckets only.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, BinaryIO, Protocol

from pipelines.filesystem import is_local
from pipelines.outputs.shards.names import KINDS, UNFINISHED


class Storage(Protocol):
    """The files of one folder. Names are relative to it, with `/` between parts."""

    def prepare(self) -> None:
        """Make the folder, if the filesystem has folders."""

    def names(self, within: str = "") -> dict[str, int]:
        """Return the names in the folder, or in one below it, with their sizes in bytes.

        Of a bucket these are outputs only: it may hold many other objects.
        """

    def read(self, name: str) -> bytes:
        """Return the content of a file; raises FileNotFoundError, from a bucket OSError."""

    def read_existing(self, name: str) -> bytes | None:
        """Return the content of a file, None if it does not exist."""

    def create(self, name: str, mime_type: str) -> BinaryIO:
        """Open the unfinished file that `publish` will rename to `name`."""

    def finish(self, file: BinaryIO) -> None:
        """Close a created file, whose bytes are then safe."""

    def publish(self, name: str) -> None:
        """Rename the unfinished file to `name`; do nothing if that has happened before."""

    def discard(self, name: str) -> None:
        """Remove the unfinished file of `name`, if it exists."""

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; missing ones are ignored."""

    def remove_folder(self, name: str) -> None:
        """Remove a folder below this one if it is empty."""


def storage_of(folder: str) -> Storage:
    """Return the files of `folder`."""
    return Local(folder) if is_local(folder) else Bucket(folder)


def write_whole(storage: Storage, name: str, data: bytes, mime_type: str = "text/plain") -> None:
    """Write `data` to a file that appears whole; it replaces an earlier one."""
    with storage.create(name, mime_type) as file:
        file.write(data)
        storage.finish(file)
    storage.publish(name)


class Local:
    """A folder on this machine. See `Storage`."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def prepare(self) -> None:
        """Make the folder: a worker on another machine does not have it."""
        os.makedirs(self._folder, exist_ok=True)

    def names(self, within: str = "") -> dict[str, int]:
        """Return the names with sizes; none for a missing folder."""
        found = {}
        with suppress(FileNotFoundError), os.scandir(self.path(within)) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # renamed meanwhile
                    if entry.is_file():
                        found[entry.name] = entry.stat().st_size
        return found

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        with open(self.path(name), "rb") as file:
            return file.read()

    def read_existing(self, name: str) -> bytes | None:
        """Return the content of a file, None if it does not exist."""
        try:
            return self.read(name)
        except FileNotFoundError:
            return None

    def create(self, name: str, mime_type: str) -> BinaryIO:
        """Open the unfinished file of `name`."""
        for below in filter(None, (os.path.dirname(name), UNFINISHED)):
            with suppress(FileExistsError):  # the output folder itself must exist
                os.mkdir(self.path(below))
        return open(self.path(_unfinished(name)), "wb")

    def finish(self, file: BinaryIO) -> None:
        """Flush to the disk and close."""
        file.flush()
        flush_to_disk(file.fileno())
        file.close()

    def publish(self, name: str) -> None:
        """Rename; a file that has been renamed stays."""
        try:
            os.replace(self.path(_unfinished(name)), self.path(name))
        except FileNotFoundError:
            if not os.path.exists(self.path(name)):
                raise

    def discard(self, name: str) -> None:
        """Remove the unfinished file of `name`."""
        self.remove([_unfinished(name)])

    def remove(self, names: Iterable[str]) -> None:
        """Remove files."""
        for name in names:
            with suppress(FileNotFoundError):
                os.remove(self.path(name))

    def remove_folder(self, name: str) -> None:
        """Remove an empty folder."""
        with suppress(OSError):
            os.rmdir(self.path(name))

    def path(self, name: str) -> str:
        """Return the path of a name."""
        return os.path.join(self._folder, name)


class Bucket:
    """A folder on one of Beam's other filesystems. See `Storage`."""

    def __init__(self, folder: str) -> None:
        from apache_beam.io.filesystems import FileSystems

        self._files: Any = FileSystems
        self._folder = folder.rstrip("/")

    def prepare(self) -> None:
        """Do nothing: a bucket has no folders."""

    def names(self, within: str = "") -> dict[str, int]:
        """Return the names of outputs with sizes."""
        patterns = [f"{within}/*"] if within else [f"{kind}-*" for kind in KINDS]
        matches = self._files.match([self._path(pattern) for pattern in patterns])
        found = [file for match in matches for file in match.metadata_list]
        return {file.path.rpartition("/")[2]: file.size_in_bytes for file in found}

    def read(self, name: str) -> bytes:
        """Return the content of an object."""
        with self._files.open(self._path(name)) as file:
            return bytes(file.read())

    def read_existing(self, name: str) -> bytes | None:
        """Return the content of an object, None if it does not exist."""
        return self.read(name) if self._files.exists(self._path(name)) else None

    def create(self, name: str, mime_type: str) -> BinaryIO:
        """Open the unfinished object of `name`."""
        file: BinaryIO = self._files.create(self._path(_unfinished(name)), mime_type)
        return file

    def finish(self, file: BinaryIO) -> None:
        """Close, which completes the upload."""
        file.close()

    def publish(self, name: str) -> None:
        """Copy and delete; an earlier object of the name is replaced."""
        source, target = self._path(_unfinished(name)), self._path(name)
        replaces = self._files.exists(target)
        if not self._files.exists(source):
            if not replaces:
                raise FileNotFoundError(errno.ENOENT, "the unfinished object is gone", source)
            return
        if replaces:  # a rename in a bucket does not replace
            self._files.delete([target])
        self._files.rename([source], [target])

    def discard(self, name: str) -> None:
        """Remove the unfinished object of `name`."""
        self.remove([_unfinished(name)])

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects."""
        there = [path for path in map(self._path, names) if self._files.exists(path)]
        if there:
            self._files.delete(there)

    def remove_folder(self, name: str) -> None:
        """Do nothing: a bucket has no folders."""

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}"


def flush_to_disk(file: int) -> None:
    """Wait until the disk has the file, on file systems that offer it."""
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def _unfinished(name: str) -> str:
    return f"{UNFINISHED}/{name.replace('/', '-')}"


def join(folder: str, name: str) -> str:
    """Return the path of a file of `folder`, local or in a bucket."""
    return os.path.join(folder, name) if is_local(folder) else f"{folder.rstrip('/')}/{name}"
