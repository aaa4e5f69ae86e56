"""What a chunk costs in the client, against a reader that does nothing but read.

    python benchmarks/client.py

Both sides read the same server in the same run, in turn; what counts is the ratio of their CPU time
per chunk, pair by pair.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable

import baseline
import servers

from ritellm import AsyncClient, Client

MESSAGES = [{"role": "user", "content": "Say something."}]


def async_client_read(base_url: str, streams: int) -> baseline.Reading:
    """Read `streams` answers at once with AsyncClient."""

    async def read_all() -> baseline.Reading:
        async with AsyncClient(base_url=base_url) as client:
            cpu, wall = time.process_time(), time.perf_counter()
            counts = await asyncio.gather(*(_read(client) for _ in range(streams)))
            return _reading(sum(counts), cpu, wall)

    return asyncio.run(read_all())


async def _read(client: AsyncClient) -> int:
    count = 0
    stream = await client.completion("openai/gpt-4o-mini", MESSAGES, stream=True)
    async for _ in stream:
        count += 1
    return count


def sync_client_read(base_url: str) -> baseline.Reading:
    """Read one answer with Client."""
    with Client(base_url=base_url) as client:
        cpu, wall = time.process_time(), time.perf_counter()
        stream = client.completion("openai/gpt-4o-mini", MESSAGES, stream=True)
        return _reading(sum(1 for _ in stream), cpu, wall)


def _reading(chunks: int, cpu: float, wall: float) -> baseline.Reading:
    return baseline.Reading(chunks, 0, time.process_time() - cpu, time.perf_counter() - wall)


def pairs(
    ours: Callable[[], baseline.Reading], floor: Callable[[], baseline.Reading], runs: int
) -> dict[str, float]:
    """Return medians over `runs` pairs, after one that does not count."""
    ours(), floor()
    read = [(ours(), floor()) for _ in range(runs)]
    return {
        "usec_per_chunk": statistics.median(a.usec_per_chunk for a, _ in read),
        "floor_usec_per_chunk": statistics.median(b.usec_per_chunk for _, b in read),
        "ratio": statistics.median(a.usec_per_chunk / b.usec_per_chunk for a, b in read),
        "wall_ratio": statistics.median(a.wall_seconds / b.wall_seconds for a, b in read),
    }


def measure(runs: int = 5) -> dict[str, dict[str, float]]:
    """Return the figures by case."""
    found = {}
    with servers.serving("firehose", chunks=20_000) as server:
        floor = _floor(server, 1)
        found["1 stream, async"] = pairs(lambda: async_client_read(server.base_url, 1), floor, runs)
        found["1 stream, sync"] = pairs(lambda: sync_client_read(server.base_url), floor, runs)
    with servers.serving("paced", chunks=250, gap_ms=20) as server:
        found["500 streams, a chunk each 20 ms"] = pairs(
            lambda: async_client_read(server.base_url, 500), _floor(server, 500), min(runs, 3)
        )
    return found


def _floor(server: servers.Running, streams: int) -> Callable[[], baseline.Reading]:
    return lambda: baseline.raw_protocol_read("127.0.0.1", server.port, streams)


if __name__ == "__main__":
    for case, figures in measure().items():
        print(case, {name: round(value, 2) for name, value in figures.items()})
