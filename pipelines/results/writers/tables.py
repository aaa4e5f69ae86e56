"""CSV and Parquet, by the formats of the job's own output. They import Beam.

The columns of the input are those of the first rows. What later rows have besides is in the column
`other_input`, so no value is lost.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.inputs.base import SAMPLE_ROWS
from pipelines.outputs.formats.base import RowFormat, RowWriter
from pipelines.outputs.formats.csv import Csv
from pipelines.outputs.formats.parquet import Parquet
from pipelines.results.columns import check_names, chooser
from pipelines.results.elements import to_completion, to_dead_letter
from pipelines.results.row import Row
from pipelines.tables.formulas import escaped
from pipelines.tables.inference import infer_schema
from pipelines.tables.outcomes import cell_of
from transforms.elements import Completion, DeadLetter


class AllColumns:
    """All columns of rows as CSV or Parquet; `name` is that of the format."""

    def __init__(self, file: BinaryIO, name: str, failed: bool) -> None:
        self._file = file
        self._name = name
        self._failed = failed
        self._sample: list[Completion | DeadLetter] = []
        self._format: RowFormat | None = None
        self._writer: RowWriter | None = None

    def write(self, row: Row) -> None:
        """Write a row, or keep it until the columns are known."""
        element = to_dead_letter(row.fields) if self._failed else to_completion(row.fields)
        if self._writer is not None and self._format is not None:
            self._writer.write(self._format.encode(element))
            return
        self._sample.append(element)
        if len(self._sample) >= SAMPLE_ROWS:
            self._begin()

    def flush(self) -> None:
        """Write what waits, as far as the format can."""
        if self._sample:
            self._begin()
        self._file.flush()

    def close(self) -> None:
        """Write what is left, and the header of a table without rows."""
        if self._writer is None:
            self._begin()
        assert self._writer is not None
        self._writer.close()
        self._file.flush()

    def _begin(self) -> None:
        schema = infer_schema(row.input for row in self._sample if row.input is not None)
        kind = DeadLetter if self._failed else Completion
        made: RowFormat = (
            Parquet(kind, schema) if self._name == "parquet" else Csv(kind, schema.names, False)
        )
        target: Any = Counted(self._file) if self._name == "parquet" else self._file
        self._format, self._writer = made, made.open(target)
        for element in self._sample:
            self._writer.write(made.encode(element))
        self._sample = []


class SomeCsv:
    """Some columns of rows as CSV."""

    def __init__(self, file: BinaryIO, columns: Sequence[str], failed: bool) -> None:
        self._file = file
        self._columns = columns
        self._failed = failed
        self._values = chooser(columns, failed)
        self._is_begun = False

    def write(self, row: Row) -> None:
        """Write the record of a row."""
        fields = row.fields
        if not self._is_begun:
            check_names(self._columns, fields, self._failed)
            self._begin()
        self._put(self._values(fields))

    def flush(self) -> None:
        """Write what waits."""
        self._file.flush()

    def close(self) -> None:
        """Write the header of a table without rows."""
        if not self._is_begun:
            self._begin()
        self._file.flush()

    def _begin(self) -> None:
        self._is_begun = True
        self._put(self._columns)

    def _put(self, values: Sequence[Any]) -> None:
        self._file.write(",".join(map(_cell, values)).encode() + b"\r\n")


def _cell(value: Any) -> str:
    """Return the cell of a value, with the rules of `pipelines.outputs.formats.csv`."""
    if value is None:
        return ""
    text = escaped(value) if isinstance(value, str) else cell_of(value)
    if not text or text != text.strip() or any(char in text for char in '",\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


class SomeParquet:
    """Some columns of rows as Parquet: all of them first, in a temporary file."""

    def __init__(self, file: BinaryIO, columns: Sequence[str], failed: bool) -> None:
        self._target = file
        self._columns = columns
        self._failed = failed
        self._whole: Any = None
        self._all: AllColumns | None = None

    def write(self, row: Row) -> None:
        """Keep a row."""
        if self._all is None:
            check_names(self._columns, row.fields, self._failed)
        self._begun().write(row)

    def _begun(self) -> AllColumns:
        if self._all is None:
            self._whole = tempfile.TemporaryFile()  # noqa: SIM115
            self._all = AllColumns(self._whole, "parquet", self._failed)
        return self._all

    def flush(self) -> None:
        """Do nothing: a file of Parquet is whole at its end."""

    def close(self) -> None:
        """Write the chosen columns."""
        self._begun().close()
        with self._whole:
            self._whole.seek(0)
            found = pq.ParquetFile(self._whole)
            names = [name for name in self._columns if name in found.schema_arrow.names]
            schema = pa.schema([found.schema_arrow.field(name) for name in names])
            with pq.ParquetWriter(Counted(self._target), schema, compression="zstd") as writer:
                for batch in found.iter_batches(columns=names):
                    writer.write_batch(batch.select(names))


class Counted:
    """A file for pyarrow: stdout may be a pipe, which does not tell its position."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._at = 0

    def write(self, data: Any) -> int:
        self._file.write(data)
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.flush()
