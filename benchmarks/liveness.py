"""How long a delta takes from the server's socket to a fused consumer in the pipeline.

    python benchmarks/liveness.py [STREAMS ...]

Each chunk holds the moment at which it was sent; server and pipeline share one process and clock.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

import apache_beam as beam
import orjson

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from transforms import Prompt, StreamCompletions  # noqa: E402

CHUNKS, GAP = 100, 0.02
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    await reader.readexactly(length)
    writer.write(HEAD)
    for number in range(CHUNKS):
        await asyncio.sleep(GAP)
        choice: dict[str, Any] = {"index": 0, "delta": {"content": repr(time.monotonic())}}
        if number == CHUNKS - 1:
            choice["finish_reason"] = "stop"
        writer.write(b"data: " + orjson.dumps({"choices": [choice]}) + b"\n\n")
    writer.write(b"data: [DONE]\n\n")
    writer.close()


def serve() -> int:
    """Serve from a thread of this process; returns the port."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(_answer, "127.0.0.1", 0, backlog=2048))
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return int(server.sockets[0].getsockname()[1])


class _SeeFn(beam.DoFn):  # type: ignore[misc]
    """Notes how old each delta is when it arrives here."""

    ages: list[float] = []  # noqa: RUF012

    def process(self, delta: Any) -> None:
        if delta.text:
            self.ages.append(time.monotonic() - float(delta.text))


def measure(streams: int) -> dict[str, float]:
    """Return milliseconds from socket to consumer with so many streams, a chunk each 20 ms."""
    _SeeFn.ages.clear()
    body = orjson.dumps({"messages": [{"role": "user", "content": "x"}]}).decode()
    port = serve()
    with beam.Pipeline(runner="FnApiRunner") as p:
        deltas = (
            p
            | beam.Create(range(streams), reshuffle=False)
            | beam.Map(lambda n: Prompt(str(n), body)).with_output_types(Prompt)
            | StreamCompletions(
                "openai/m", base_url=f"http://127.0.0.1:{port}/v1", max_in_flight=streams
            )
        ).deltas
        deltas | beam.ParDo(_SeeFn())
    ages = sorted(age * 1000 for age in _SeeFn.ages)
    return {
        "deltas": len(ages),
        "p50_msec": statistics.median(ages),
        "p95_msec": ages[int(len(ages) * 0.95)],
    }


if __name__ == "__main__":
    for streams in [int(text) for text in sys.argv[1:]] or [1, 100]:
        found = measure(streams)
        print(f"{streams} streams:", {name: round(value, 2) for name, value in found.items()})
