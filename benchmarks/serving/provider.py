"""A provider whose answers never end, and which says when each stream was opened and closed.

It prints its port, and then lines "open NUMBER" and "closed NUMBER SECONDS" (monotonic clock). The
number is that in the prompt "answer NUMBER".
"""

from __future__ import annotations

import asyncio
import re
import sys
import time

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_EVENT = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}\n\n'
)
_CHUNK = b"%x\r\n%b\r\n" % (len(_EVENT), _EVENT)
_PROMPT = re.compile(rb"answer (\d+)")
_GAP = 0.25


class _Stream(asyncio.Protocol):
    def __init__(self) -> None:
        self._request = b""
        self._number: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._request += data
        if self._number is None and (found := _PROMPT.search(self._request)):
            self._number = int(found[1])
            self._transport.write(_HEAD)
            self._write()
            print(f"open {self._number}", flush=True)

    def connection_lost(self, error: Exception | None) -> None:
        if self._number is not None:
            print(f"closed {self._number} {time.monotonic()}", flush=True)

    def _write(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(_CHUNK)
            asyncio.get_running_loop().call_later(_GAP, self._write)


async def serve() -> None:
    """Serve until standard input is closed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Stream, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
