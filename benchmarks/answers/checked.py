"""Counts invalid answers in the output of a job, and measures the check and the early stop.

    python -m benchmarks.answers.checked --rows 10000

The server breaks every rule in turn (`benchmarks.answers.server`). The rows of `completions-*` are
checked again by another validator, jsonschema. The check is timed on one answer of 60 bytes, with
the other validators beside it. The early stop is compared by the words that the server has written
for a wrong answer.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema

from benchmarks import ROOT
from benchmarks.answers.server import GOOD
from ritellm import Answer
from ritellm.answers import texts
from ritellm.answers.grammar import schema_of

COLUMNS = "label:enum(good,bad), score:float, tags:list(str), why:str?"


@contextlib.contextmanager
def serving(*flags: str) -> Iterator[str]:
    """Run the server for the time of the block; yields its address."""
    command = [sys.executable, "-m", "benchmarks.answers.server", *flags]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout
        yield f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"


def job(folder: Path, address: str, columns: str, rows: int, *flags: str) -> dict[str, Any]:
    """Run a job of `rows` rows, and return its report."""
    lines = "".join(json.dumps({"id": str(n), "prompt": f"row {n}"}) + "\n" for n in range(rows))
    (folder / "in.jsonl").write_text(lines)
    command = [
        *(sys.executable, "-m", "pipelines.batch_complete", "--input", str(folder / "in.jsonl")),
        *("--output", str(folder / "out"), "--model", "openai/gpt-4o-mini"),
        *("--base_url", f"{address}/v1", "--answer_columns", columns, *flags),
    ]
    environ = {**os.environ, "OPENAI_API_KEY": "k"}
    subprocess.run(command, capture_output=True, cwd=ROOT, env=environ, check=False)
    report: dict[str, Any] = json.loads((folder / "out" / "report.json").read_text())
    return report


def validity(rows: int) -> dict[str, Any]:
    """Return how many rows of a job were completed, failed, and invalid."""
    other = jsonschema.Draft202012Validator(schema_of(COLUMNS))
    names = schema_of(COLUMNS)["properties"]
    with tempfile.TemporaryDirectory() as name, serving() as address:
        started = time.perf_counter()
        report = job(Path(name), address, COLUMNS, rows)
        seconds = time.perf_counter() - started
        invalid = completed = 0
        for file in Path(name, "out").glob("completions-*.jsonl"):
            for line in file.read_bytes().splitlines():
                row = json.loads(line)
                answer = {column: row[column] for column in names if column in row}
                invalid += not other.is_valid(answer) or answer != GOOD
                completed += 1
    return {
        "rows": rows,
        "completed": completed,
        "failed": report["failed"],
        "errors": report["errors"],
        "invalid": invalid,
        "reasks": report["answers"]["reasks"],
        "seconds": round(seconds, 1),
    }


def check_time() -> dict[str, float]:
    """Return the microseconds of one check, by validator; the first is ours, with the parsing."""
    import pydantic

    text, schema = json.dumps(GOOD), schema_of(COLUMNS)
    answer, other = Answer(schema), jsonschema.Draft202012Validator(schema)
    model = pydantic.create_model("M", label=str, score=float, tags=list[str], why=(str | None))

    def ours() -> None:
        found = texts.read(text)
        assert isinstance(found, texts.Found)
        answer.faults(found.value)

    checks: dict[str, Callable[[], Any]] = {
        "text to checked answer": ours,
        "jsonschema-rs": lambda: answer.faults(GOOD),
        "jsonschema": lambda: other.is_valid(GOOD),
        "pydantic": lambda: model.model_validate(GOOD),
    }
    return {name: _microseconds(check) for name, check in checks.items()}


def _microseconds(check: Callable[[], Any], count: int = 2_000) -> float:
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(count):
            check()
        best = min(best, time.perf_counter() - started)
    return round(best / count * 1e6, 1)


def saved(rows: int = 50, tokens: int = 200) -> dict[str, Any]:
    """Return the share of words that the early stop saves if the first field is always wrong."""
    columns = "label:enum(good,bad), words:list(str)"
    with (
        tempfile.TemporaryDirectory() as name,
        serving("--gap_ms=5", f"--tokens={tokens}") as address,
    ):
        report = job(Path(name), address, columns, rows, "--max_in_flight", str(rows))
        with urllib.request.urlopen(f"{address}/stats") as response:
            stats = json.load(response)
    whole = stats["requests"] * (tokens + 2)
    return {
        "requests": stats["requests"],
        "words": stats["written"],
        "words without it": whole,
        "saved": round(1 - stats["written"] / whole, 3),
        "saved of wrong answers": round((whole - stats["written"]) / (rows * (tokens + 2)), 3),
        "report": report["answers"]["tokens_saved_estimated"],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000)
    print(f"cores={os.cpu_count()} python={sys.version.split()[0]}")
    print("check, us:", check_time())
    print("early stop:", saved())
    print("validity:", validity(parser.parse_args().rows))
