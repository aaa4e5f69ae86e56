"""Measures the time of a delta from the server's socket to a fused consumer in the pipeline.

    python -m benchmarks.jobs.liveness [STREAMS ...]

Each chunk contains the time at which it was sent. The server is another process on this machine, so
both have the same clock.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import apache_beam as beam
import orjson

from benchmarks import servers
from transforms import Prompt, StreamCompletions

CHUNKS, GAP_MS = 100, 20


class _SeeFn(beam.DoFn):  # type: ignore[misc]
    """Records the age of each delta on arrival."""

    ages: list[float] = []  # noqa: RUF012

    def process(self, delta: Any) -> None:
        if delta.text:
            self.ages.append(time.monotonic() - float(delta.text))


def measure(streams: int) -> dict[str, float]:
    """Return milliseconds from socket to consumer, with a chunk of each stream every 20 ms."""
    with servers.serving("paced", chunks=CHUNKS, gap_ms=GAP_MS, dated=True) as server:
        _run(server.base_url, 2)  # runs the lazy imports
        _SeeFn.ages.clear()
        cpu = time.process_time()
        _run(server.base_url, streams)
        cpu, served = time.process_time() - cpu, server.stats()
    ages = sorted(age * 1000 for age in _SeeFn.ages)
    return {
        "deltas": len(ages),
        "p50_msec": statistics.median(ages),
        "p95_msec": ages[int(len(ages) * 0.95)],
        "cpu_usec_per_delta": cpu / len(ages) * 1e6,
        "server_late_msec": served["max_late_msec"],
    }


def _run(base_url: str, streams: int) -> None:
    body = orjson.dumps({"messages": [{"role": "user", "content": "x"}]}).decode()
    with beam.Pipeline(runner="FnApiRunner") as p:
        prompts = (
            p
            | beam.Create(range(streams), reshuffle=False)
            | beam.Map(lambda n: Prompt(str(n), body)).with_output_types(Prompt)
        )
        streamed = prompts | StreamCompletions("openai/m", base_url=base_url, max_in_flight=streams)
        streamed.deltas | beam.ParDo(_SeeFn())


if __name__ == "__main__":
    for streams in [int(text) for text in sys.argv[1:]] or [1, 100, 500]:
        found = measure(streams)
        print(f"{streams} streams:", {name: round(value, 2) for name, value in found.items()})
