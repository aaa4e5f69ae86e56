"""JSON lines, as the job has them, or of some columns. Beam is not imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

from pipelines.results.columns import check_names, chooser
from pipelines.results.row import Row
from transforms import exact_json

_MOST_BYTES = 1 << 18


class JsonLines:
    """Lines of JSON. Without `columns` the bytes of the job pass through."""

    def __init__(self, file: BinaryIO, columns: Sequence[str] | None, failed: bool) -> None:
        self._file = file
        self._columns = columns
        self._failed = failed
        self._values = chooser(columns or (), failed)
        self._lines: list[bytes] = []
        self._size = 0
        self._checked = False

    def write(self, row: Row) -> None:
        """Write the line of a row."""
        line = row.line if self._columns is None else self._chosen(row, self._columns)
        self._lines.append(line)
        self._size += len(line)
        if self._size >= _MOST_BYTES:
            self._put()

    def flush(self) -> None:
        """Write the waiting lines."""
        self._put()
        self._file.flush()

    def close(self) -> None:
        """Write the waiting lines."""
        self.flush()

    def _put(self) -> None:
        if self._lines:
            self._lines.append(b"")
            self._file.write(b"\n".join(self._lines))
            self._lines, self._size = [], 0

    def _chosen(self, row: Row, columns: Sequence[str]) -> bytes:
        fields = row.fields
        if not self._checked:
            check_names(columns, fields, self._failed)
            self._checked = True
        values = dict(zip(columns, self._values(fields), strict=True))
        return exact_json.dumps(values).encode()
