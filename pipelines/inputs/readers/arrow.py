"""Arrow's own formats: IPC streams, and IPC files, which are Feather of version 2.

An IPC file is a stream between two marks, with a table of contents before the last one. It is read
as a stream too, so a file without its end gives the rows that it has.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, cast

from pipelines.inputs.compression import opened
from pipelines.inputs.options import InputOptions
from pipelines.inputs.readers.base import DataFile
from pipelines.inputs.readers.columnar import arrow_errors, lines_of_batches, needed, rows_at_once
from pipelines.inputs.rows import Line, UnreadableFile

_MARK = b"ARROW1"
_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_TOO_EARLY = "the Arrow file ends too early; replace it by the complete file"


class Arrow:
    """Rows of typed columns. See `FileFormat`."""

    has_lines = False

    def fault(self, head: bytes, options: InputOptions) -> str | None:
        """Return what the file is, if it does not begin as Arrow's files and streams do."""
        if head.startswith(b"FEA1"):
            return "the file is Feather of version 1; save it as version 2"
        # The length of the schema comes first, in old streams without four bytes of 1 before it.
        if head and not head.startswith((_MARK, _END[:4])) and head[2:4] != b"\0\0":
            return f"the file must be an Arrow file or stream, got {head[:20]!r} as its beginning"
        return None

    def rows(
        self, file: DataFile, options: InputOptions, columns: Sequence[str] | None
    ) -> Iterator[Line]:
        """Yield the rows of the record batches."""
        import pyarrow

        with opened(file.path) as content, arrow_errors("Arrow"):
            source, is_file = _Source(content), _skip_mark(content)
            names = None
            if columns is not None and (kept := needed(_schema(file.path), columns)):
                names = pyarrow.ipc.IpcReadOptions(included_fields=kept, use_threads=False)
            stream = pyarrow.ipc.open_stream(pyarrow.PythonFile(source), options=names)
            needed(stream.schema, None)
            yield from lines_of_batches(file, _batches(stream), file.first)
            whole = source.read().endswith(_MARK) if is_file else source.last == _END
            if not whole and not (is_file and source.last.endswith(_MARK)):
                raise UnreadableFile(_TOO_EARLY)

    def count(self, path: str) -> None:
        """Return None: a stream has no number of its rows."""

    def schema(self, file: DataFile, options: InputOptions) -> Any:
        """Return the columns."""
        found = _schema(file.path)
        needed(found, None)
        return found

    def parts(self, file: DataFile) -> None:
        """Return None: streams have no table of contents."""


class _Source(io.RawIOBase):
    """What is left of a file, and the last bytes of it that were read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.last = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        data = self._file.read(-1 if size is None else size)
        self.last = (self.last + data[-8:])[-8:]
        return data


def _skip_mark(content: BinaryIO) -> bool:
    """Skip the mark at the beginning of a file, and return whether there is one."""
    is_file = cast(io.BufferedReader, content).peek(8)[:6] == _MARK
    if is_file:
        content.read(8)
    return is_file


def _schema(path: str) -> Any:
    import pyarrow

    with opened(path) as content, arrow_errors("Arrow"):
        _skip_mark(content)
        return pyarrow.ipc.open_stream(pyarrow.PythonFile(_Source(content))).schema


def _batches(stream: Any) -> Iterator[Any]:
    """Yield the record batches in pieces. Foreign data is checked before it is used."""
    for batch in stream:
        batch.validate(full=True)
        size = rows_at_once(batch.nbytes, batch.num_rows)
        for start in range(0, batch.num_rows, size):
            yield batch.slice(start, size)
