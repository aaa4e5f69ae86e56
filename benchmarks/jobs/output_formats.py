"""Measures what it costs to write a row in each format of output, without a model.

    python -m benchmarks.jobs.output_formats --rows 20000

An input row is an ordinary one of a table with ten columns: integers, texts, a decimal, times, a
list and a struct. Its completion has 400 characters. The CPU time has all steps from the outcome to
the bytes of the file, on one core. `typed` are the conversions between Arrow and JSON alone.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from decimal import Decimal

import orjson
import pyarrow as pa

from pipelines.outputs.formats.base import RowFormat
from pipelines.outputs.formats.choice import row_format
from pipelines.outputs.formats.names import NAMES
from pipelines.tables.rows import Restorer, row_texts
from transforms.elements import Completion

_BATCH = 1_000


def table(rows: int) -> pa.RecordBatch:
    """Return an ordinary table."""
    numbers = range(rows)
    return pa.RecordBatch.from_pydict(
        {
            "id": pa.array(numbers),
            "prompt": [f"Summarise document {n}. " + "Lorem ipsum dolor. " * 15 for n in numbers],
            "price": pa.array([Decimal(n).scaleb(-2) for n in numbers], pa.decimal128(12, 2)),
            "at": pa.array([1_700_000_000_000_000 + n for n in numbers], pa.timestamp("us", "UTC")),
            "day": pa.array([n % 30_000 for n in numbers], pa.int32()).cast(pa.date32()),
            "score": [n / 7 for n in numbers],
            "is_new": [n % 2 == 0 for n in numbers],
            "category": [f"c{n % 10}" for n in numbers],
            "tags": [["a", f"t{n % 5}"] for n in numbers],
            "meta": [{"lang": "en", "length": n} for n in numbers],
        }
    )


def completions(texts: list[str]) -> list[Completion]:
    """Return a completion for each input row."""
    answer = "An answer of some length, as models give it. " * 9
    message = {"role": "assistant", "content": answer}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 90, "total_tokens": 190},
    }
    whole = orjson.dumps(body).decode()
    times = (0.3, 0.01, 0.02, 1.5, 1_700_000_000.5)
    return [
        Completion(f"{n}", answer, "stop", "m", 100, 90, 190, None, None, *times, 1, whole, text)
        for n, text in enumerate(texts)
    ]


def write(format: RowFormat, rows: list[Completion]) -> int:
    """Write a file, and return its size."""
    file = io.BytesIO()
    writer = format.open(file)
    for row in rows:
        writer.write(format.encode(row))
    writer.close()
    return len(file.getvalue())


def cpu(call: Callable[[], object], rows: int, repeat: int = 3) -> float:
    """Return the microseconds of CPU for a row, of the best run."""
    best = float("inf")
    for _ in range(repeat):
        before = time.process_time()
        call()
        best = min(best, time.process_time() - before)
    return best / rows * 1e6


def measure(rows: int) -> dict[str, float]:
    """Return microseconds of CPU for a row."""
    batch = table(rows)
    batches = [batch.slice(start, _BATCH) for start in range(0, rows, _BATCH)]
    texts = [[row.text for row in row_texts(each)] for each in batches]
    restorer = Restorer(batch.schema)
    found = {
        "typed: Arrow to JSON": cpu(lambda: [row_texts(each) for each in batches], rows),
        "typed: JSON to Arrow": cpu(lambda: [restorer.restore(each) for each in texts], rows),
    }
    outcomes = completions([text for each in texts for text in each])
    for name in NAMES:
        format = row_format(name, Completion, batch.schema, raw=False)
        write(format, outcomes[:_BATCH])  # imports and caches
        found[name] = cpu(lambda format=format: write(format, outcomes), rows)  # type: ignore[misc]
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    arguments = parser.parse_args()
    for name, microseconds in measure(arguments.rows).items():
        print(f"{name:<22}{microseconds:6.1f} us of CPU a row")
