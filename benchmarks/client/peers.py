"""Compares the cost of a chunk in other clients, in ours and in a bare reader, on one server.

    make bench-peers

Each client reads in a process of its own, in turn, so no client benefits from what another has
loaded. The other clients come from an environment of their own (.venv-peers). The project does not
depend on them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from benchmarks import servers
from benchmarks.client import baseline, reader_process
from benchmarks.client.reader_process import Read, Reading

MESSAGES = [{"role": "user", "content": "Say something."}]
THEIRS = ("openai", "litellm")


async def _ritellm(base_url: str) -> Callable[[], Awaitable[int]]:
    from ritellm import AsyncClient

    client = AsyncClient(base_url=base_url, api_key="x")

    async def read() -> int:
        stream = await client.completion("openai/gpt-4o-mini", MESSAGES, stream=True)
        return sum([1 async for _ in stream])

    return read


async def _openai(base_url: str) -> Callable[[], Awaitable[int]]:
    import httpx
    from openai import AsyncOpenAI

    limits = httpx.Limits(max_connections=None)
    http = httpx.AsyncClient(limits=limits, timeout=None)
    client = AsyncOpenAI(base_url=base_url, api_key="x", http_client=http)

    async def read() -> int:
        stream = await client.chat.completions.create(
            model="gpt-4o-mini", messages=MESSAGES, stream=True
        )
        return sum([1 async for _ in stream])

    return read


async def _litellm(base_url: str) -> Callable[[], Awaitable[int]]:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    litellm.suppress_debug_info = True

    async def read() -> int:
        stream = await litellm.acompletion(
            "openai/gpt-4o-mini", MESSAGES, stream=True, api_base=base_url, api_key="x"
        )
        return sum([1 async for _ in stream])

    return read


CLIENTS = {"ritellm": _ritellm, "openai": _openai, "litellm": _litellm}


def read_client(name: str, base_url: str, streams: int, warm_up: bool) -> Reading:
    """Read `streams` responses at once with the client called `name`."""

    async def read_all() -> Reading:
        read = await CLIENTS[name](base_url)
        if warm_up:
            await read()
        cpu, wall = time.process_time(), time.perf_counter()
        chunks = sum(await asyncio.gather(*(read() for _ in range(streams))))
        return Reading(chunks, time.process_time() - cpu, time.perf_counter() - wall)

    return asyncio.run(read_all())


READERS: dict[str, Read] = {
    "floor": baseline.read_floor,
    **{name: partial(read_client, name) for name in CLIENTS},
}
_read_alone = partial(reader_process.read, "benchmarks.client.peers")


def measure(python: str, runs: int) -> dict[str, dict[str, dict[str, float]]]:
    """Return the median figures by case and client; `python` runs the other clients."""
    cases: dict[str, tuple[dict[str, Any], int]] = {
        "1 stream at full speed": ({"mode": "firehose", "chunks": 20_000}, 1),
        "500 streams, a chunk every 20 ms": ({"mode": "paced", "chunks": 100, "gap_ms": 20}, 500),
    }
    found: dict[str, dict[str, dict[str, float]]] = {}
    for case, (options, streams) in cases.items():
        with servers.serving(**options) as server:
            found[case] = {}
            arguments = {"base_url": server.base_url, "streams": streams, "warm_up": streams == 1}
            for name in READERS:
                runs_on = python if name in THEIRS else sys.executable
                read = [_read_alone(name, runs_on, **arguments) for _ in range(runs)]
                found[case][name] = {
                    key: statistics.median(getattr(each, key) for each in read)
                    for key in ("usec_per_chunk", "wall_seconds", "peak_mb")
                }
    return found


def table(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        "| case | client | CPU per chunk | beside ours | wall | peak |",
        "|---|---|---|---|---|---|",
    ]
    for case, clients in found.items():
        ours = clients["ritellm"]["usec_per_chunk"]
        for name, each in clients.items():
            cost = each["usec_per_chunk"]
            lines.append(
                f"| {case} | {name} | {cost:.1f} us | {cost / ours:.1f}x |"
                f" {each['wall_seconds']:.1f} s | {each['peak_mb']:.0f} MB |"
            )
    return "\n".join(lines)


def main() -> None:
    """Run one reader for `reader_process.read`, or measure all clients."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="interpreter of the other clients")
    parser.add_argument("--runs", type=int, default=3, help="processes for each client and case")
    reader_process.add_flags(parser)
    options = parser.parse_args()
    if not reader_process.report(options, READERS):
        print(table(measure(options.python, options.runs)))


if __name__ == "__main__":
    main()
