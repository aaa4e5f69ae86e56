"""Rows of files in any format of `readers`, compressed or not."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import apache_beam as beam

from pipelines.errors import UsageError
from pipelines.filesystem import is_local, printable, reason
from pipelines.inputs import stdin
from pipelines.inputs.compression import DamagedFile, opened
from pipelines.inputs.files import check_patterns, match_files
from pipelines.inputs.options import InputOptions
from pipelines.inputs.partitions import FORMATS as PARTITIONED
from pipelines.inputs.partitions import partitions, with_columns, with_partitions
from pipelines.inputs.paths import common_folder
from pipelines.inputs.readers import kinds
from pipelines.inputs.readers.base import DataFile
from pipelines.inputs.readers.choice import FORMATS, format_name
from pipelines.inputs.rows import ROW, Line, UnreadableFile, rest
from pipelines.inputs.splitting import Spread

if TYPE_CHECKING:
    import pyarrow

_log = logging.getLogger("pipelines")

# Counting reads the whole input. Beyond this size it would delay the start of the job.
_MOST_COUNTED_BYTES = 4 << 30
# Rows of formats that do not tell their number are read to count them: 0.2 s at most.
_MOST_COUNTED_ROWS = 10_000
# A sample is made of the beginnings of at most this many files, and columns of this many schemas.
_MOST_SAMPLED, _MOST_SCHEMAS = 10, 100


class FileRows:
    """Files of any format, each by its own name and content. See `InputFormat`."""

    has_order = True
    needs_bucket = False

    def __init__(self, options: InputOptions, *, spread: bool = False) -> None:
        self._options = options
        self._spread = spread

    def check(self, locations: Sequence[str]) -> None:
        """Raise UsageError unless each location matches files that look like their format.

        A damaged file passes: the job reads it as far as possible, and reports the rest.
        """
        for path in check_patterns(locations):
            if why := self._fault(path):
                raise UsageError(f"--input {stdin.argument(path)}: {why}")

    def _fault(self, path: str) -> str | None:
        try:
            format = FORMATS[format_name(path, self._options)]
            with opened(path) as file:
                return format.fault(file.read(kinds.HEAD_BYTES), self._options)
        except (DamagedFile, UnreadableFile):
            return None
        except Exception as error:
            name = stdin.argument(path)
            raise UsageError(f"cannot read --input {name}: {reason(error)}") from None

    def files(self, locations: Sequence[str]) -> Sequence[str]:
        """Return the paths of the files that the locations match."""
        return [str(file.path) for file in match_files(locations)]

    def count(
        self,
        locations: Sequence[str],
        most: int | None = None,
        most_bytes: int = _MOST_COUNTED_BYTES,
    ) -> int | None:
        """Return the number of rows in local files, if counting is cheap; at most `most`.

        It is cheap in files of up to `most_bytes` whose format tells it, and for a small `most`.
        """
        found = match_files(locations)
        if not all(is_local(file.path) for file in found):
            return None
        total = None
        if sum(file.size_in_bytes for file in found) <= most_bytes:
            total = self._told(file.path for file in found)
        if total is None and most is not None and most <= _MOST_COUNTED_ROWS:
            return self._read(locations, most)
        return total if total is None or most is None else min(total, most)

    def _told(self, paths: Iterable[str]) -> int | None:
        """Return the number of rows in all files, None if a file does not tell it."""
        total = 0
        for path in paths:
            if (rows := self._count(path)) is None:
                return None
            total += rows
        return total

    def _read(self, locations: Sequence[str], most: int) -> int | None:
        """Return the number of rows, up to `most`, by reading them; None if one is damaged."""
        files = self._data_files(locations)
        lines = chain.from_iterable(_rows(file, self._options, None) for file in files)
        try:
            return sum(1 for _ in islice(lines, most))
        except (DamagedFile, UnreadableFile, OSError):
            return None

    def _count(self, path: str) -> int | None:
        if self._options.encoding is not None:
            return None  # the bytes of a newline may be parts of other characters
        try:
            return FORMATS[format_name(path, self._options)].count(path)
        except (DamagedFile, UnreadableFile, OSError):
            return None

    def schema(self, locations: Sequence[str]) -> pyarrow.Schema | None:
        """Return the columns of all files, None if a file has rows of any columns.

        A column that files have with different types has the type that holds the values of all. Of
        many files only some are opened, from the first to the last.
        """
        found = []
        for file in _spread_out(self._data_files(locations), _MOST_SCHEMAS):
            try:
                name = format_name(file.path, self._options)
                schema = FORMATS[name].schema(file, self._options)
            except (DamagedFile, UnreadableFile):
                continue
            if schema is None:
                return None
            found.append(with_columns(_of_originals(schema), _partitions(file, name)))
        return _unified(found)

    def head(self, locations: Sequence[str], count: int) -> list[Line]:
        """Return rows from the beginnings of a few files."""
        files = _spread_out(self._data_files(locations), _MOST_SAMPLED)
        each = -(-count // max(1, len(files)))
        return [line for file in files for line in islice(self._sound(file), each)]

    def _sound(self, file: DataFile) -> Iterator[Line]:
        """Yield the rows before the first damage."""
        try:
            yield from _rows(file, self._options, None)
        except (DamagedFile, UnreadableFile):
            return

    def lines(
        self, locations: Sequence[str], columns: Sequence[str] | None = None
    ) -> Iterator[Line]:
        """Yield the rows of the files here, one file after the other, as `read` does in a job."""
        for file in self._data_files(locations):
            yield from lines_of(file, self._options, columns)

    def read(
        self, root: Any, locations: Sequence[str], columns: Sequence[str] | None = None
    ) -> Any:
        """Return the rows of the files; a `Line` for the rest where a file ends too early."""
        needed = None if columns is None else tuple(columns)
        files = (
            root
            | "Pattern" >> beam.Impulse()
            | "MatchFiles" >> beam.FlatMap(lambda _: self._data_files(locations))
        )
        if self._spread:
            files = files | "Spread" >> Spread(self._options)
        return files | "ReadRows" >> beam.ParDo(_ReadFn(self._options, needed))

    def _data_files(self, locations: Sequence[str]) -> list[DataFile]:
        named = [location for location in locations if not stdin.is_spooled(location)]
        folder = common_folder(named)
        found = []
        for file in match_files(locations):
            shown = printable(stdin.shown(file.path))
            name = shown.removeprefix(printable(folder))
            found.append(DataFile(file.path, shown, name, size=file.size_in_bytes))
        return found


class _ReadFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, options: InputOptions, columns: tuple[str, ...] | None) -> None:
        self._options = options
        self._columns = columns

    def process(self, file: DataFile) -> Iterator[Line]:
        return lines_of(file, self._options, self._columns)


def lines_of(
    file: DataFile, options: InputOptions, columns: Sequence[str] | None = None
) -> Iterator[Line]:
    """Yield the rows of `file`; the last one says why there are no more, if the file is damaged."""
    number, unit = file.first - 1, ROW
    try:
        for line in _rows(file, options, columns):
            number, unit = line.number, line.unit
            yield line
    except (DamagedFile, UnreadableFile) as error:
        last = Line(file.shown, file.name, number + 1, "", str(error), rest(unit, file.last))
        _log.warning(f"{last.location}: {error}")
        yield last


def _rows(file: DataFile, options: InputOptions, columns: Sequence[str] | None) -> Iterator[Line]:
    """Yield the rows with the columns that the folders name; raises as `FileFormat.rows`."""
    name = format_name(file.path, options)
    lines = FORMATS[name].rows(file, options, columns)
    return with_partitions(lines, _partitions(file, name), columns)


def _partitions(file: DataFile, format: str) -> Mapping[str, str | None]:
    return partitions(file.shown) if format in PARTITIONED else {}


def _spread_out(files: Sequence[DataFile], most: int) -> Sequence[DataFile]:
    """Return at most `most` of the files, at equal distances."""
    return files[:: -(-len(files) // most)] if files else files


def _of_originals(schema: pyarrow.Schema) -> pyarrow.Schema:
    """Return the columns of the rows: in a file of failed rows, those of the original rows."""
    from pipelines.tables.rows import input_schema

    return input_schema(schema)


def _unified(schemas: Sequence[pyarrow.Schema]) -> pyarrow.Schema | None:
    from pipelines.tables.unify import unified

    return unified(schemas) if schemas else None
