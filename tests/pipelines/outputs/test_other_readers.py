"""What other programs read in our files: DuckDB, polars and pandas, each with its own reader.

`make test-formats` installs them.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from outcomes import completion, failed, written

from pipelines.outputs.formats.csv import Csv
from pipelines.outputs.formats.parquet import Parquet
from pipelines.tables.rows import row_texts
from transforms.elements import Completion, DeadLetter

UTC = dt.timezone.utc
INPUT = pa.RecordBatch.from_pydict(
    {
        "id": pa.array([2**53 + 1, None]),
        "unsigned": pa.array([2**64 - 1, None], pa.uint64()),
        "price": pa.array([Decimal("12.50"), None], pa.decimal128(9, 2)),
        "wide": pa.array([Decimal(10**37), None], pa.decimal128(38, 0)),
        "day": pa.array([dt.date(2024, 2, 29), None]),
        "naive": pa.array([dt.datetime(2024, 2, 29, 12, 0, 0, 1), None], pa.timestamp("us")),
        "zoned": pa.array(
            [dt.datetime(2024, 2, 29, 12, tzinfo=UTC), None], pa.timestamp("ms", "UTC")
        ),
        "time": pa.array([dt.time(1, 2, 3, 4), None], pa.time64("us")),
        "data": pa.array([b"\x00\xff", None]),
        "tags": pa.array([["a", None, ""], None]),
        "meta": pa.array([{"n": 1, "s": None}, None]),
        "category": pa.array(["x", None]).dictionary_encode(),
        "score": pa.array([float("inf"), None]),
        "nothing": pa.nulls(2),
        "text": pa.array(['a "quoted",\r\nline', None]),
    }
)
ROWS = [completion(f"{n}")._replace(input=row.text) for n, row in enumerate(row_texts(INPUT))]
FIRST = {
    "id": 2**53 + 1,
    "unsigned": 2**64 - 1,
    "price": Decimal("12.50"),
    "wide": Decimal(10**37),
    "day": dt.date(2024, 2, 29),
    "naive": dt.datetime(2024, 2, 29, 12, 0, 0, 1),
    "zoned": dt.datetime(2024, 2, 29, 12, tzinfo=UTC),
    "time": dt.time(1, 2, 3, 4),
    "data": b"\x00\xff",
    "tags": ["a", None, ""],
    "meta": {"n": 1, "s": None},
    "category": "x",
    "score": float("inf"),
    "nothing": None,
    "text": 'a "quoted",\r\nline',
    "ritellm_text": "an answer",
    "prompt_tokens": 3,
    "cost_usd": 0.0001,
    "truncated": False,
    "ended_at": dt.datetime(2023, 11, 14, 22, 13, 20, 250_000, tzinfo=UTC),
    "other_input": None,
}


@pytest.fixture
def parquet(tmp_path):
    path = tmp_path / "completions.parquet"
    path.write_bytes(written(Parquet(Completion, INPUT.schema), *ROWS))
    return str(path)


def check(rows):
    first, second = rows
    assert {name: first[name] for name in FIRST} == FIRST
    assert all(second[name] is None for name in INPUT.schema.names)
    assert second["ritellm_text"] == "an answer"


def test_duckdb_reads_parquet(parquet):
    duckdb = pytest.importorskip("duckdb", reason="make test-formats installs duckdb")
    duckdb.sql("SET TimeZone = 'UTC'")
    found = duckdb.sql(f"SELECT * FROM '{parquet}'")
    types = dict(zip(found.columns, map(str, found.types), strict=True))
    assert types["price"] == "DECIMAL(9,2)"
    assert types["zoned"] == "TIMESTAMP WITH TIME ZONE"
    assert types["unsigned"] == "UBIGINT"
    check([dict(zip(found.columns, row, strict=True)) for row in found.fetchall()])


def test_polars_reads_parquet(parquet):
    polars = pytest.importorskip("polars", reason="make test-formats installs polars")
    found = polars.read_parquet(parquet)
    assert found.schema["price"] == polars.Decimal(9, 2)
    check(found.to_dicts())


def test_pandas_reads_parquet(parquet):
    pandas = pytest.importorskip("pandas", reason="make test-formats installs pandas")
    found = pandas.read_parquet(parquet, dtype_backend="pyarrow")
    assert found["id"].iloc[0] == 2**53 + 1
    assert found["price"].iloc[0] == Decimal("12.50")
    assert found["zoned"].iloc[0] == dt.datetime(2024, 2, 29, 12, tzinfo=UTC)
    assert found["text"].iloc[0] == 'a "quoted",\r\nline'
    assert found["ritellm_text"].tolist() == ["an answer"] * 2


def test_a_file_of_nulls_and_one_of_values_are_one_table(parquet, tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="make test-formats installs duckdb")
    polars = pytest.importorskip("polars", reason="make test-formats installs polars")
    nulls = tmp_path / "completions-2.parquet"
    nulls.write_bytes(written(Parquet(Completion, INPUT.schema), *ROWS[1:]))
    pattern = f"{tmp_path}/*.parquet"
    assert duckdb.sql(f"SELECT count(id), count(*) FROM '{pattern}'").fetchall() == [(1, 3)]
    assert polars.read_parquet(pattern).shape[0] == 3


TEXTS = ['a "quoted",\r\nline', "", None, "plain", "=1+1", "-5"]


@pytest.fixture
def csv(tmp_path):
    rows = [completion(f"{n}", input={"n": n, "x": text}) for n, text in enumerate(TEXTS)]
    path = tmp_path / "completions.csv"
    path.write_bytes(written(Csv(Completion, ["n", "x"], True), *rows))
    return str(path)


def test_duckdb_reads_csv(csv):
    duckdb = pytest.importorskip("duckdb", reason="make test-formats installs duckdb")
    found = duckdb.sql(
        f"SELECT n, x, prompt_tokens FROM read_csv('{csv}', allow_quoted_nulls = false,"
        " types = {'x': 'VARCHAR'})"
    )
    assert found.fetchall() == [(n, text, 3) for n, text in enumerate(TEXTS)]


def test_polars_reads_csv(csv):
    polars = pytest.importorskip("polars", reason="make test-formats installs polars")
    found = polars.read_csv(csv, schema_overrides={"x": polars.String})
    assert found["n"].to_list() == list(range(len(TEXTS)))
    assert [text or "" for text in found["x"].to_list()] == [text or "" for text in TEXTS]


def test_pandas_reads_csv(csv):
    pandas = pytest.importorskip("pandas", reason="make test-formats installs pandas")
    found = pandas.read_csv(csv, keep_default_na=False, dtype={"x": str})
    assert found["x"].tolist() == [text or "" for text in TEXTS]
    assert found["truncated"].tolist() == [False] * len(TEXTS)


def test_failed_rows_are_read_too(tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="make test-formats installs duckdb")
    path = tmp_path / "failed.parquet"
    rows = [failed("b")._replace(input=row.input) for row in ROWS]
    path.write_bytes(written(Parquet(DeadLetter, INPUT.schema), *rows))
    found = duckdb.sql(f"SELECT id, error_type, status_code FROM '{path}'").fetchall()
    assert found == [(2**53 + 1, "BadRequestError", 400), (None, "BadRequestError", 400)]
