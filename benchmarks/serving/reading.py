"""Many readers of server-sent events in one process, as cheap as Python can read.

It prints a line when all are connected, and JSON at the end: the delays, and what is missing. What
comes is kept with its time, and looked at when all has come.
"""

from __future__ import annotations

import argparse
import gc
import json
import select
import socket
import sys
import time
from typing import Any

from benchmarks.serving.dated import found, quantiles

_REQUEST = "GET /streams/%s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
_END = b"0\r\n\r\n"
# Seconds between two looks at the sockets. A reader that waits for each delta costs the sender
# its wake-up, which takes longer than to send over a network.
_LOOK = 0.002
# Connections that may be under way at once.
_OPENING = 100


class Reading:
    """The readers of one process: `count` of them, of `streams` in turn."""

    def __init__(self, port: int, count: int, streams: int) -> None:
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._parts: dict[int, list[tuple[float, bytes]]] = {}
        self.received: list[list[tuple[float, bytes]]] = []
        for number in range(count):
            self._connect(port, f"s{number % streams}")
            if number % _OPENING == _OPENING - 1:
                self._read_until_begun()
        self._read_until_begun()

    def _connect(self, port: int, id: str) -> None:
        reader = socket.create_connection(("127.0.0.1", port))
        reader.sendall((_REQUEST % id).encode())
        reader.setblocking(False)
        self._sockets[reader.fileno()] = reader
        self._parts[reader.fileno()] = []
        self._poll.register(reader, select.EPOLLIN)

    def _read_until_begun(self) -> None:
        while not all(parts and b"data: " in parts[-1][1] for parts in self._parts.values()):
            self._read()

    def read_all(self) -> None:
        """Read until all responses have ended."""
        while self._sockets:
            self._read()

    def _read(self) -> None:
        time.sleep(_LOOK)
        for number, _ in self._poll.poll(1, 10_000):
            data = self._sockets[number].recv(1 << 16)
            self._parts[number].append((time.monotonic(), data))
            if not data or data.endswith(_END):
                self._poll.unregister(number)
                self._sockets.pop(number).close()
                self.received.append(self._parts.pop(number))


def result(received: list[list[tuple[float, bytes]]], deltas: int) -> dict[str, Any]:
    """Return the delays of all but the first delta, and how many deltas are lost or repeated."""
    delays: list[float] = []
    lost = repeated = 0
    for parts in received:
        rows = list(found(parts))
        numbers = [number for number, _ in rows]
        lost += deltas - len(set(numbers))
        repeated += len(numbers) - len(set(numbers))
        delays += [delay for number, delay in rows if number]
    reads = sum(len(parts) for parts in received)
    counts = {"lost": lost, "repeated": repeated, "deltas": len(delays), "reads": reads}
    return {**quantiles(delays), **counts}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--readers", type=int, required=True)
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--deltas", type=int, required=True)
    given = parser.parse_args()
    gc.disable()  # what is kept has no cycles
    reading = Reading(given.port, given.readers, given.streams)
    print("connected", flush=True)
    reading.read_all()
    sys.stdin.readline()  # the others read still
    print(json.dumps(result(reading.received, given.deltas)), flush=True)
