"""Measures the delay and the cost of a delta for each of many readers.

    python -m benchmarks.serving.readers --readers 5000 --streams 100 --seconds 10
    python -m benchmarks.serving.readers --readers 5000 --bare       # what the machine allows

A writer publishes 20 deltas/s of each stream to Redis, and all readers follow over sockets. The
delay is from the moment at which a delta was due until a reader has it. `redis` is that of a bare
reader of Redis beside it; `added` is the difference of the two. `--bare` has another server, which
writes the same bytes from memory (`bare_server`). Writer, Redis, server and readers share the
machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import ExitStack
from typing import Any

from benchmarks.serving import programs

GAP = 0.05
# Streams that the bare reader of Redis follows: it must not take the machine from the others.
_SAMPLE = 5


def measure(readers: int, streams: int, seconds: float, *, bare: bool = False) -> dict[str, Any]:
    """Return the milliseconds of delay, the deltas that are lost, and what the server has used."""
    deltas = int(seconds / GAP)
    shape = ("--streams", str(streams), "--deltas", str(deltas))
    with ExitStack() as stack:
        if bare:
            server = writer = stack.enter_context(
                programs.program("benchmarks.serving.bare_server", *shape)
            )
            programs.told(server)
            port = int(programs.told(server).rsplit(":", 1)[1].strip("/\n"))
            redis_reader = None
        else:
            url = stack.enter_context(programs.redis())
            writer = stack.enter_context(programs.program("benchmarks.serving.writer", url, *shape))
            programs.told(writer)
            server, port = stack.enter_context(
                programs.door(url, f"--max_per_stream={readers}", "--wait_seconds=60")
            )
            ids = [f"s{n}" for n in range(0, streams, max(streams // _SAMPLE, 1))]
            redis_reader = stack.enter_context(
                programs.program("benchmarks.serving.redis_reader", url, *ids)
            )
        flags = (*shape, "--port", str(port))
        reading = "benchmarks.serving.reading"
        with programs.program(reading, *flags, "--readers", "1") as first:
            programs.told(first)  # what the first reader costs is not of each
            idle = programs.resident_bytes(server.pid)
        crowd = stack.enter_context(programs.program(reading, *flags, "--readers", str(readers)))
        programs.told(crowd)
        connected = programs.resident_bytes(server.pid)
        cpu = programs.cpu_seconds(server.pid)
        programs.tell(writer, "go")
        late = 0.0 if bare else float(programs.told(writer))
        if redis_reader is not None:
            alone = json.loads(programs.told(redis_reader))
        else:
            alone = {"p50": 0.0, "p95": 0.0, "p99": 0.0}
        programs.tell(crowd, "done")
        result: dict[str, Any] = json.loads(programs.told(crowd))
        cpu = programs.cpu_seconds(server.pid) - cpu
        used = programs.resident_bytes(server.pid)
    return {
        "readers": readers,
        "streams": streams,
        "deliveries_per_second": round(readers / GAP),
        **result,
        "redis": alone,
        "added_p50": round(result["p50"] - alone["p50"], 1),
        "added_p95": round(result["p95"] - alone["p95"], 1),
        "deltas_per_read": round(result["deltas"] / result["reads"], 2),
        "server_cpu_share": round(cpu / seconds, 2),
        "usec_per_delivery": round(cpu / max(result["deltas"], 1) * 1e6, 1),
        "bytes_per_reader": round((connected - idle) / readers),
        "bytes_per_reader_at_the_end": round((used - idle) / readers),
        "writer_late_msec": round(late * 1000, 1),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--readers", type=int, default=5_000)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--bare", action="store_true")
    given = parser.parse_args()
    print(f"cores={os.cpu_count()} python={sys.version.split()[0]}")
    print(measure(given.readers, given.streams, given.seconds, bare=given.bare))
