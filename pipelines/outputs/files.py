"""Writes outcomes to the files of a folder, in any format."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from contextlib import suppress
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.coders import BytesCoder
from apache_beam.io.filebasedsink import FileBasedSink
from apache_beam.io.filesystems import FileSystems

from pipelines.filesystem import is_local
from pipelines.inputs.paths import has_wildcard
from pipelines.outputs.formats.base import RowFormat, RowWriter
from transforms.disks import Disk, DiskFull, output_disk


class WriteRows(beam.PTransform):  # type: ignore[misc]
    """Write elements to `folder/name-*`. Readers never see partial files."""

    def __init__(self, folder: str, name: str, format: RowFormat) -> None:
        super().__init__()
        if is_local(folder) and has_wildcard(folder):
            folder = self._other_name(folder)
        self._prefix = FileSystems.join(folder, name)
        self._format = format

    def _other_name(self, folder: str) -> str:
        """Return a link to `folder`: Beam takes brackets in a path for a wildcard."""
        parent = tempfile.mkdtemp(prefix="ritellm-output-")
        weakref.finalize(self, shutil.rmtree, parent, ignore_errors=True)
        link = os.path.join(parent, "output")
        os.symlink(os.path.abspath(folder), link)
        return link

    def expand(self, elements: Any) -> Any:
        """Encode and write."""
        return (
            elements
            | self._format.step >> beam.Map(self._format.encode).with_output_types(bytes)
            | "Write" >> beam.io.Write(_Files(self._prefix, self._format))
        )


class _Open(NamedTuple):
    file: Any
    writer: RowWriter


class _Files(FileBasedSink):  # type: ignore[misc]
    """Files of records; an error says which disk is full."""

    def __init__(self, prefix: str, format: RowFormat) -> None:
        super().__init__(
            prefix,
            BytesCoder(),
            file_name_suffix=format.suffix,
            mime_type=format.mime_type,
            skip_if_empty=True,
        )
        self._format = format
        self._disk = output_disk(prefix)

    def open(self, temp_path: str) -> _Open:
        with self._disk:
            file = super().open(temp_path)
        with self._writing(file):
            return _Open(file, self._format.open(file))

    def write_record(self, handle: _Open, value: bytes) -> None:
        with self._writing(handle.file):
            handle.writer.write(value)

    def close(self, handle: _Open) -> None:
        with self._writing(handle.file):
            handle.writer.close()
            super().close(handle.file)

    def _writing(self, file: Any) -> _Writing:
        return _Writing(file, self._disk)


class _Writing:
    """Explains errors of a full disk, and closes the file, which Beam leaves open then."""

    __slots__ = ("_disk", "_file")

    def __init__(self, file: Any, disk: Disk) -> None:
        self._file = file
        self._disk = disk

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        try:
            self._disk.__exit__(kind, error, trace)
        except DiskFull:
            with suppress(OSError):  # it still buffers what has no room
                self._file.close()
            raise
