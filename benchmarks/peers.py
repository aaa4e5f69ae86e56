"""What a chunk costs other clients, beside ours and a bare reader, on one server in one run.

    make bench-peers

Each client reads in a process of its own, in turn, so that none inherits what another has loaded;
the peers come from an environment of their own (.venv-peers) and are no dependency of anything.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MESSAGES = [{"role": "user", "content": "Say something."}]
OURS = ("floor", "ritellm")
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


READERS = {"ritellm": _ritellm, "openai": _openai, "litellm": _litellm}


def read_here(name: str, base_url: str, streams: int) -> dict[str, float]:
    """Return what this process needs to read `streams` answers at once."""
    if name == "floor":
        import baseline

        host, _, port = base_url.split("/")[2].partition(":")
        reading = baseline.raw_protocol_read(host, int(port), streams)
        return _figures(reading.chunks, reading.cpu_seconds, reading.wall_seconds)

    async def read_all() -> dict[str, float]:
        read = await READERS[name](base_url)
        cpu, wall = time.process_time(), time.perf_counter()
        chunks = sum(await asyncio.gather(*(read() for _ in range(streams))))
        return _figures(chunks, time.process_time() - cpu, time.perf_counter() - wall)

    return asyncio.run(read_all())


def _figures(chunks: int, cpu: float, wall: float) -> dict[str, float]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"usec_per_chunk": cpu / chunks * 1e6, "wall_seconds": wall, "peak_mb": peak}


def _read_apart(python: str, name: str, base_url: str, streams: int) -> dict[str, float]:
    command = [python, __file__, "--read", name, "--base-url", base_url, "--streams", str(streams)]
    environ = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(python: str, runs: int) -> dict[str, dict[str, dict[str, float]]]:
    """Return the median figures by case and client; `python` is the peers' own."""
    import servers

    cases: dict[str, tuple[dict[str, Any], int]] = {
        "1 stream at full speed": ({"mode": "firehose", "chunks": 20_000}, 1),
        "500 streams, a chunk each 20 ms": ({"mode": "paced", "chunks": 100}, 500),
    }
    found: dict[str, dict[str, dict[str, float]]] = {}
    for case, (options, streams) in cases.items():
        with servers.serving(**options) as server:
            found[case] = {}
            for name in (*OURS, *THEIRS):
                with_python = sys.executable if name in OURS else python
                read = [
                    _read_apart(with_python, name, server.base_url, streams) for _ in range(runs)
                ]
                found[case][name] = {
                    key: statistics.median(each[key] for each in read) for key in read[0]
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
    """Read, or have all clients read."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="the peers' own interpreter")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--read", choices=("floor", *READERS), help=argparse.SUPPRESS)
    parser.add_argument("--base-url", help=argparse.SUPPRESS)
    parser.add_argument("--streams", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        print(json.dumps(read_here(options.read, options.base_url, options.streams)))
    else:
        print(table(measure(options.python, options.runs)))


if __name__ == "__main__":
    main()
