"""What a chunk costs in the client, against a reader that does nothing but read.

    python benchmarks/client.py

Both sides read the same server in the same run, in turn; what counts is the ratio of their CPU time
per chunk, pair by pair.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import baseline
import httpx
import servers

from ritellm import AsyncClient, Client
from ritellm.client_httpx import LIMITS

MESSAGES = [{"role": "user", "content": "Say something."}]


def async_client_read(base_url: str, streams: int, **arguments: Any) -> baseline.Reading:
    """Read `streams` answers at once with AsyncClient."""
    transport = httpx.AsyncHTTPTransport(limits=LIMITS) if arguments.pop("httpx", False) else None

    async def read_all() -> baseline.Reading:
        async with AsyncClient(base_url=base_url, transport=transport, **arguments) as client:
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


def sync_client_read(base_url: str, **arguments: Any) -> baseline.Reading:
    """Read one answer with Client."""
    transport = httpx.HTTPTransport(limits=LIMITS) if arguments.pop("httpx", False) else None
    with Client(base_url=base_url, transport=transport) as client:
        cpu, wall = time.process_time(), time.perf_counter()
        stream = client.completion("openai/gpt-4o-mini", MESSAGES, stream=True)
        return _reading(sum(1 for _ in stream), cpu, wall)


def _reading(chunks: int, cpu: float, wall: float) -> baseline.Reading:
    return baseline.Reading(chunks, 0, time.process_time() - cpu, time.perf_counter() - wall)


def pairs(
    ours: Callable[[], baseline.Reading], floor: Callable[[], baseline.Reading], runs: int
) -> dict[str, float]:
    """Return medians over `runs` pairs, after one that does not count.

    Chunks are counted as the floor counts them: a buffer delivers fewer.
    """
    ours(), floor()
    read = [(ours(), floor()) for _ in range(runs)]
    per_chunk = [(a.cpu_seconds / b.chunks * 1e6, b.usec_per_chunk) for a, b in read]
    return {
        "usec_per_chunk": statistics.median(a for a, _ in per_chunk),
        "floor_usec_per_chunk": statistics.median(b for _, b in per_chunk),
        "ratio": statistics.median(a / b for a, b in per_chunk),
        "wall_seconds": statistics.median(a.wall_seconds for a, _ in read),
        "floor_wall_seconds": statistics.median(b.wall_seconds for _, b in read),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,  # of both, so far
    }


def measure(runs: int = 5, cases: Sequence[str] = ()) -> dict[str, dict[str, float]]:
    """Return the figures by case: of those that begin with one of `cases`, or of all."""
    found = {}

    def wanted(case: str) -> bool:
        return not cases or case.startswith(tuple(cases))

    with servers.serving("firehose", chunks=20_000) as server:
        url, floor = server.base_url, _floor(server, 1)
        for case, ours in {
            "1 stream, async": lambda: async_client_read(url, 1),
            "1 stream, sync": lambda: sync_client_read(url),
            "1 stream, async, httpx alone": lambda: async_client_read(url, 1, httpx=True),
            "1 stream, sync, httpx alone": lambda: sync_client_read(url, httpx=True),
        }.items():
            if wanted(case):
                found[case] = pairs(ours, floor, runs)
    # As many chunks a second either way: more would be the server's bound, on two cores.
    for streams, chunks, gap in ((500, 250, 20), (2000, 100, 80)):
        case = f"{streams:,} streams, a chunk each {gap} ms"
        with servers.serving("paced", chunks=chunks, gap_ms=gap) as server:
            url, floor = server.base_url, _floor(server, streams)
            for label, arguments in (
                (case, {}),
                (f"{case}, buffer_msec={5 * gap}", {"buffer_msec": 5 * gap}),
            ):
                if wanted(label):
                    ours = partial(async_client_read, url, streams, **arguments)
                    found[label] = pairs(ours, floor, min(runs, 3))
                    found[label]["wall_ratio"] = found[label]["wall_seconds"] / (
                        chunks * gap / 1000
                    )
    return found


def _floor(server: servers.Running, streams: int) -> Callable[[], baseline.Reading]:
    return lambda: baseline.raw_protocol_read("127.0.0.1", server.port, streams)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("cases", nargs="*", help="how the wanted ones begin, such as '500'")
    options = parser.parse_args()
    for case, figures in measure(options.runs, options.cases).items():
        print(case, {name: round(value, 2) for name, value in figures.items()})
