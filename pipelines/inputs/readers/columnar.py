"""What the formats of typed columns share: rows of record batches, and errors of Arrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pipelines.inputs.readers.base import DataFile
from pipelines.inputs.rows import ROW, Line, UnreadableFile

# A batch of rows has about this many bytes, and at most this many rows.
_BATCH_BYTES = 4 << 20
_MOST_ROWS = 1024


def rows_at_once(bytes: int, rows: int) -> int:
    """Return how many of some rows, which have these bytes together, make a batch."""
    return max(1, min(_MOST_ROWS, _BATCH_BYTES * max(rows, 1) // max(bytes, 1)))


def lines_of_batches(file: DataFile, batches: Iterator[Any], first: int) -> Iterator[Line]:
    """Yield the rows of record batches, from number `first`; raises UnreadableFile."""
    from pipelines.tables.rows import row_texts

    number = first
    for batch in batches:
        for text, fault in row_texts(batch):
            yield Line(file.shown, file.name, number, text, fault, ROW)
            number += 1


def needed(schema: Any, columns: Sequence[str] | None) -> list[int] | None:
    """Return the positions of the `columns` in `schema`, None for all; raises UnreadableFile.

    A file of failed rows is known by its last columns, so they are always among them.
    """
    from pipelines.tables.failed import failed_layout

    names = schema.names
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise UnreadableFile(f"columns must have unique names, got {repeated!r} twice")
    if columns is None:
        return None
    layout = failed_layout(names)
    own = len(names) if layout is None else len(layout.inputs)
    return [at for at, name in enumerate(names) if name in columns or at >= own] or None


@contextmanager
def arrow_errors(kind: str) -> Iterator[None]:
    """Raise UnreadableFile in place of what Arrow raises for wrong data in a file of this kind.

    Errors of the disk and of the network pass through.
    """
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = " ".join(str(error).split())
        if isinstance(error, pyarrow.ArrowNotImplementedError):
            raise UnreadableFile(
                f"the {kind} file has a type that Arrow for Python cannot read ({reason:.200});"
                " write the column with another type"
            ) from None
        raise UnreadableFile(
            f"the {kind} file is damaged or ends too early ({reason:.200})"
        ) from None
