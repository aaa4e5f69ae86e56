"""What a format must offer."""

from __future__ import annotations

from typing import Protocol

from pipelines.results.row import Row


class Writer(Protocol):
    """Writes rows to one file. The caller opens it, and closes it."""

    def write(self, row: Row) -> None:
        """Write a row, at once or later."""

    def flush(self) -> None:
        """Write what waits, so that a reader of the file has it."""

    def close(self) -> None:
        """Write what is left."""
