"""Measures the minimum cost of reading a stream in Python, with a reader that does nothing else.

Benchmarks of clients are compared with it, because no client can be cheaper. It does the minimum
that is correct for `servers.py`, where each event is one HTTP chunk. It ignores errors, comments
and other servers.

    python -m benchmarks.client.baseline

also measures the server.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import platform
import socket
import time
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlsplit

import orjson

from benchmarks import servers
from benchmarks.client.reader_process import Read, Reading

PATH = "/v1/chat/completions"
_BODY = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "Say something."}],
    "stream": True,
    "stream_options": {"include_usage": True},
}


class Events:
    """Counts and decodes the events of one response; skips the sizes of its HTTP chunks."""

    def __init__(self) -> None:
        self.chunks = 0
        self.done = False
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Decode each event that `data` completes."""
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            payload = event[event.index(b"data: ") + 6 :]
            if payload == b"[DONE]":
                self.done = True
            else:
                orjson.loads(payload)
                self.chunks += 1


def raw_protocol_read(
    host: str,
    port: int,
    streams: int = 1,
    *,
    path: str = PATH,
    body: dict[str, Any] | None = None,
    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
) -> Reading:
    """Read `streams` responses at once, each on its own connection, with an asyncio.Protocol."""
    request = _request(host, path, body or _BODY)
    loop = new_event_loop()
    try:
        return _measured(lambda: loop.run_until_complete(_read_all(host, port, streams, request)))
    finally:
        loop.close()


def read_floor(base_url: str, streams: int, warm_up: bool = False) -> Reading:
    """Read `streams` responses at once; with `warm_up`, read them once before without counting."""
    address = urlsplit(base_url)
    for _ in range(1 + warm_up):
        reading = raw_protocol_read(address.hostname or "", address.port or 80, streams)
    return reading


def raw_socket_read(
    host: str, port: int, *, path: str = PATH, body: dict[str, Any] | None = None
) -> Reading:
    """Read one response from a blocking socket."""
    request = _request(host, path, body or _BODY)

    def read() -> list[Events]:
        events = Events()
        with socket.create_connection((host, port)) as tcp:
            tcp.sendall(request)
            while not events.done and (data := tcp.recv(65536)):
                events.feed(data)
        return [events]

    return _measured(read)


def _measured(read: Callable[[], list[Events]]) -> Reading:
    cpu, wall = time.process_time(), time.perf_counter()
    counts = read()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if not all(events.done for events in counts):
        raise ConnectionError("the server left a stream unfinished")
    return Reading(sum(events.chunks for events in counts), cpu, wall)


def _request(host: str, path: str, body: dict[str, Any]) -> bytes:
    content = orjson.dumps(body)
    head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


async def _read_all(host: str, port: int, streams: int, request: bytes) -> list[Events]:
    loop = asyncio.get_running_loop()

    def reader() -> _Reader:
        return _Reader(request, loop.create_future())

    connecting = [loop.create_connection(reader, host, port) for _ in range(streams)]
    readers = [reader for _, reader in await asyncio.gather(*connecting)]
    await asyncio.gather(*(reader.ended for reader in readers))
    return [reader.events for reader in readers]


class _Reader(asyncio.Protocol):
    _transport: asyncio.Transport

    def __init__(self, request: bytes, ended: asyncio.Future[None]) -> None:
        self.events = Events()
        self.ended = ended
        self._request = request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has another base class
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.events.feed(data)
        if self.events.done:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


def _report(name: str, server: servers.Running, read: Read, streams: int) -> None:
    before = server.stats()
    reading = read("127.0.0.1", server.port, *([streams] if streams > 1 else []))
    after = server.stats()
    served = after["cpu_seconds"] - before["cpu_seconds"]
    print(
        f"{name:30} {reading.chunks:9,} chunks {reading.wall_seconds:6.2f} s"
        f" | reader {reading.usec_per_chunk:6.2f} us/chunk,"
        f" {reading.cpu_seconds / reading.wall_seconds:4.0%} busy"
        f" | server {served / reading.chunks * 1e6:6.2f} us/chunk,"
        f" {served / reading.wall_seconds:4.0%} busy, {after['max_late_msec']:.1f} ms late"
    )


def main(argv: list[str] | None = None) -> None:
    """Measure the readers, and show that the server is not the bottleneck."""
    parser = argparse.ArgumentParser(description="Measure the raw readers.")
    parser.add_argument("--streams", type=int, nargs="*", default=[500, 2000])
    parser.add_argument("--chunks", type=int, default=200_000, help="in a response of the firehose")
    options = parser.parse_args(argv)
    print(f"Python {platform.python_version()}, orjson {orjson.__version__}, {platform.platform()}")
    for framing in ("chunked", "length"):
        with servers.serving("firehose", chunks=options.chunks, framing=framing) as server:
            _report(f"socket, firehose, {framing}", server, raw_socket_read, 1)
            _report(f"protocol, firehose, {framing}", server, raw_protocol_read, 1)
    for streams, in_step in itertools.product(options.streams, (False, True)):
        with servers.serving("paced", chunks=250, gap_ms=20, in_step=in_step) as server:
            phase = "in step" if in_step else "spread"
            _report(f"protocol, {streams} paced, {phase}", server, raw_protocol_read, streams)


if __name__ == "__main__":
    main()
