"""Measures the cost of a chunk in the client, against a reader that does nothing but read.

    python -m benchmarks.client.chunks

Both sides read the same server in the same run, in turn, each in a process of its own. The result
is the ratio of their CPU time per chunk, pair by pair.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import httpx

from benchmarks import servers
from benchmarks.client import baseline, reader_process
from benchmarks.client.reader_process import Read, Reading
from ritellm import AsyncClient, Client
from ritellm.transports.httpx import LIMITS

MESSAGES = [{"role": "user", "content": "Say something."}]


def read_async(
    base_url: str, streams: int, bare: bool = False, warm_up: bool = False, **arguments: Any
) -> Reading:
    """Read `streams` responses at once with AsyncClient.

    `bare` uses httpx instead of the extra `fast`. `warm_up` reads a response before, uncounted.
    """

    async def read_all() -> Reading:
        transport = httpx.AsyncHTTPTransport(limits=LIMITS) if bare else None
        async with AsyncClient(base_url=base_url, transport=transport, **arguments) as client:
            if warm_up:
                await _read(client)
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


def read_sync(base_url: str, bare: bool = False) -> Reading:
    """Read one response with Client, after one that is not counted."""
    transport = httpx.HTTPTransport(limits=LIMITS) if bare else None
    with Client(base_url=base_url, transport=transport) as client:
        for _ in range(2):
            cpu, wall = time.process_time(), time.perf_counter()
            stream = client.completion("openai/gpt-4o-mini", MESSAGES, stream=True)
            reading = _reading(sum(1 for _ in stream), cpu, wall)
    return reading


def _reading(chunks: int, cpu: float, wall: float) -> Reading:
    return Reading(chunks, time.process_time() - cpu, time.perf_counter() - wall)


READERS: dict[str, Read] = {
    "async": read_async,
    "sync": read_sync,
    "floor": baseline.read_floor,
}
_read_alone = partial(reader_process.read, "benchmarks.client.chunks")


def pairs(ours: Callable[[], Reading], floor: Callable[[], Reading], runs: int) -> dict[str, float]:
    """Return medians over `runs` pairs.

    Costs are per chunk that the floor reads, because a buffer delivers fewer.
    """
    read = [(ours(), floor()) for _ in range(runs)]
    per_chunk = [(a.cpu_seconds / b.chunks * 1e6, b.usec_per_chunk) for a, b in read]
    return {
        "usec_per_chunk": statistics.median(a for a, _ in per_chunk),
        "floor_usec_per_chunk": statistics.median(b for _, b in per_chunk),
        "ratio": statistics.median(a / b for a, b in per_chunk),
        "wall_seconds": statistics.median(a.wall_seconds for a, _ in read),
        "floor_wall_seconds": statistics.median(b.wall_seconds for _, b in read),
        "peak_mb": statistics.median(a.peak_mb for a, _ in read),
    }


def measure(runs: int = 5, cases: Sequence[str] = ()) -> dict[str, dict[str, float]]:
    """Return the figures of each case that begins with one of `cases`, or of all cases."""
    found = {}

    def wanted(case: str) -> bool:
        return not cases or case.startswith(tuple(cases))

    with servers.serving("firehose", chunks=20_000) as server:
        url = server.base_url
        floor = partial(_read_alone, "floor", base_url=url, streams=1, warm_up=True)
        one = partial(_read_alone, "async", base_url=url, streams=1, warm_up=True)
        for case, ours in {
            "1 stream, async": one,
            "1 stream, sync": partial(_read_alone, "sync", base_url=url),
            "1 stream, async, httpx alone": partial(one, bare=True),
            "1 stream, sync, httpx alone": partial(_read_alone, "sync", base_url=url, bare=True),
        }.items():
            if wanted(case):
                found[case] = pairs(ours, floor, runs)
    # Both cases have 25,000 chunks a second. With more, two cores would measure the server.
    for streams, chunks, gap in ((500, 250, 20), (2000, 100, 80)):
        case = f"{streams:,} streams, a chunk every {gap} ms"
        with servers.serving("paced", chunks=chunks, gap_ms=gap) as server:
            url = server.base_url
            floor = partial(_read_alone, "floor", base_url=url, streams=streams)
            for label, arguments in (
                (case, {}),
                (f"{case}, buffer_msec={5 * gap}", {"buffer_msec": 5 * gap}),
            ):
                if wanted(label):
                    ours = partial(_read_alone, "async", base_url=url, streams=streams, **arguments)
                    found[label] = pairs(ours, floor, min(runs, 3))
                    found[label]["wall_ratio"] = found[label]["wall_seconds"] / (
                        chunks * gap / 1000
                    )
    return found


def main() -> None:
    """Run one reader for `reader_process.read`, or measure all cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="pairs of processes for each case")
    parser.add_argument("cases", nargs="*", help="only cases that begin so, such as '500'")
    reader_process.add_flags(parser)
    options = parser.parse_args()
    if not reader_process.report(options, READERS):
        for case, figures in measure(options.runs, options.cases).items():
            print(case, {name: round(value, 2) for name, value in figures.items()})


if __name__ == "__main__":
    main()
