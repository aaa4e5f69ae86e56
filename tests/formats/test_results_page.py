"""The code of docs/results.md, run on the folder of a job by DuckDB, polars and pandas."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest
from job_folder import JobRun
from outcomes import completion

from pipelines.outputs.formats.jsonl import JsonLines
from pipelines.outputs.formats.parquet import Parquet
from transforms.elements import Completion

PAGE = Path(__file__).parents[2] / "docs" / "results.md"
BLOCKS = re.findall(r"^```py\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
pytest.importorskip("duckdb", reason="make test-formats installs it")
pytest.importorskip("polars")

SCHEMA = pa.schema([("prompt", pa.string()), ("topic", pa.string())])


@pytest.mark.parametrize("code", BLOCKS, ids=range(len(BLOCKS)))
def test_each_block_prints_the_rows(tmp_path, monkeypatch, capsys, code):
    monkeypatch.chdir(tmp_path)
    format = Parquet(Completion, SCHEMA) if ".parquet" in code else JsonLines()
    run = JobRun(tmp_path / "out")
    for id in ("first", "second"):
        row = completion(id, text=f"answer {id}", input={"prompt": "p", "topic": f"topic {id}"})
        run.shard(row, format=format)
    run.end()
    exec(compile(code, "block", "exec"), {})
    printed = capsys.readouterr().out
    wanted = ["2"] if "count(*)" in code else ["first", "second", "answer first", "answer second"]
    wanted += ["topic first"] if "topic" in code else []
    missing = [word for word in wanted if word not in printed]
    assert not missing, printed


def test_the_page_shows_each_program():
    code = "".join(BLOCKS)
    assert all(name in code for name in ("duckdb", "polars", "pandas"))
