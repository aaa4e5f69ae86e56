"""The outputs of a model's transform are typed rows on real runners, without a step between."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import get_args, get_type_hints

import orjson
import pyarrow.parquet
import pytest
from conftest import ROOT
from fake_server import api_error, echo

from transforms import Completion, DeadLetter, Delta

ELEMENTS = {"completions": Completion, "deltas": Delta, "dead_letters": DeadLetter}
TYPES = {str: "string", int: "int64", float: "double", bool: "bool"}


@pytest.fixture
def run(fake_server, tmp_path):
    """Return a function that runs the program, and returns how to read what it has written."""

    def script(request):
        if request.json["messages"][-1]["content"] == "bad":
            return api_error(400, "invalid_request_error", "x", "No.")
        return echo(request)

    def start(*flags):
        fake_server.script = script
        program = [sys.executable, str(ROOT / "tests" / "runners" / "outcomes.py")]
        environ = {**os.environ, "OPENAI_API_KEY": "sk-launcher", "PYTHONPATH": str(ROOT)}
        command = [*program, str(tmp_path), fake_server.base_url, *flags]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stderr[-3000:]
        assert len(fake_server.requests) == 3
        return Written(tmp_path)

    return start


class Written:
    """What the program has written to `folder`."""

    def __init__(self, folder):
        self._folder = folder

    def table(self, name):
        [path] = self._folder.glob(f"{name}-*")
        return pyarrow.parquet.read_table(path)

    def rows(self, name):
        [path] = self._folder.glob(f"{name}-*")
        return sorted(map(orjson.loads, path.read_bytes().splitlines()), key=lambda row: row["id"])


def columns_of(element):
    """Return the names of the columns of an element, with Parquet's types."""
    found = {}
    for name, hint in get_type_hints(element).items():
        [kind] = {*(get_args(hint) or (hint,))} - {type(None)}
        found[name] = TYPES[kind]
    return found


def assert_typed(written):
    for name, element in ELEMENTS.items():
        schema = written.table(name).schema
        assert {field.name: str(field.type) for field in schema} == columns_of(element)
    assert written.rows("selected-completions") == [
        {"id": "a", "text": "one two", "completion_tokens": 2, "cost_usd": None},
        {"id": "b", "text": "three", "completion_tokens": 1, "cost_usd": None},
    ]
    assert written.rows("selected-dead_letters") == [
        {"id": "c", "error_type": "BadRequestError", "status_code": 400, "cost_usd": None}
    ]
    deltas = sorted(written.rows("selected-deltas"), key=lambda row: (row["id"], row["seq"]))
    texts = {id: "".join(row["text"] for row in deltas if row["id"] == id) for id in "ab"}
    assert texts == {"a": "one two", "b": "three"}
    assert [row["id"] for row in deltas if row["final"] and row["outcome"]] == ["a", "b"]
    assert written.rows("grouped-completions") == [{"id": "a", "total": 1}, {"id": "b", "total": 1}]
    assert written.rows("grouped-dead_letters") == [{"id": "c", "total": 1}]
    [letter] = written.table("dead_letters").to_pylist()
    assert (letter["message"], letter["retryable"]) == ("openai/m: No.", False)
    assert letter["attempts"] == 1


def test_outcomes_are_rows_on_prism(prism, run):
    assert_typed(run(*prism))


def test_outcomes_are_rows_on_flink(flink, run):
    assert_typed(run(*flink.flags()))
