"""Parquet. Its row groups can be read one by one, so workers share the groups of one file.

A row group may be larger than the memory. Columns are read page by page through small buffers, and
rows leave in batches of a few megabytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipelines.filesystem import is_local
from pipelines.inputs.options import InputOptions
from pipelines.inputs.readers import kinds
from pipelines.inputs.readers.base import DataFile
from pipelines.inputs.readers.columnar import arrow_errors, lines_of_batches, needed, rows_at_once
from pipelines.inputs.rows import Line

_BUFFER = 1 << 18
# A part has row groups of about this many bytes together, as they are in the file.
_PART_BYTES = 32 << 20


class Parquet:
    """Rows of typed columns. See `FileFormat`."""

    has_lines = False

    def fault(self, head: bytes, options: InputOptions) -> str | None:
        """Return what the file is, if it does not begin as Parquet files do."""
        if head.startswith(b"PARE"):
            return "the Parquet file is encrypted; decrypt it"
        if head and not head.startswith(b"PAR1"):
            if why := kinds.fault_of_rows(head):
                return f"{why} (expected a Parquet file)"
            return f"the file must be a Parquet file, got {head[:20]!r} as its beginning"
        return None

    def rows(
        self, file: DataFile, options: InputOptions, columns: Sequence[str] | None
    ) -> Iterator[Line]:
        """Yield the rows of the file's row groups, or of those of a part."""
        with _opened(file.path) as parquet:
            metadata = parquet.metadata
            positions = needed(parquet.schema_arrow, columns)
            names = parquet.schema_arrow.names
            kept = None if positions is None else [names[at] for at in positions]
            groups = range(metadata.num_row_groups)[file.start : file.end]
            first = file.first
            for group in groups:
                yield from lines_of_batches(file, _batches(parquet, group, kept), first)
                first += metadata.row_group(group).num_rows

    def count(self, path: str) -> int:
        """Return the number of rows in the footer."""
        with _opened(path) as parquet:
            return int(parquet.metadata.num_rows)

    def schema(self, file: DataFile, options: InputOptions) -> Any:
        """Return the columns."""
        with _opened(file.path) as parquet:
            needed(parquet.schema_arrow, None)
            return parquet.schema_arrow

    def parts(self, file: DataFile) -> list[DataFile] | None:
        """Return parts of neighbouring row groups."""
        with _opened(file.path) as parquet:
            metadata = parquet.metadata
            return [*_parts(file, [metadata.row_group(n) for n in range(metadata.num_row_groups)])]


def _parts(file: DataFile, groups: Sequence[Any]) -> Iterator[DataFile]:
    start, first, rows, size = 0, 1, 0, 0
    for at, group in enumerate(groups):
        rows += group.num_rows
        size += sum(group.column(n).total_compressed_size for n in range(group.num_columns))
        if size >= _PART_BYTES or at == len(groups) - 1:
            last = first + rows - 1
            yield file._replace(start=start, end=at + 1, first=first, last=last)
            start, first, rows, size = at + 1, first + rows, 0, 0


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    import pyarrow.parquet

    # Without this, Arrow reads all columns of a row group into memory first.
    options = {"buffer_size": _BUFFER, "pre_buffer": False, "page_checksum_verification": True}
    with arrow_errors("Parquet"), ExitStack() as stack:
        if is_local(path):
            raw = stack.enter_context(pyarrow.OSFile(path))
        else:
            plain = CompressionTypes.UNCOMPRESSED
            opened = stack.enter_context(FileSystems.open(path, compression_type=plain))
            raw = pyarrow.PythonFile(opened)
        yield stack.enter_context(pyarrow.parquet.ParquetFile(raw, **options))


def _batches(parquet: Any, group: int, columns: Sequence[str] | None) -> Iterator[Any]:
    metadata = parquet.metadata.row_group(group)
    size = rows_at_once(metadata.total_byte_size, metadata.num_rows)
    batches = parquet.iter_batches(size, row_groups=[group], columns=columns, use_threads=False)
    yield from batches
