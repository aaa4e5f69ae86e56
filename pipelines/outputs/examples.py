"""Reads the first completions of an output, in any format, as JSON lines have them."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
from apache_beam.io.filesystems import FileSystems

from pipelines.tables.formulas import original
from pipelines.tables.outcomes import is_own

_NAMES = ("id", "text", "finish_reason")
_SHOWN = ("prompt", "messages", "body")


def first_rows(paths: Sequence[str], count: int) -> Iterator[dict[str, Any]]:
    """Yield rows with `id`, `text`, `finish_reason` and `input`; at most `count` of each file."""
    for path in paths:
        suffix = path.rpartition(".")[2]
        with FileSystems.open(path) as file:
            yield from {"parquet": _parquet, "csv": _csv}.get(suffix, _lines)(file, count)


def _lines(file: Any, count: int) -> Iterator[dict[str, Any]]:
    for _ in range(count):
        if not (line := file.readline()):
            return
        row = orjson.loads(line)
        yield _of_batch(row) if "custom_id" in row else row


def _of_batch(row: Mapping[str, Any]) -> dict[str, Any]:
    choice = (row["response"]["body"].get("choices") or [{}])[0]
    text = (choice.get("message") or {}).get("content")
    reason = choice.get("finish_reason")
    return {"id": row["custom_id"], "text": text, "finish_reason": reason, "input": None}


def _csv(file: Any, count: int) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(1 << 30)
    rows = csv.DictReader(line.decode() for line in iter(file.readline, b""))
    for _, row in zip(range(count), rows, strict=False):
        yield _of_table({name: original(value) for name, value in row.items()})


def _parquet(file: Any, count: int) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet

    table = pyarrow.parquet.ParquetFile(file)
    names = [
        n for n in table.schema_arrow.names if n in _SHOWN or any(is_own(n, o) for o in _NAMES)
    ]
    for batch in table.iter_batches(batch_size=count, columns=names):
        yield from map(_of_table, batch.to_pylist())
        return


def _of_table(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a table; our columns come after those of the input."""
    ours = {column: row[name] for name in row for column in _NAMES if is_own(name, column)}
    return {**ours, "input": dict(row)}
