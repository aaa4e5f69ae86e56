"""Rows of tables as JSON texts, and back: no value changes, and each type has one form."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import orjson
import pyarrow as pa
import pytest
from arrow_columns import columns
from hypothesis import given, settings

from pipelines.tables.rows import Restorer, json_field, row_texts
from pipelines.tables.types import form_of, storable


def batch(**columns):
    return pa.RecordBatch.from_pydict(columns)


def texts(found):
    rows = row_texts(found)
    assert not [row.fault for row in rows if row.fault]
    return [row.text for row in rows]


def forms(values, type=None):
    """Return the JSON values of a column."""
    return [orjson.loads(text)["x"] for text in texts(batch(x=pa.array(values, type)))]


def restored(array):
    """Return the column after both ways."""
    given = batch(x=array)
    found = Restorer(given.schema).restore(texts(given))
    assert found.rest == [None] * len(array)
    [column] = found.columns
    column.validate(full=True)
    return column


@settings(max_examples=300, deadline=None)
@given(columns())
def test_a_column_of_any_type_is_the_same_after_both_ways(column):
    found = restored(column)
    assert found.type == column.type
    assert found.equals(column)


STORED = [1_709_208_000, None, -1]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([2**53 + 1, -(2**63), None]), [2**53 + 1, -(2**63), None]),
        (pa.array([2**64 - 1], pa.uint64()), [2**64 - 1]),
        (pa.array([True, None]), [True, None]),
        (pa.array([0.1, -0.0, None]), [0.1, -0.0, None]),
        (
            pa.array([float("nan"), float("inf"), float("-inf")]),
            ["NaN", "Infinity", "-Infinity"],
        ),
        (pa.array([0.1, float("nan")], pa.float32()), [0.1, "NaN"]),
        (pa.array([Decimal("12.50"), Decimal("-0.05")], pa.decimal128(10, 2)), ["12.50", "-0.05"]),
        (pa.array([Decimal("1E-20")], pa.decimal128(38, 20)), ["0.00000000000000000001"]),
        (pa.array([Decimal(10**75)], pa.decimal256(76, 0)), [f"1{'0' * 75}"]),
        (pa.array([b"\x00\xff", b""]), ["AP8=", ""]),
        (pa.array([dt.date(2024, 2, 29)]), ["2024-02-29"]),
        (pa.array([86_400_000], pa.date64()), ["1970-01-02"]),
        (pa.array(STORED, pa.timestamp("s")), ["2024-02-29T12:00:00", None, "1969-12-31T23:59:59"]),
        (pa.array([1], pa.timestamp("ms")), ["1970-01-01T00:00:00.001"]),
        (pa.array([1], pa.timestamp("us", "Europe/Berlin")), ["1970-01-01T00:00:00.000001Z"]),
        (pa.array([1], pa.timestamp("ns", "UTC")), ["1970-01-01T00:00:00.000000001Z"]),
        (pa.array([3661], pa.time32("s")), ["01:01:01"]),
        (pa.array([1], pa.time64("us")), ["00:00:00.000001"]),
        (pa.array([3], pa.duration("s")), ["3s"]),
        (pa.array([-1, 3_500], pa.duration("ms")), ["-0.001s", "3.500s"]),
        (pa.array([[1, None], None, []]), [[1, None], None, []]),
        (pa.array([{"a": 1, "b": None}, None]), [{"a": 1, "b": None}, None]),
        (pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())), [{"k": 1}, {}]),
        (pa.array([[(5, "v")]], pa.map_(pa.int64(), pa.string())), [[[5, "v"]]]),
        (
            pa.array([[("k", 1), ("k", 2)]], pa.map_(pa.string(), pa.int64())),
            [[["k", 1], ["k", 2]]],
        ),
        (pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
        (pa.nulls(2), [None, None]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_each_type_has_one_form(array, expected):
    assert forms(array) == expected


# Databases write "infinity" as the largest number.
@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([2**31 - 1, 0], pa.date32()), [2**31 - 1, "1970-01-01"]),
        (pa.array([2**63 - 1, -(2**63) + 1], pa.timestamp("us")), [2**63 - 1, -(2**63) + 1]),
        (pa.array([-62_135_596_801], pa.timestamp("s", "UTC")), [-62_135_596_801]),
        (pa.array([253_402_300_799], pa.timestamp("s")), ["9999-12-31T23:59:59"]),
        (pa.array([-62_135_596_800], pa.timestamp("s")), ["0001-01-01T00:00:00"]),
    ],
)
def test_a_time_beyond_the_calendar_is_the_integer_that_arrow_stores(array, expected):
    assert forms(array) == expected
    assert restored(array).equals(array)


def test_nan_survives_both_ways():
    nan, one = restored(pa.array([float("nan"), 1.0])).to_pylist()
    assert (nan != nan, one) == (True, 1.0)


def test_a_map_with_equal_keys_survives_both_ways():
    array = pa.array([[("k", 1), ("k", 2)], None], pa.map_(pa.string(), pa.int64()))
    assert restored(array).equals(array)


def test_a_null_column_is_kept_as_null():
    assert texts(batch(id=["a"], x=pa.nulls(1))) == ['{"id":"a","x":null}']


def test_a_list_of_a_fixed_size_becomes_a_list_because_parquet_has_no_such_nulls():
    array = pa.array([[1, 2], None], pa.list_(pa.int8(), 2))
    assert restored(array).equals(pa.array([[1, 2], None], pa.list_(pa.int8())))


def test_categories_come_back_as_categories_of_32_bits():
    array = pa.array(["b", "a", None]).dictionary_encode().cast(pa.dictionary(pa.int8(), "string"))
    found = restored(array)
    assert found.type == pa.dictionary(pa.int32(), pa.string())
    assert found.to_pylist() == ["b", "a", None]
    assert restored(pa.array([5, 5]).dictionary_encode()).equals(pa.array([5, 5]))


def test_a_uuid_has_its_usual_form():
    array = pa.array([bytes(range(16))], pa.uuid())
    assert forms(array) == ["00010203-0405-0607-0809-0a0b0c0d0e0f"]
    assert restored(array).equals(array)


def test_a_type_that_parquet_does_not_have_comes_back_as_json():
    union = pa.UnionArray.from_sparse(
        pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]
    )
    interval = pa.array([pa.MonthDayNano([1, 2, 3]), None])
    given = batch(union=union, interval=interval, empty=pa.array([{}, None], pa.struct([])))
    restorer = Restorer(given.schema)
    found = restorer.restore(texts(given))
    assert restorer.fields == [json_field("union"), json_field("interval"), json_field("empty")]
    assert [column.to_pylist() for column in found.columns] == [
        ["1", '"b"'],
        ['{"months":1,"days":2,"nanoseconds":3}', None],
        ["{}", None],
    ]


def test_a_decimal_with_a_negative_scale_becomes_one_without():
    array = pa.array([Decimal("12E+3")], pa.decimal128(5, -3))
    assert forms(array) == ["12000"]
    assert restored(array).equals(pa.array([Decimal(12_000)], pa.decimal128(8, 0)))


def test_a_category_whose_values_are_views_is_read_as_polars_streams_it():
    values = pa.array(["x", "y"], pa.string_view())
    array = pa.DictionaryArray.from_arrays(pa.array([1, None, 0], pa.uint32()), values)
    assert texts(batch(x=array.slice(1))) == ['{"x":null}', '{"x":"x"}']
    assert restored(array).equals(pa.array(["y", None, "x"]).dictionary_encode())


@pytest.mark.parametrize("type", [pa.string_view(), pa.binary_view(), pa.list_view(pa.int64())])
def test_a_view_is_read_like_the_type_that_it_views(type):
    values = {"string_view": ["a"], "binary_view": [b"a"]}.get(str(type), [[1]])
    assert restored(pa.array([*values, None], type)).to_pylist() == [*values, None]


def not_utf8(*data):
    buffers = pa.array(data, pa.binary()).buffers()
    return pa.Array.from_buffers(pa.string(), len(data), buffers)


def test_text_that_is_not_utf8_is_the_fault_of_its_row_alone():
    found = row_texts(batch(id=["a", "b"], prompt=not_utf8(b"caf\xe9", "café".encode())))
    assert found[0].fault == "a text must be UTF-8, got the byte 0xe9; save it as UTF-8"
    assert found[0].text == '{"id":"a","prompt":"caf\\xe9"}'  # not JSON, so never sent later
    assert (found[1].text, found[1].fault) == ('{"id":"b","prompt":"café"}', "")


def test_half_a_surrogate_pair_is_not_utf8():
    [found] = row_texts(batch(tags=pa.array([["x"]]), prompt=not_utf8(b"\xed\xa0\x80")))
    assert found.fault == "a text must be UTF-8, got the byte 0xed; save it as UTF-8"
    assert found.text == '{"tags":["x"],"prompt":"\\xed\\xa0\\x80"}'


def test_two_columns_of_one_name_are_refused():
    twice = pa.RecordBatch.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    with pytest.raises(ValueError, match="columns must have unique names, got x, x"):
        row_texts(twice)


# --- What does not fit ---------------------------------------------------------------------------

SCHEMA = pa.schema([("n", pa.int64()), ("s", pa.string()), ("f", pa.float64())])


def restore(*rows, schema=SCHEMA):
    found = Restorer(schema).restore(rows)
    return [column.to_pylist() for column in found.columns], found.rest


def test_a_value_that_does_not_fit_is_kept_in_the_rest_of_its_row():
    columns, rest = restore(
        '{"n":1,"s":"a","f":1}',
        '{"n":"many","s":2,"f":0.5}',
        '{"n":340282366920938463463374607431768211455,"s":null,"f":9007199254740993}',
        '{"n":2.0,"s":["a"],"f":true}',
    )
    assert columns == [[1, None, None, None], ["a", None, None, None], [1.0, 0.5, None, None]]
    assert rest == [
        None,
        '{"n":"many","s":2}',
        '{"n":340282366920938463463374607431768211455,"f":9007199254740993}',
        '{"n":2.0,"s":["a"],"f":true}',
    ]


def test_a_column_that_the_schema_lacks_is_kept_in_the_rest():
    columns, rest = restore('{"n":1,"new":{"a":[1]}}', "{}")
    assert columns == [[1, None], [None, None], [None, None]]
    assert rest == ['{"new":{"a":[1]}}', None]


def test_a_row_that_is_no_object_is_kept_whole():
    columns, rest = restore('"not JSON: {"', "[1]", "not JSON", None)
    assert columns == [[None] * 4] * 3
    assert rest == ['"not JSON: {"', "[1]", '"not JSON"', None]


def test_text_of_two_rows_does_not_become_two_rows():
    _, rest = restore('{"n":1},{"n":2}', '{"n":3}')
    assert rest == ['"{\\"n\\":1},{\\"n\\":2}"', None]


def test_a_json_column_keeps_any_value():
    schema = pa.schema([json_field("x")])
    rows = ['{"x":[1,{"a":null}]}', '{"x":"text"}', '{"x":12345678901234567890123}', '{"x":null}']
    [column], rest = restore(*rows, schema=schema)
    assert column == ['[1,{"a":null}]', '"text"', "12345678901234567890123", None]
    assert rest == [None] * 4
    again = pa.RecordBatch.from_arrays([pa.array(column)], schema=schema)
    assert texts(again) == rows


def test_a_number_of_a_field_in_another_file_is_forgotten():
    field = pa.field("n", pa.int64(), False, {"PARQUET:field_id": "7", "unit": "m"})
    [found] = Restorer(pa.schema([field])).fields
    assert (found.nullable, found.metadata) == (True, {b"unit": b"m"})


@pytest.mark.parametrize(
    ("type", "value"),
    [
        (pa.timestamp("ms"), "2024-02-29T12:00:00.000Z"),
        (pa.timestamp("ms", "UTC"), "2024-02-29T12:00:00.000"),
        (pa.timestamp("s"), "yesterday"),
        (pa.date32(), "2024-02-30"),
        (pa.duration("s"), "1.5s"),
        (pa.decimal128(4, 2), "123.45"),
        (pa.binary(), "no Base64!"),
        (pa.binary(3), "AP8="),
        (pa.float64(), "inf"),
        (pa.list_(pa.int64()), [1, "a"]),
        (pa.struct([("a", pa.int64())]), {"a": 1, "b": 2}),
        (pa.map_(pa.string(), pa.int64()), [[None, 1]]),
        (pa.null(), 0),
    ],
    ids=str,
)
def test_a_value_that_is_no_form_of_its_type_is_kept_in_the_rest(type, value):
    text = orjson.dumps({"x": value}).decode()
    columns, rest = restore('{"x":null}', text, schema=pa.schema([("x", type)]))
    assert columns == [[None, None]]
    assert rest == [None, text]


def test_types_that_parquet_has_are_storable_as_they_are():
    for type in (pa.int8(), pa.timestamp("ns", "UTC"), pa.decimal256(76, 3), pa.list_(pa.string())):
        assert storable(type) == type
        assert form_of(type) is not None
