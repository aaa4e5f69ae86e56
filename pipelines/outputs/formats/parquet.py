"""Parquet: the columns of the input with their types, then ours.

All files of a job have one schema, which is known before the job starts. A value that does not fit
into it is kept as JSON, in the column `other_input`.

Rows become columns in groups of some thousand, because a conversion costs less for many values at
once. Converted rows wait in Arrow's compact form until they are enough for a row group.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, BinaryIO

import orjson
import pyarrow as pa

from pipelines.tables.outcomes import (
    columns_of,
    microseconds,
    own_names,
    values_of,
)
from pipelines.tables.rows import Restorer, json_field
from transforms.elements import Completion, DeadLetter, Delta, Record

# Rows are converted when there are this many, or when their records have this many bytes.
_ROWS, _BYTES = 2_000, 8 << 20
# A row group ends when its columns have this many bytes, or this many rows. DuckDB and polars read
# row groups in parallel, and need some of them.
_GROUP_BYTES, _GROUP_ROWS = 64 << 20, 122_880

_TYPES = {
    "string": pa.string(),
    "bool": pa.bool_(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "timestamp": pa.timestamp("us", "UTC"),
}
# Each value differs from the others, so a dictionary of them saves nothing.
_UNIQUE = frozenset(("id", "text", "reasoning", "completion", "partial_text"))


class Parquet:
    """Rows of one kind as Parquet files. See `RowFormat`.

    `schema` has the columns of the input.
    """

    suffix = ".parquet"
    mime_type = "application/vnd.apache.parquet"
    step = "ToRecord"

    def __init__(self, kind: type, schema: pa.Schema) -> None:
        self.columns = columns_of(kind)
        self._input = schema

    def encode(self, row: Completion | DeadLetter | Delta | Record) -> bytes:
        """Return the values of our columns and the input, as a list in JSON."""
        values = values_of(row)
        values.append(row.input)
        return orjson.dumps(values)

    def open(self, file: BinaryIO) -> ParquetWriter:
        """Return the writer of a new file."""
        return ParquetWriter(file, self)

    @cached_property
    def restorer(self) -> Restorer:
        """What makes the columns of the input."""
        return Restorer(self._input)

    @cached_property
    def schema(self) -> pa.Schema:
        """The schema of the files."""
        kinds = zip(own_names(self.columns, self._input.names), self.columns.values(), strict=True)
        ours = [json_field(name) if k == "json" else pa.field(name, _TYPES[k]) for name, k in kinds]
        return pa.schema([*self.restorer.fields, *ours])

    @property
    def with_dictionary(self) -> list[str]:
        """The columns whose values may repeat."""
        ours = dict(zip(own_names(self.columns, self._input.names), self.columns, strict=True))
        return [name for name in self.schema.names if ours.get(name) not in _UNIQUE]

    def __getstate__(self) -> dict[str, Any]:
        return {"columns": self.columns, "_input": self._input}


class ParquetWriter:
    """Writes records to a Parquet file. See `RowWriter`."""

    def __init__(self, file: BinaryIO, format: Parquet) -> None:
        import pyarrow.parquet

        self._format = format
        self._records: list[bytes] = []
        self._record_bytes = 0
        self._batches: list[pa.RecordBatch] = []
        self._writer = pyarrow.parquet.ParquetWriter(
            file, format.schema, compression="zstd", use_dictionary=format.with_dictionary
        )

    def write(self, record: bytes) -> None:
        """Keep a record, and write a row group if there are enough of them."""
        self._records.append(record)
        self._record_bytes += len(record)
        if len(self._records) >= _ROWS or self._record_bytes >= _BYTES:
            self._convert()
            rows = sum(batch.num_rows for batch in self._batches)
            if rows >= _GROUP_ROWS or sum(b.nbytes for b in self._batches) >= _GROUP_BYTES:
                self._write_group()

    def close(self) -> None:
        """Write the last row group, and the footer."""
        self._convert()
        self._write_group()
        self._writer.close()

    def _convert(self) -> None:
        if not self._records:
            return
        rows = orjson.loads(b"[" + b",".join(self._records) + b"]")
        self._records, self._record_bytes = [], 0
        *ours, inputs = zip(*rows, strict=True)
        restored = self._format.restorer.restore(inputs)
        kinds = zip(ours, self._format.columns.values(), strict=False)
        columns = [*restored.columns, *(_array(values, kind) for values, kind in kinds)]
        columns.append(pa.array(restored.rest, pa.string()))
        batch = pa.RecordBatch.from_arrays(columns, schema=self._format.schema)
        self._batches.append(batch)

    def _write_group(self) -> None:
        if not self._batches:
            return
        table = pa.Table.from_batches(self._batches)
        self._batches = []
        self._writer.write_table(table, row_group_size=table.num_rows)


def _array(values: Any, kind: str) -> pa.Array:
    if kind == "timestamp":
        values = [microseconds(value) for value in values]
    return pa.array(values, _TYPES.get(kind, pa.string()))
