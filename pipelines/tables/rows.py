"""Record batches as the JSON texts of rows, and the JSON texts of rows as columns again. Pure.

A null is JSON's null: a column that a row lacks comes only from formats without a schema. A text
column that is marked by `json_field` holds JSON, which becomes a part of the row's JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

from pipelines.tables.failed import FailedLayout, failed_layout
from pipelines.tables.forms import Form, Unfit
from pipelines.tables.types import form_of, storable
from transforms import exact_json

_MARK = {b"ritellm.json": b"1"}
# What may be an integer beyond 64 bits, outside of a text.
_LARGE_INTEGER = re.compile(r"[:,\[]\s*-?[0-9]{19}")


def json_field(name: str) -> pa.Field:
    """Return a text column whose values are JSON."""
    return pa.field(name, pa.string(), metadata=_MARK)


def is_json(field: pa.Field) -> bool:
    """Return whether the values of a column are JSON texts."""
    return bool(field.metadata) and _MARK.items() <= field.metadata.items()


class RowText(NamedTuple):
    """One row as the text of a JSON object, or not quite one, with the reason as `fault`."""

    text: str
    fault: str = ""


def row_texts(batch: pa.RecordBatch) -> list[RowText]:
    """Return the rows of `batch`, with all columns of its file if that has failed rows.

    Names of columns must be unique. A failed row has the form of JSON lines (`tables.failed`).
    A text that is not UTF-8 is the fault of its row. The row's text then has escapes that are not
    JSON, as a file of JSON lines with these bytes would have.
    """
    try:
        return [RowText(exact_json.dumps(row)) for row in _objects_of(batch, lax=False)]
    except UnicodeDecodeError:
        one_by_one = (batch.slice(index, 1) for index in range(batch.num_rows))
        return [_checked(row) for row in one_by_one]


def _checked(row: pa.RecordBatch) -> RowText:
    try:
        return RowText(exact_json.dumps(next(_objects_of(row, lax=False))))
    except UnicodeDecodeError as error:
        [found] = _objects_of(row, lax=True)
        text = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
        escaped = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        wrong = f"0x{error.object[error.start]:02x}"
        return RowText(escaped, f"a text must be UTF-8, got the byte {wrong}; save it as UTF-8")


def _objects_of(batch: pa.RecordBatch, lax: bool) -> Iterator[dict[str, Any]]:
    names = batch.schema.names
    if len(set(names)) != len(names):
        raise ValueError(f"columns must have unique names, got {', '.join(names)}")
    columns = [_values(field, batch.column(i), lax) for i, field in enumerate(batch.schema)]
    rows = zip(*columns, strict=True) if columns else iter([()] * batch.num_rows)
    objects = (dict(zip(names, row, strict=True)) for row in rows)
    layout = failed_layout(names)
    return objects if layout is None else _nested(objects, layout, is_json(batch.schema[-1]))


def _nested(
    rows: Iterator[dict[str, Any]], layout: FailedLayout, is_parsed: bool
) -> Iterator[dict[str, Any]]:
    """Yield failed rows with their original rows. Other programs drop the mark of JSON columns."""
    for row in rows:
        rest = row[layout.ours[-1]]
        yield layout.nested(row, rest if is_parsed else _parsed(rest))


def input_schema(schema: pa.Schema) -> pa.Schema:
    """Return the columns of the rows of a file: of the original rows if it has failed rows."""
    layout = failed_layout(schema.names)
    return schema if layout is None else pa.schema(list(schema)[: len(layout.inputs)])


def _values(field: pa.Field, array: pa.Array, lax: bool) -> list[Any]:
    values = form_of(field.type, lax).values(array)
    return [_parsed(value) for value in values] if is_json(field) else values


def _parsed(text: Any) -> Any:
    try:
        return exact_json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return text


class Restored(NamedTuple):
    """Rows as columns. `rest` is the JSON of what has no place in the columns, None for nothing.

    It is an object of the row's other columns, and of values that do not fit into their column. Of
    a row that is no object it is the whole row.
    """

    columns: list[pa.Array]
    rest: list[str | None]


class Restorer:
    """Turns the JSON texts of rows into columns with the types of `schema`, as `Restored`.

    `fields` are the columns. Their types are those of `schema`, or the next best in Parquet. Each
    of them may be null. Columns that Parquet cannot keep are marked as JSON.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self.fields = [_restorable(field) for field in schema]
        self._names = frozenset(schema.names)
        self._forms = [_JsonText() if is_json(f) else form_of(f.type) for f in self.fields]

    def restore(self, texts: Sequence[str | None]) -> Restored:
        """Return the rows with these texts as columns; None is a row without columns."""
        rows = parse(texts)
        found = [row if isinstance(row, dict) else {} for row in rows]
        rest: list[Any] = [self._unknown(row) for row in rows]
        columns = []
        for field, form in zip(self.fields, self._forms, strict=True):
            values = [row.get(field.name) for row in found]
            array, misfits = _fit(form, values)
            for index in misfits:
                rest[index] = {**(rest[index] or {}), field.name: values[index]}
            columns.append(array)
        return Restored(
            columns, [None if each is None else exact_json.dumps(each) for each in rest]
        )

    def _unknown(self, row: Any) -> Any:
        if not isinstance(row, dict) or row.keys() <= self._names:
            return None if isinstance(row, dict) else row
        return {name: value for name, value in row.items() if name not in self._names}


def _restorable(field: pa.Field) -> pa.Field:
    type = storable(field.type)
    if type is None or is_json(field):
        return json_field(field.name)
    metadata = dict(field.metadata or {})
    metadata.pop(b"PARQUET:field_id", None)  # numbers columns of another file
    return pa.field(field.name, type, metadata=metadata or None)


class _JsonText:
    def values(self, array: pa.Array) -> list[Any]:
        return [_parsed(text) for text in array.to_pylist()]

    def array(self, values: Sequence[Any]) -> pa.Array:
        texts = [value if value is None else exact_json.dumps(value) for value in values]
        return pa.array(texts, pa.string())


def _fit(form: Form, values: Sequence[Any], start: int = 0) -> tuple[pa.Array, list[int]]:
    """Return the values as an array, with null for those that do not fit, and their places."""
    try:
        return form.array(values), []
    except Unfit:
        if len(values) == 1:
            return form.array([None]), [start]
    middle = len(values) // 2
    left, misfits = _fit(form, values[:middle], start)
    right, more = _fit(form, values[middle:], start + middle)
    return pa.concat_arrays([left, right]), misfits + more


def parse(texts: Sequence[str | None]) -> list[Any]:
    """Return the values of JSON texts; None for None, the text itself for one that is not JSON."""
    joined = ",".join("null" if text is None else text for text in texts)
    may_be_large = exact_json.has_large_integer(joined)  # takes less time than the expression
    if not may_be_large or _LARGE_INTEGER.search(joined) is None:
        try:
            found = orjson.loads(f"[{joined}]")
            if len(found) == len(texts):
                return list(found)
        except orjson.JSONDecodeError:
            pass
    return [None if text is None else _parsed(text) for text in texts]
