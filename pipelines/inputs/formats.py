"""Finds out what `--input` names: files, or a table."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.bigquery import PREFIX
from pipelines.errors import UsageError
from pipelines.inputs.base import InputFormat
from pipelines.inputs.bigquery import BigQueryRows
from pipelines.inputs.file_rows import FileRows
from pipelines.inputs.options import InputOptions


def format_of(
    locations: Sequence[str], options: InputOptions | None = None, *, spread: bool = False
) -> InputFormat:
    """Return the format of the input at `locations`; raises UsageError if they have several.

    `spread` cuts large files into parts, and shares them out to all workers.
    """
    tables = [location.startswith(PREFIX) for location in locations]
    if not any(tables):
        return FileRows(options or InputOptions(), spread=spread)
    if not all(tables):
        raise UsageError(f"--input must be files or one table, got {' '.join(locations)}")
    if options is not None and options != InputOptions():
        raise UsageError("the flags about files do not fit to a table; leave them out")
    return BigQueryRows()
