"""Where the rows go: stdout, or a file that appears when it is whole."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import BinaryIO

from pipelines.errors import UsageError
from pipelines.results.writers.base import Writer
from transforms.disks import output_disk, stdout_disk

FORMATS = ("jsonl", "csv", "parquet", "table")


def default_format(path: str | None) -> str:
    """Return the format without `--format`: by the name of the file, a table on a terminal."""
    if path is not None:
        suffix = path.rpartition(".")[2].lower()
        return suffix if suffix in ("csv", "parquet") else "jsonl"
    return "table" if sys.stdout.isatty() else "jsonl"


@contextmanager
def opened(path: str | None) -> Iterator[BinaryIO]:
    """Open the file at `path`, which replaces an earlier one when it is whole, or stdout."""
    if path is None:
        with stdout_disk():
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        return
    unfinished = f"{path}.unfinished"
    try:
        file = open(unfinished, "wb")  # noqa: SIM115
    except OSError as error:
        raise UsageError(f"cannot write to --output {path}: {error.strerror}") from None
    try:
        with file, output_disk(path):
            yield file
        os.replace(unfinished, path)
    except BaseException:
        with suppress(OSError):
            os.remove(unfinished)
        raise


def writer(name: str, file: BinaryIO, columns: Sequence[str] | None, failed: bool) -> Writer:
    """Return the writer of a format."""
    if name == "jsonl":
        from pipelines.results.writers.lines import JsonLines

        return JsonLines(file, columns, failed)
    if name == "table":
        from pipelines.results.writers.terminal import Table

        return Table(file, columns, failed, shutil.get_terminal_size((120, 24)).columns)
    from pipelines.results.writers import tables

    if columns is None:
        return tables.AllColumns(file, name, failed)
    made = tables.SomeParquet if name == "parquet" else tables.SomeCsv
    return made(file, columns, failed)
