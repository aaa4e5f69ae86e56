"""Measures the cost of assembling a completion: `python -m benchmarks.client.assembly`.

The cost per chunk should not grow with the number of chunks.
"""

from __future__ import annotations

import statistics
import time
import tracemalloc

import orjson

from ritellm import stream_chunk_builder
from ritellm.types import Chunk
from transforms.assembly import StreamChunkBuilder
from transforms.elements import Delta

SIZES = (50_000, 100_000, 200_000)


def chunks(count: int) -> list[Chunk]:
    """Return a completion as `count` chunks."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    texts = [{"index": 0, "delta": {"content": f" w{n}"}} for n in range(count - 1)]
    ending = {"index": 0, "delta": {}, "finish_reason": "stop"}
    return [Chunk({**head, "choices": [choice]}) for choice in (*texts, ending)]


def build(count: int) -> tuple[float, float]:
    """Return the microseconds and the bytes per chunk of `stream_chunk_builder`."""
    given = chunks(count)
    seconds = []
    for _ in range(3):
        started = time.process_time()
        stream_chunk_builder(given)
        seconds.append(time.process_time() - started)
    tracemalloc.start()
    stream_chunk_builder(given)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return statistics.median(seconds) / count * 1e6, peak / count


def combine(count: int) -> float:
    """Return the microseconds per delta of the CombineFn, called as a runner calls it."""
    deltas = [
        Delta("r", 1, n, "", None, orjson.dumps(chunk).decode())
        for n, chunk in enumerate(chunks(count))
    ]
    deltas.append(Delta("r", 1, count, "", None, "{}", True, "{}"))
    fn = StreamChunkBuilder()
    started = time.process_time()
    accumulator = fn.create_accumulator()
    for delta in deltas:
        accumulator = fn.add_input(accumulator, delta)
    fn.extract_output(fn.merge_accumulators([accumulator, fn.create_accumulator()]))
    return (time.process_time() - started) / count * 1e6


def measure() -> dict[int, dict[str, float]]:
    """Return the figures by number of chunks."""
    found = {}
    for count in SIZES:
        usec, size = build(count)
        combined = combine(count)
        found[count] = {"usec": usec, "bytes": size, "combine_usec": combined}
    return found


if __name__ == "__main__":
    for count, figures in measure().items():
        print(f"{count:,} chunks", {name: round(value, 2) for name, value in figures.items()})
