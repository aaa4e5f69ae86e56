"""Reads a folder journal that other processes may be writing; see `journal.reading`."""

from __future__ import annotations

import os
from collections.abc import Iterator

from transforms.journal.base import JournalUnavailable
from transforms.journal.folder.format import is_completion, key_and_value, lines_of
from transforms.journal.reading import Entry, open_regular

_DAMAGED = "damaged-"


class FolderReader:
    """The entries of the files in `folder`. Files never change, so each is read once."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._is_local = "://" not in folder
        self._read: set[str] = set()

    def new(self) -> Iterator[Entry]:
        """Yield the entries of files that were not read before."""
        try:
            names = self._names()
        except Exception as error:
            raise self._unavailable(error) from error
        for name in sorted(names):
            if name.removeprefix(_DAMAGED) in self._read:
                continue
            data = self._data(name)
            if data is not None:
                self._read.add(name.removeprefix(_DAMAGED))
                yield from _entries(data)

    def _names(self) -> list[str]:
        if self._is_local:
            found = os.listdir(self._folder) if os.path.isdir(self._folder) else []
            return [name for name in found if _is_file(name)]
        from apache_beam.io.filesystems import FileSystems

        patterns = [f"{self._folder}/{begin}part-*.jsonl.gz" for begin in ("", _DAMAGED)]
        paths = (file.path for each in FileSystems.match(patterns) for file in each.metadata_list)
        return [path.rpartition("/")[2] for path in paths]

    def _data(self, name: str) -> bytes | None:
        """Return the bytes of a file; None if the job has just renamed it."""
        path = f"{self._folder}/{name}"
        try:
            if self._is_local:
                with open_regular(path) as file:
                    return file.read()
            from apache_beam.io.filesystem import CompressionTypes
            from apache_beam.io.filesystems import FileSystems

            with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as remote:
                return bytes(remote.read())
        except FileNotFoundError:
            return None
        except JournalUnavailable:
            raise
        except Exception as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> JournalUnavailable:
        reason = " ".join(str(error).split())[:300]
        return JournalUnavailable(f"the journal {self._folder} cannot be read: {reason}")


def _is_file(name: str) -> bool:
    return name.removeprefix(_DAMAGED).startswith("part-") and name.endswith(".jsonl.gz")


def _entries(data: bytes) -> Iterator[Entry]:
    """Yield the sound entries of a file; the next run reports a damaged one."""
    for line in lines_of(data)[0]:
        found = key_and_value(line) if is_completion(line) else None
        if found is not None:
            yield Entry(*found)
