"""Arrow's own formats: IPC streams, and IPC files, which are Feather of version 2.

An IPC file is a stream between two marks, with a table of contents before the last one. A file
without its end, or a compressed one, is read as a stream, so it gives the rows that it has. Others
are read by their table of contents: polars writes files whose beginning is not a stream.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, BinaryIO, cast

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipelines.filesystem import is_local
from pipelines.inputs.compression import opened
from pipelines.inputs.options import InputOptions
from pipelines.inputs.readers import kinds
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
            if why := kinds.fault_of_rows(head):
                return f"{why} (expected an Arrow file)"
            return f"the file must be an Arrow file or stream, got {head[:20]!r} as its beginning"
        return None

    def rows(
        self, file: DataFile, options: InputOptions, columns: Sequence[str] | None
    ) -> Iterator[Line]:
        """Yield the rows of the record batches."""
        with arrow_errors("Arrow"), ExitStack() as stack:
            if _is_whole_file(file.path):
                yield from lines_of_batches(file, _of_file(file.path, columns, stack), file.first)
                return
            content = stack.enter_context(opened(file.path))
            source, is_file = _Source(content), _skip_mark(content)
            kept = None if columns is None else needed(_schema(file.path), columns)
            stream = _ipc().open_stream(_python_file(source), options=_options(kept))
            needed(stream.schema, None)
            yield from lines_of_batches(file, _pieces(stream), file.first)
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


def _ipc() -> Any:
    from pyarrow import ipc

    return ipc


def _python_file(file: Any) -> Any:
    import pyarrow

    return pyarrow.PythonFile(file, mode="r")


def _options(kept: Sequence[int] | None) -> Any:
    return _ipc().IpcReadOptions(included_fields=kept, use_threads=False)


def _is_whole_file(path: str) -> bool:
    """Return whether the file has the marks at both ends and is not compressed."""
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        if file.read(8)[:6] != _MARK:
            return False
        file.seek(0, os.SEEK_END)
        file.seek(max(8, file.tell() - len(_MARK)))
        return bool(file.read() == _MARK)


def _open_file(path: str, stack: ExitStack, kept: Sequence[int] | None = None) -> Any:
    if is_local(path):
        import pyarrow

        # A mapped record batch takes no memory of its own.
        source = stack.enter_context(pyarrow.memory_map(path))
    else:
        plain = CompressionTypes.UNCOMPRESSED
        raw = stack.enter_context(FileSystems.open(path, compression_type=plain))
        source = _python_file(raw)
    return _ipc().open_file(source, options=_options(kept))


def _of_file(path: str, columns: Sequence[str] | None, stack: ExitStack) -> Iterator[Any]:
    """Yield the record batches of a file by its table of contents."""
    kept = needed(_open_file(path, stack).schema, columns)
    file = _open_file(path, stack, kept)
    yield from _pieces(file.get_batch(at) for at in range(file.num_record_batches))


def _schema(path: str) -> Any:
    with arrow_errors("Arrow"), ExitStack() as stack:
        if _is_whole_file(path):
            return _open_file(path, stack).schema
        content = stack.enter_context(opened(path))
        _skip_mark(content)
        return _ipc().open_stream(_python_file(_Source(content))).schema


def _pieces(batches: Iterable[Any]) -> Iterator[Any]:
    """Yield the record batches in pieces. Foreign data is checked before it is used."""
    for batch in batches:
        batch.validate(full=True)
        size = rows_at_once(batch.nbytes, batch.num_rows)
        for start in range(0, batch.num_rows, size):
            yield batch.slice(start, size)
