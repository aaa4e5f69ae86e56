"""CSV as in RFC 4180, safe to open in a spreadsheet.

A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula, which may send data
elsewhere or start programs. Cells contain foreign text: prompts and answers. So such a text gets an
apostrophe before it (`pipelines.tables.formulas`). A number does not.

Nothing between two commas is null, and `""` is an empty text. The columns of the input have the
texts of their JSON values, and lists and objects are JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, BinaryIO

from pipelines.outputs.formats.base import Lines
from pipelines.tables.formulas import escaped
from pipelines.tables.outcomes import (
    RAW_REST,
    REST,
    cell_of,
    columns_of,
    microseconds,
    own_names,
    values_of,
)
from transforms import exact_json
from transforms.elements import Completion, DeadLetter, Delta, Record

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Csv:
    """Rows of one kind as records of CSV, after a header. See `RowFormat`.

    `names` are the columns of the input. With `raw` no text gets an apostrophe.
    """

    suffix = ".csv"
    mime_type = "text/csv"
    step = "ToCsv"

    def __init__(self, kind: type, names: Sequence[str], raw: bool) -> None:
        self._is_failed = kind is DeadLetter
        self._columns = columns_of(kind)
        self._names = list(names)
        self._set = frozenset(names)
        times = [at for at, type in enumerate(self._columns.values()) if type == "timestamp"]
        self._time_at = times[0] if times else None  # the only one
        self._raw = raw

    def encode(self, row: Completion | DeadLetter | Delta | Record) -> bytes:
        """Return the record of a row."""
        values = values_of(row)
        found = _parsed(row.input)
        given = found if isinstance(found, dict) else {}
        if self._time_at is not None:
            values[self._time_at] = _time(values[self._time_at])
        cells = [*map(given.get, self._names), *values, self._rest(found)]
        cell = self._cell
        return ",".join(["" if value is None else cell(value) for value in cells]).encode()

    def _rest(self, row: Any) -> str | None:
        """Return the JSON of what the cells lack.

        For failed rows that includes the values that are not texts: with them the row can be read
        as it was, also if CSV has no form for the difference.
        """
        if not isinstance(row, dict):
            return None if row is None else exact_json.dumps(row)
        exact = self._is_failed
        if not exact and row.keys() <= self._set:
            return None
        lacking = {
            name: value
            for name, value in row.items()
            if name not in self._set or (exact and value is not None and not isinstance(value, str))
        }
        return exact_json.dumps(lacking) if lacking else None

    def _cell(self, value: Any) -> str:
        if type(value) is not str:
            return _other(value)
        # Most cells are one word or number, or begin with a letter or a digit: no formula does.
        if value.isalnum():
            return value
        return _quoted(value if self._raw or value[:1].isalnum() else escaped(value))

    def open(self, file: BinaryIO) -> Lines:
        """Return the writer of a new file."""
        ours = own_names(self._columns, self._names)
        if self._raw and self._is_failed:
            ours[-1] = ours[-1].removesuffix(REST) + RAW_REST
        header = ",".join(map(self._cell, [*self._names, *ours]))
        return Lines(file, header.encode(), b"\r\n")


def _parsed(text: str | None) -> Any:
    try:
        return None if text is None else exact_json.loads(text)
    except (ValueError, RecursionError):
        return text


def _quoted(text: str) -> str:
    if '"' in text:
        return '"' + text.replace('"', '""') + '"'
    if not text or "," in text or "\n" in text or "\r" in text:
        return f'"{text}"'
    return f'"{text}"' if text[0].isspace() or text[-1].isspace() else text


def _other(value: Any) -> str:
    """Return the cell of a value that is neither a text nor null."""
    kind = type(value)
    if kind is int:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    return cell_of(value) if kind is float else _quoted(cell_of(value))


def _time(seconds: float | None) -> str | None:
    if (micros := microseconds(seconds)) is None:
        return None
    return (_EPOCH + timedelta(microseconds=micros)).isoformat().replace("+00:00", "Z")
