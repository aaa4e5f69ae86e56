"""The transform that reads the rows of files in any format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam

from pipelines.inputs.file_rows import FileRows
from pipelines.inputs.options import InputOptions
from pipelines.inputs.readers.choice import FORMATS
from pipelines.inputs.rows import Line, UnreadableFile, unusable
from transforms import exact_json
from transforms.elements import DeadLetter
from transforms.graph.element_types import with_types
from transforms.graph.error_output import OF_ROW, ErrorOutput, checked
from transforms.graph.tags import DEAD_LETTERS
from transforms.prompts.records import RowError

ROWS = "rows"


class Rows(NamedTuple):
    """What `ReadRows` returns: the rows, and what cannot be read."""

    rows: Any
    dead_letters: Any


class ReadRows(ErrorOutput, beam.PTransform):  # type: ignore[misc]
    """Files -> dicts: the rows of JSON lines, JSON, CSV, TSV, Parquet, Arrow or text.

        rows = pipeline | ReadRows("data/*.parquet")
        prompts = rows.rows | ToPrompts(template="Summarize: {{ text }}")

    Returns outputs `.rows` and `.dead_letters`: rows that cannot be read, and one dead letter
    (`UnreadableFile`) for the rest of a file that is damaged. Values that JSON does not have are
    texts, as docs/batch.md lists them. Large files are cut into parts, and shared out to all
    workers.

    Args:
        patterns: paths on any Beam filesystem, with wildcards, compressed or not; or local folders
            of Parquet files or of a data set that `datasets` saved.
        format: the format of all files, such as `"csv"`; without it, the name of each file decides,
            and its first bytes if the name does not.
        columns: the columns that are needed. Parquet and Arrow do not read the others.
        csv_header: the names of the columns of CSV and TSV files without a header.
        csv_delimiter: the character between two fields of CSV files, instead of a comma.
        encoding: the encoding of text files, such as `"latin-1"`; UTF-8 without it.
        error_handler: Beam's ErrorHandler, which gets the dead letters; the transform then returns
            the rows alone.
    """

    def __init__(
        self,
        *patterns: str,
        format: str | None = None,
        columns: Sequence[str] | None = None,
        csv_header: Sequence[str] | None = None,
        csv_delimiter: str | None = None,
        encoding: str | None = None,
        error_handler: Any = None,
    ) -> None:
        super().__init__()
        if not patterns or not all(isinstance(pattern, str) and pattern for pattern in patterns):
            raise ValueError(f"ReadRows needs the patterns of files, got {patterns!r}")
        if format is not None and format not in FORMATS:
            raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
        self._error_handler = checked(error_handler)
        self._patterns = patterns
        self._columns = None if columns is None else tuple(columns)
        header = None if csv_header is None else tuple(csv_header)
        self._options = InputOptions(format, header, csv_delimiter, encoding)

    def expand(self, root: Any) -> Any:
        """Find the files, and read them."""
        lines = FileRows(self._options, spread=True).read(root, self._patterns, self._columns)
        parse = beam.FlatMap(_parsed).with_outputs(DEAD_LETTERS, main=ROWS)
        parsed = with_types(lines | "Parse" >> parse, {ROWS: dict, DEAD_LETTERS: DeadLetter})
        made = Rows(parsed[ROWS], parsed[DEAD_LETTERS])
        return self._handled(made, ROWS, (DEAD_LETTERS,), OF_ROW)


def _parsed(line: Line) -> Iterator[Any]:
    try:
        yield _row(line)
    except ValueError as error:
        letter = unusable(line.id, line, _kind(line), str(error))
        yield beam.pvalue.TaggedOutput(DEAD_LETTERS, letter)


def _row(line: Line) -> dict[str, Any]:
    if line.fault:
        raise RowError(line.fault)
    try:
        row = exact_json.loads(line.text)
    except (ValueError, RecursionError) as error:
        raise RowError(f"not JSON ({error})") from None
    if not isinstance(row, dict):
        raise RowError("a row must be a JSON object")
    return row


def _kind(line: Line) -> str:
    return UnreadableFile.__name__ if line.is_rest else "RowError"
