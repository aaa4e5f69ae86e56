"""Several files with other types in one column: one type for the output, and no value changes."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pipelines.tables.rows import Restorer, is_json, json_field, row_texts
from pipelines.tables.unify import unified


def of(*types):
    [field] = unified(pa.schema([("x", type)]) for type in types)
    return "json" if is_json(field) else str(field.type)


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ((pa.int64(), pa.int64()), "int64"),
        ((pa.int32(), pa.int64()), "int64"),
        ((pa.int64(), pa.float64()), "double"),
        ((pa.null(), pa.date32()), "date32[day]"),
        ((pa.null(), pa.null()), "null"),
        ((pa.string(), pa.large_string()), "large_string"),
        ((pa.string(), pa.dictionary(pa.int8(), pa.string())), "string"),
        ((pa.decimal128(9, 2), pa.decimal128(12, 4)), "decimal128(12, 4)"),
        ((pa.timestamp("ms"), pa.timestamp("us")), "timestamp[us]"),
        # The form of one is not a form of the other.
        ((pa.string(), pa.binary()), "json"),
        ((pa.decimal128(9, 2), pa.float64()), "json"),
        ((pa.bool_(), pa.int64()), "json"),
        ((pa.timestamp("us"), pa.timestamp("us", "UTC")), "json"),
        ((pa.date32(), pa.timestamp("us")), "json"),
        ((pa.list_(pa.string()), pa.list_(pa.binary())), "json"),
    ],
    ids=str,
)
def test_a_column_has_a_type_that_holds_the_values_of_all_files(types, expected):
    assert of(*types) == of(*types[::-1]) == expected


def test_the_columns_of_all_files_are_there():
    found = unified(
        [pa.schema([("a", pa.int8())]), pa.schema([("b", pa.int8()), ("a", pa.int8())])]
    )
    assert found.names == ["a", "b"]
    assert unified([]).names == []


def test_a_column_that_is_json_in_one_file_only_is_json():
    [field] = unified([pa.schema([json_field("x")]), pa.schema([("x", pa.string())])])
    assert is_json(field)


def test_texts_beside_binary_values_are_kept():
    batches = [
        pa.RecordBatch.from_pydict({"x": ["abcd"]}),
        pa.RecordBatch.from_pydict({"x": [b"\x00"]}),
    ]
    rows = [row.text for batch in batches for row in row_texts(batch)]
    [column] = Restorer(unified(batch.schema for batch in batches)).restore(rows).columns
    assert column.to_pylist() == ['"abcd"', '"AA=="']
