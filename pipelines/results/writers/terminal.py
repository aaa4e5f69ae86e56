"""A table for a terminal: one line for each row, cut to the width, without control sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO

from pipelines.results.columns import check_names, chooser
from pipelines.results.row import Row
from pipelines.terminal.cells import cells_in, fit
from ritellm.terminal import clean_line
from transforms import exact_json

# The columns without --columns.
COMPLETED = ("id", "input", "text")
FAILED = ("id", "error_type", "message")
# The rows that decide the widths of the columns; later rows keep them.
_SAMPLE = 100
_GAP = "  "
_LEAST, _MOST_SHOWN = 8, 2_000


class Table:
    """Rows as lines of at most `width` cells, under a header."""

    def __init__(
        self, file: BinaryIO, columns: Sequence[str] | None, failed: bool, width: int
    ) -> None:
        self._file = file
        self._names = tuple(columns or (FAILED if failed else COMPLETED))
        self._is_chosen = columns is not None
        self._failed = failed
        self._values = chooser(self._names, failed)
        self._width = width
        self._sample: list[list[str]] = []
        self._widths: list[int] | None = None
        self._is_checked = False

    def write(self, row: Row) -> None:
        """Write the line of a row, or keep it until the widths are known."""
        fields = row.fields
        if self._is_chosen and not self._is_checked:
            check_names(self._names, fields, self._failed)
            self._is_checked = True
        values = self._values(fields)
        if not self._is_chosen and not self._failed:
            values[COMPLETED.index("input")] = _asked(fields.get("input"))
        cells = [_text(value) for value in values]
        if self._widths is not None:
            self._put(cells)
            return
        self._sample.append(cells)
        if len(self._sample) >= _SAMPLE:
            self._begin()

    def flush(self) -> None:
        """Write the waiting lines."""
        if self._sample:
            self._begin()
        self._file.flush()

    def close(self) -> None:
        """Write the waiting lines."""
        self.flush()

    def _begin(self) -> None:
        self._widths = widths([self._names, *self._sample], self._width)
        names = [clean_line(name) for name in self._names]
        self._put(names)
        self._put(["─" * width for width in self._widths])
        for cells in self._sample:
            self._put(cells)
        self._sample = []

    def _put(self, cells: Sequence[str]) -> None:
        assert self._widths is not None
        fitted = [fit(cell, width) for cell, width in zip(cells, self._widths, strict=True)]
        self._file.write(_GAP.join(fitted).rstrip().encode("utf-8", "replace") + b"\n")


def _text(value: Any) -> str:
    """Return a value as one line that is safe for a terminal."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else exact_json.dumps(value)
    return clean_line(text[:_MOST_SHOWN])


def _asked(given: Any) -> Any:
    """Return what an input row asks, in short: its prompt, or else all of it."""
    prompt = given.get("prompt") if isinstance(given, dict) else None
    return prompt if isinstance(prompt, str) else given


def widths(rows: Sequence[Sequence[str]], total: int) -> list[int]:
    """Return the widths of the columns, together with the gaps at most `total` if that is enough.

    Narrow columns get what they need, and wide ones share the rest.
    """
    wanted = [max(1, *(cells_in(cell) for cell in column)) for column in zip(*rows, strict=True)]
    left = total - len(_GAP) * (len(wanted) - 1)
    found = [0] * len(wanted)
    order = sorted(range(len(wanted)), key=lambda column: wanted[column])
    for place, column in enumerate(order):
        share = max(_LEAST, left // (len(wanted) - place))
        found[column] = min(wanted[column], share)
        left -= found[column]
    return found
