"""Plain text: one row per line with the column `text`, or one row per file with `path` too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TextIO

import orjson

from pipelines.inputs.options import InputOptions
from pipelines.inputs.readers import kinds
from pipelines.inputs.readers.base import MOST_ROW_BYTES, DataFile
from pipelines.inputs.readers.jsonl import JsonLines
from pipelines.inputs.readers.texts import text_of
from pipelines.inputs.rows import ROW, Line, UnreadableFile

TEXT, PATH = "text", "path"
_TOO_LARGE = f"a row must have at most {MOST_ROW_BYTES:,} characters"


class _PlainText:
    """What both formats share. See `FileFormat`."""

    has_lines = False

    def fault(self, head: bytes, options: InputOptions) -> str | None:
        """Return what the file is, if it is not text."""
        return kinds.fault_of_text(head) if options.encoding is None else None

    def parts(self, file: DataFile) -> None:
        """Return None: text is not cut."""


class TextLines(_PlainText):
    """Each line that is not empty is a row with the column `text`."""

    def rows(
        self, file: DataFile, options: InputOptions, columns: Sequence[str] | None
    ) -> Iterator[Line]:
        """Yield the lines of the file, without the empty ones."""
        with text_of(file.path, options.encoding) as text:
            for number, line in enumerate(_lines(text), 1):
                if line.strip():
                    yield Line(file.shown, file.name, number, _json({TEXT: line.rstrip("\r\n")}))

    def count(self, path: str) -> int | None:
        """Return the number of lines of a file that is not compressed."""
        return JsonLines().count(path)

    def schema(self, file: DataFile, options: InputOptions) -> object:
        """Return the column `text`."""
        import pyarrow

        return pyarrow.schema([(TEXT, pyarrow.string())])


class Documents(_PlainText):
    """Each file is a row with the columns `path` and `text`."""

    def rows(
        self, file: DataFile, options: InputOptions, columns: Sequence[str] | None
    ) -> Iterator[Line]:
        """Yield the file as one row; raises UnreadableFile, also for one that is too large."""
        with text_of(file.path, options.encoding) as text:
            content = text.read(MOST_ROW_BYTES + 1)
        if len(content) > MOST_ROW_BYTES:
            raise UnreadableFile(_TOO_LARGE)
        row = _json({PATH: file.shown, TEXT: content})
        yield Line(file.shown, file.name, 1, row, unit=ROW)

    def count(self, path: str) -> int:
        """Return 1."""
        return 1

    def schema(self, file: DataFile, options: InputOptions) -> object:
        """Return the columns `path` and `text`."""
        import pyarrow

        return pyarrow.schema([(PATH, pyarrow.string()), (TEXT, pyarrow.string())])


def _lines(text: TextIO) -> Iterator[str]:
    while line := text.readline(MOST_ROW_BYTES + 1):
        if len(line) > MOST_ROW_BYTES:
            raise UnreadableFile(_TOO_LARGE)
        yield line


def _json(row: dict[str, str]) -> str:
    return orjson.dumps(row).decode()
