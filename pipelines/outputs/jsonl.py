"""Writes outcomes as JSON lines; each line contains its input row."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import apache_beam as beam
from apache_beam.coders import StrUtf8Coder
from apache_beam.io.filebasedsink import FileBasedSink
from apache_beam.io.filesystems import FileSystems

from pipelines.filesystem import is_local
from pipelines.inputs.paths import has_wildcard
from transforms.disks import DiskFull, output_disk
from transforms.elements import Completion, DeadLetter, Delta
from transforms.serialization import to_bytes


def write_whole(path: str, pieces: Iterable[bytes], mime_type: str) -> None:
    """Write a file that appears when it is complete, and replaces that of an earlier run."""
    unfinished = f"{path}.unfinished"
    with output_disk(path), FileSystems.create(unfinished, mime_type) as file:
        for piece in pieces:
            file.write(piece)
    if is_local(path):
        os.replace(unfinished, path)
        return
    if FileSystems.exists(path):  # a rename in a bucket does not replace
        FileSystems.delete([path])
    FileSystems.rename([unfinished], [path])


class WriteLines(beam.PTransform):  # type: ignore[misc]
    """Write elements to `folder/name-*.jsonl`, one line each. Readers never see partial files."""

    def __init__(self, folder: str, name: str) -> None:
        super().__init__()
        if is_local(folder) and has_wildcard(folder):
            folder = self._other_name(folder)
        self._prefix = FileSystems.join(folder, name)

    def _other_name(self, folder: str) -> str:
        """Return a link to `folder`: Beam takes brackets in a path for a wildcard."""
        parent = tempfile.mkdtemp(prefix="ritellm-output-")
        weakref.finalize(self, shutil.rmtree, parent, ignore_errors=True)
        link = os.path.join(parent, "output")
        os.symlink(os.path.abspath(folder), link)
        return link

    def expand(self, elements: Any) -> Any:
        """Convert to JSON and write."""
        return (
            elements
            | "ToJson" >> beam.Map(to_json).with_output_types(str)
            | "Write" >> beam.io.Write(_Lines(self._prefix))
        )


class _Lines(FileBasedSink):  # type: ignore[misc]
    """Files of lines; an error says which disk is full."""

    def __init__(self, prefix: str) -> None:
        super().__init__(
            prefix,
            StrUtf8Coder(),
            file_name_suffix=".jsonl",
            mime_type="text/plain",
            skip_if_empty=True,
        )
        self._disk = output_disk(prefix)

    def open(self, temp_path: str) -> Any:
        with self._disk:
            return super().open(temp_path)

    def write_encoded_record(self, file_handle: Any, encoded_value: bytes) -> None:
        try:
            with self._disk:
                file_handle.write(encoded_value + b"\n")
        except DiskFull:
            with suppress(OSError):  # Beam leaves the file open, with what it still buffers
                file_handle.close()
            raise

    def close(self, file_handle: Any) -> None:
        with self._disk:
            super().close(file_handle)


def to_json(element: Completion | DeadLetter | Delta) -> str:
    """Return the line for one element."""
    return to_bytes(element).decode()
