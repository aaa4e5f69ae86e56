"""CSV and TSV, with the quoting of RFC 4180. Python's csv module parses them.

All values are texts. A field without anything is null; `""` is an empty text. CSV has no other way
to tell them apart, and pandas, polars, DuckDB and Arrow read it so too.

A reader cannot begin in the middle: a newline ends a row only outside quotes, and whether a place
is inside quotes depends on all text before it. So workers share the files, not the parts of one.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import orjson

from pipelines.inputs.options import InputOptions
from pipelines.inputs.readers import kinds
from pipelines.inputs.readers.base import MOST_ROW_BYTES, DataFile
from pipelines.inputs.readers.texts import text_of
from pipelines.inputs.rows import ROW, Line, UnreadableFile
from pipelines.tables.failed import failed_cells
from transforms import exact_json

_EXCEL = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)


class Delimited:
    """Rows of fields between delimiters. See `FileFormat`."""

    has_lines = False

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter

    def fault(self, head: bytes, options: InputOptions) -> str | None:
        """Return why the header cannot be one, or what the file is instead."""
        if options.encoding is None and (why := kinds.fault_of_rows(head)):
            return why
        text = head.decode(options.encoding or "utf-8", "replace").removeprefix("\ufeff")
        try:
            self._table(iter(text.splitlines(keepends=True)), options)
        except UnreadableFile as error:
            return str(error)
        return None

    def rows(
        self, file: DataFile, options: InputOptions, columns: Sequence[str] | None
    ) -> Iterator[Line]:
        """Yield the rows after the header, without the empty ones."""
        csv.field_size_limit(MOST_ROW_BYTES)
        with text_of(file.path, options.encoding) as text:
            table = self._table(iter(text), options)
            to_json = table.to_json(columns)
            for number, fields in enumerate(table.rows(), 1):
                if isinstance(fields, str):
                    yield Line(file.shown, file.name, number, table.text, fields, ROW)
                else:
                    yield Line(file.shown, file.name, number, to_json(fields), "", ROW)

    def count(self, path: str) -> None:
        """Return None: newlines inside quotes are not ends of rows."""

    def schema(self, file: DataFile, options: InputOptions) -> object:
        """Return the columns of the header, all of them texts."""
        import pyarrow

        with text_of(file.path, options.encoding) as text:
            names = self._table(iter(text), options).names
        if (failed := failed_cells(names)) is not None:
            names = failed.inputs
        return pyarrow.schema([(name, pyarrow.string()) for name in names])

    def parts(self, file: DataFile) -> None:
        """Return None: see the module."""

    def _table(self, lines: Iterator[str], options: InputOptions) -> _Table:
        delimiter = options.csv_delimiter or self._delimiter
        first = next(lines, "")
        if found := _EXCEL.fullmatch(first):  # Excel's own line before the header
            delimiter, first = found[1], next(lines, "")
        return _Table(chain([first], lines), delimiter, options.csv_header)


class _Table:
    """The rows behind the header, and the columns that it names."""

    def __init__(self, lines: Iterator[str], delimiter: str, header: Sequence[str] | None) -> None:
        self._raw: list[str] = []  # the lines of the last row
        self._field = re.compile(rf'"(?:[^"]|"")*"|[^{re.escape(delimiter)}\r\n]*')
        self._reader = csv.reader(self._kept(lines), delimiter=delimiter, strict=True)
        self.names = list(header) if header is not None else _header(self._reader, delimiter)

    def _kept(self, lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            self._raw.append(line)
            yield line

    @property
    def text(self) -> str:
        """The text of the last row."""
        return "".join(self._raw).rstrip("\r\n")

    def rows(self) -> Iterator[list[str] | str]:
        """Yield the fields of each row that is not empty, or a text that says what is wrong.

        Raises UnreadableFile.
        """
        while True:
            self._raw.clear()
            try:
                fields = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield self._wrong_quoting(error)
                continue
            if len(fields) == len(self.names):
                yield fields
            elif fields:
                yield self._ragged(len(fields))

    def to_json(self, columns: Sequence[str] | None) -> Callable[[list[str]], str]:
        """Return what makes the JSON of the fields of a row, of these columns only."""
        if (failed := failed_cells(self.names)) is not None:
            return lambda fields: exact_json.dumps(failed.nested(self._with_nulls(fields)))
        names, dumps = self.names, orjson.dumps
        kept = None if columns is None else [n for n, name in enumerate(names) if name in columns]

        def whole(fields: list[str]) -> str:
            values = self._with_nulls(fields) if "" in fields else fields
            return dumps(dict(zip(names, values))).decode()  # noqa: B905

        def some(fields: list[str]) -> str:
            values = self._with_nulls(fields) if "" in fields else fields
            return dumps({names[at]: values[at] for at in kept or ()}).decode()

        return whole if kept is None else some

    def _wrong_quoting(self, error: csv.Error) -> str:
        begin = self._reader.line_num - len(self._raw) + 1
        reason = str(error)
        if "unexpected end of data" in reason or "field limit" in reason:
            raise UnreadableFile(f"the file ends inside quotes; the row begins in line {begin:,}")
        return f"wrong quoting in line {begin:,} ({reason}); a quote in a field must be doubled"

    def _ragged(self, got: int) -> str:
        expected = len(self.names)
        if got < expected and self._raw[-1][-1:] not in ("\r", "\n"):
            raise UnreadableFile("the file ends in the middle of the row")
        return (
            f"a row must have {expected} fields, like the header, got {got}; put a field that has"
            " the delimiter or a newline into quotes"
        )

    def _with_nulls(self, fields: list[str]) -> list[str | None]:
        """Return the fields, with None for those that have nothing between the delimiters."""
        text = "".join(self._raw)
        if '""' not in text:
            return [field or None for field in fields]
        values: list[str | None] = []
        at = 0
        for value in fields:
            found = self._field.match(text, at)
            is_empty = found is None or found.end() == at
            values.append(None if is_empty else value)
            at = (found.end() if found else at) + 1
        return values


def _header(reader: Any, delimiter: str) -> list[str]:
    """Return the names of the columns in the first row that is not empty."""
    try:
        header = next((fields for fields in reader if fields), None)
    except csv.Error as error:
        raise UnreadableFile(f"the header must be CSV ({error})") from None
    if header is None:
        raise UnreadableFile("the file must have a header, got an empty file")
    if len(header) == 1:
        likely = next((each for each in ";\t|," if each in header[0]), None)
        if likely is not None and likely != delimiter:
            raise UnreadableFile(
                f"the header is one column, {header[0]!r:.80}; name the character between the"
                f" columns, for example --csv_delimiter {likely!r}"
            )
    # A table with an index, as pandas writes it, has a column without a name.
    names = [name or f"column_{at}" for at, name in enumerate(header, 1)]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise UnreadableFile(
            f"the header must name each column once, got {repeated!r} twice; rename one of them,"
            " or name all columns of a file without a header with --csv_header"
        )
    return names
