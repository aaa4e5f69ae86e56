"""Measures streaming jobs: the cost of a published delta, its delay, and a long run.

    python -m benchmarks.jobs.streaming cost          # CPU per delta, against the bare client
    python -m benchmarks.jobs.streaming lateness      # from the server to a reader of Redis
    python -m benchmarks.jobs.streaming hour --prompts 100000    # memory, losses, duplicates

`lateness` needs redis-server and the extra `redis`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import orjson

from benchmarks import ROOT, servers
from benchmarks.client.chunks import read_async
from transforms import Delta, Prompt, PublishDeltas, StreamCompletions

REQUEST = orjson.dumps({"messages": [{"role": "user", "content": "Say something."}]}).decode()


class Null:
    """A sink that drops everything."""

    def check(self) -> None:
        """Do nothing: the sink is always available."""

    def publish(self, batch: Sequence[Delta]) -> None:
        """Drop `batch`."""

    def close(self) -> None:
        """Do nothing."""


def published(base_url: str, streams: int) -> tuple[float, float]:
    """Return CPU and wall seconds of a pipeline that publishes the deltas of `streams`."""
    cpu, wall = time.process_time(), time.perf_counter()
    with beam.Pipeline(runner="FnApiRunner") as p:
        prompts = (
            p
            | beam.Create(range(streams), reshuffle=False)
            | beam.Map(lambda n: Prompt(str(n), REQUEST)).with_output_types(Prompt)
        )
        streamed = prompts | StreamCompletions(
            "openai/gpt-4o-mini", base_url=base_url, max_in_flight=streams
        )
        streamed.deltas | PublishDeltas(Null)
    return time.process_time() - cpu, time.perf_counter() - wall


def cost(
    streams: int = 1000, chunks: int = 200, gap_ms: float = 50, runs: int = 3
) -> dict[str, Any]:
    """Return CPU microseconds per delta, of the pipeline and of the bare client, run in turn."""
    ours, bare, walls = [], [], []
    deltas = streams * chunks
    with servers.serving("paced", chunks=chunks, gap_ms=gap_ms) as server:
        published(server.base_url, 10)
        for _ in range(runs):
            cpu, wall = published(server.base_url, streams)
            ours.append(cpu / deltas * 1e6)
            walls.append(wall)
            read = read_async(server.base_url, streams)
            bare.append(read.cpu_seconds / deltas * 1e6)
        late = server.stats()["max_late_msec"]
    return {
        "streams": streams,
        "deltas_per_second": round(deltas / statistics.median(walls)),
        "usec_per_delta": round(statistics.median(ours), 1),
        "bare_client_usec": round(statistics.median(bare), 1),
        "ratio": round(statistics.median(a / b for a, b in zip(ours, bare, strict=True)), 2),
        "wall_seconds": round(statistics.median(walls), 2),
        "ideal_seconds": chunks * gap_ms / 1000,
        "server_late_msec": late,
    }


def lateness(streams: int = 100) -> dict[str, Any]:
    """Return milliseconds from the server's socket to a reader of a Redis stream.

    Each chunk contains the time at which it was sent. The server, the pipeline, Redis and the
    reader (this process) are four processes.
    """
    import redis

    dated = {"chunks": 100, "gap_ms": 20, "dated": True}
    with (
        _redis() as url,
        tempfile.TemporaryDirectory() as folder,
        servers.serving("paced", **dated) as server,
    ):
        rows = "".join(json.dumps({"id": str(n), "prompt": "x"}) + "\n" for n in range(streams))
        flags = [f"--base_url={server.base_url}", f"--max_in_flight={streams}"]
        flags += ["--source=stdin", f"--deltas_to={url}", "--journal=none"]
        first: list[float] = []
        ages: list[float] = []
        with _program(flags, folder, stdin=subprocess.PIPE) as process:
            reader = redis.Redis.from_url(url, socket_timeout=120)
            assert process.stdin
            process.stdin.write(rows.encode())
            process.stdin.close()
            last, open_streams, begun = "0", streams, set()
            while open_streams:
                for _, entries in reader.xread({"ritellm:deltas": last}, count=5000, block=60_000):
                    now = time.monotonic()
                    for number, fields in entries:
                        last = number
                        open_streams -= fields[b"final"] == b"1"
                        if fields[b"text"]:
                            age = (now - float(fields[b"text"])) * 1000
                            ages.append(age)
                            if fields[b"id"] not in begun:
                                begun.add(fields[b"id"])
                                first.append(age)
            process.wait(60)
    return {"streams": streams, "first": _quantiles(first), "all": _quantiles(ages)}


def hour(prompts: int = 100_000, chunks: int = 3, max_in_flight: int = 64) -> dict[str, Any]:
    """Return the counts of completions and duplicates after many small prompts, and the memory."""
    with (
        servers.serving("firehose", chunks=chunks) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        into, out = Path(folder, "in"), Path(folder, "out")
        into.mkdir()
        for start in range(0, prompts, 1000):
            numbers = range(start, min(start + 1000, prompts))
            rows = "".join(json.dumps({"id": str(n), "prompt": "x"}) + "\n" for n in numbers)
            (into / f"{start:07}.jsonl").write_text(rows)
        files = len(list(into.glob("*.jsonl")))
        flags = [f"--base_url={server.base_url}", f"--max_in_flight={max_in_flight}"]
        flags += [f"--source=dir:{into}", f"--deltas_to=jsonl:{out}"]
        flags += [f"--completions_to=jsonl:{out}"]
        memory: list[float] = []
        started = time.monotonic()
        with _program(flags, folder) as process:
            while len(list((into / "done").glob("*"))) < files:
                time.sleep(2)
                if process.poll() is not None:
                    raise RuntimeError(process.stderr.read().decode())
                memory.append(_resident_mb(process.pid))
            seconds = time.monotonic() - started
            process.send_signal(signal.SIGTERM)
            status = process.wait(60)
        keys: Counter[tuple[str, str, int, int]] = Counter()
        whole: Counter[str] = Counter()
        for row in _rows(out, "deltas"):
            keys[row["id"], row["submission"], row["attempt"], row["seq"]] += 1
        whole.update(row["id"] for row in _rows(out, "completions"))
        requests = server.stats()["requests"]
    quarter = max(1, len(memory) // 4)
    return {
        "prompts": prompts,
        "status": status,
        "seconds": round(seconds, 1),
        "prompts_per_second": round(prompts / seconds),
        "requests": requests,
        "completions": len(whole),
        "completed_twice": sum(count > 1 for count in whole.values()),
        "deltas": len(keys),
        "keys_twice": sum(count > 1 for count in keys.values()),
        "mb_after_a_quarter": round(memory[quarter - 1]),
        "mb_at_the_end": round(memory[-1]),
        "mb_at_most": round(max(memory)),
    }


def _rows(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    for path in folder.glob(f"{name}-*.jsonl"):
        with path.open("rb") as file:
            yield from map(orjson.loads, file)


def _quantiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    at = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    found = {name: round(ordered[int(len(ordered) * q)], 1) for name, q in at.items()}
    return {"count": len(ordered), **found}


def _resident_mb(pid: int) -> float:
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextlib.contextmanager
def _program(flags: list[str], folder: str, **how: Any) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "pipelines.stream_complete", "--model=openai/m", *flags]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "none"}
    with subprocess.Popen(
        command, cwd=folder, env=environ, stderr=subprocess.PIPE, **how
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def _redis() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        command = ["redis-server", "--port", "0", "--unixsocket", f"{folder}/s", "--save", ""]
        with subprocess.Popen([*command, "--dir", folder], stdout=subprocess.DEVNULL) as server:
            while not os.path.exists(f"{folder}/s"):
                threading.Event().wait(0.05)
            try:
                yield f"unix://{folder}/s"
            finally:
                server.terminate()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["cost", "lateness", "hour"])
    parser.add_argument("--prompts", type=int, default=100_000, help="of `hour`")
    parser.add_argument("--streams", type=int, default=None, help="of `cost`, `lateness`")
    given = parser.parse_args()
    if given.what == "hour":
        print(hour(given.prompts))
    else:
        measure = cost if given.what == "cost" else lateness
        print(measure(given.streams) if given.streams else measure())
