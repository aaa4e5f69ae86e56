"""Measures the coder of the elements against pickle: `python -m benchmarks.jobs.coders`.

A delta that crosses a shuffle or is kept as state is encoded and decoded once. The goal is at most
5 us for both. Both coders run in turns, so that a busy machine slows both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

import orjson
from apache_beam.coders import FastPrimitivesCoder, registry

from transforms.elements import Completion, Delta

_TIMES, _ROUNDS = 5_000, 9
_CHUNK = {
    "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
    "object": "chat.completion.chunk",
    "choices": [{"index": 0, "delta": {"content": " word"}}],
}


def elements() -> list[Any]:
    """Return a delta and a completion of usual size."""
    chunk = orjson.dumps(_CHUNK).decode()
    submission = "2f6b8ac1d0c94e57-0000000001-0d5f3b7a9c2e4f61"
    delta = Delta("row-1", 1, 7, " word", None, chunk, submission=submission)
    completion = Completion(
        "row-1",
        "word " * 200,
        "stop",
        "gpt-4o-mini",
        *(20, 200, 220, 0, 0, 0.3, 0.02, 0.05, 4.5, 1.7e9),
        1,
        orjson.dumps({"choices": [{"message": {"content": "word " * 200}}]}).decode(),
    )
    return [delta, completion]


def measure() -> dict[str, Mapping[str, float]]:
    """Return the microseconds to encode and decode each element, and its bytes, by its class."""
    found = {}
    for element in elements():
        coders = registry.get_coder(type(element)), FastPrimitivesCoder()
        rounds = [[_usec(coder, element) for coder in coders] for _ in range(_ROUNDS)]
        row, pickled = (statistics.median(usec) for usec in zip(*rounds, strict=True))
        sizes = [len(coder.encode(element)) for coder in coders]
        found[type(element).__name__] = {
            "row_usec": row,
            "pickle_usec": pickled,
            "row_bytes": sizes[0],
            "pickle_bytes": sizes[1],
        }
    return found


def _usec(coder: Any, element: Any) -> float:
    impl = coder.get_impl()
    started = time.process_time()
    for _ in range(_TIMES):
        impl.decode(impl.encode(element))
    return (time.process_time() - started) / _TIMES * 1e6


def main() -> None:
    """Print the figures."""
    for name, figures in measure().items():
        print(
            f"{name}: row coder {figures['row_usec']:.1f} us and {figures['row_bytes']:,} bytes,"
            f" pickle {figures['pickle_usec']:.1f} us and {figures['pickle_bytes']:,} bytes"
            f" ({figures['row_usec'] / figures['pickle_usec']:.2f}x the time)"
        )


if __name__ == "__main__":
    main()
