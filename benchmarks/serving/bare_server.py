"""What the machine allows: a bare server that writes the same bytes to the same readers.

It has no Redis, no HTTP beyond a fixed head, and no late readers: it writes the events of a stream
to the transports of its readers. Those that are late are written together.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import defaultdict

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_EVENT = b'id: 0000000000000007_00000001_%08x\ndata: {"text":"%d:%d "}\n\n'


def _chunk(number: int, now: float) -> bytes:
    event = _EVENT % (number + 1, number, int(now * 1e6))
    return b"%x\r\n%b\r\n" % (len(event), event)


class _Reader(asyncio.Protocol):
    def __init__(self, readers: dict[str, list[asyncio.Transport]]) -> None:
        self._readers = readers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        id = data.split(b" ")[1].decode().rpartition("/")[2]
        self._group = self._readers[id]
        self._group.append(self._transport)
        self._transport.write(_HEAD + _chunk(0, time.monotonic()))

    def connection_lost(self, error: Exception | None) -> None:
        self._group.remove(self._transport)


async def serve(streams: int, deltas: int, gap: float) -> None:
    """Serve one run."""
    readers: dict[str, list[asyncio.Transport]] = defaultdict(list)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Reader(readers), "127.0.0.1", 0, backlog=2048)
    print(f"x\nhttp://127.0.0.1:{server.sockets[0].getsockname()[1]}/", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    begin, sent = time.monotonic(), [1] * streams
    while min(sent) < deltas:
        for k in range(streams):
            end = min(int((time.monotonic() - begin - k * gap / streams) / gap) + 1, deltas)
            if end <= sent[k]:
                continue
            ats = [begin + n * gap + k * gap / streams for n in range(sent[k], end)]
            chunks = b"".join(map(_chunk, range(sent[k], end), ats))
            sent[k] = end
            for transport in readers[f"s{k}"]:
                transport.write(chunks)
        await asyncio.sleep(0.001)
    for transports in readers.values():
        for transport in transports:
            transport.write(b"0\r\n\r\n")
    await loop.run_in_executor(None, sys.stdin.readline)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--deltas", type=int, required=True)
    parser.add_argument("--gap", type=float, default=0.05)
    given = parser.parse_args()
    asyncio.run(serve(given.streams, given.deltas, given.gap))
