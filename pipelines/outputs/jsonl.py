"""Writes outcomes as JSON lines; each line contains its input row."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
from apache_beam.io import WriteToText
from apache_beam.io.filesystems import FileSystems

from transforms.elements import Completion, DeadLetter, Delta
from transforms.serialization import to_bytes


def write_whole(path: str, pieces: Iterable[bytes], mime_type: str) -> None:
    """Write a file that appears when it is complete, and replaces that of an earlier run."""
    unfinished = f"{path}.unfinished"
    with FileSystems.create(unfinished, mime_type) as file:
        for piece in pieces:
            file.write(piece)
    if "://" not in path:
        os.replace(unfinished, path)
        return
    if FileSystems.exists(path):  # a rename in a bucket does not replace
        FileSystems.delete([path])
    FileSystems.rename([unfinished], [path])


class WriteLines(beam.PTransform):  # type: ignore[misc]
    """Write elements to `folder/name-*.jsonl`, one line each. Readers never see partial files."""

    def __init__(self, folder: str, name: str) -> None:
        super().__init__()
        self._prefix = FileSystems.join(folder, name)

    def expand(self, elements: Any) -> Any:
        """Convert to JSON and write."""
        return (
            elements
            | "ToJson" >> beam.Map(to_json).with_output_types(str)
            | "Write" >> WriteToText(self._prefix, file_name_suffix=".jsonl", skip_if_empty=True)
        )


def to_json(element: Completion | DeadLetter | Delta) -> str:
    """Return the line for one element."""
    return to_bytes(element).decode()
