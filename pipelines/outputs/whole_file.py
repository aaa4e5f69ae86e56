"""Writes a file that appears when it is complete, and replaces that of an earlier run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import BinaryIO

from apache_beam.io.filesystems import FileSystems

from pipelines.filesystem import is_local
from transforms.disks import output_disk


def write_whole(path: str, pieces: Iterable[bytes], mime_type: str) -> None:
    """Write the bytes of `pieces` to `path`."""

    def write(file: BinaryIO) -> None:
        for piece in pieces:
            file.write(piece)

    write_whole_by(path, write, mime_type)


def write_whole_by(path: str, write: Callable[[BinaryIO], None], mime_type: str) -> None:
    """Write to `path` what `write` writes to the file that it gets."""
    unfinished = f"{path}.unfinished"
    with output_disk(path), FileSystems.create(unfinished, mime_type) as file:
        write(file)
    if is_local(path):
        os.replace(unfinished, path)
        return
    if FileSystems.exists(path):  # a rename in a bucket does not replace
        FileSystems.delete([path])
    FileSystems.rename([unfinished], [path])
