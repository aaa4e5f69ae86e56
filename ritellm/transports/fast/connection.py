"""Sends requests over one socket, one after the other, and parses the responses: extra `fast`.

Problem: a fast model streams thousands of small chunks, and hundreds of streams run at once.
asyncio's own streams cost an event, a handle and a buffer for each arrival.

Idea: when epoll reports the socket, the connection reads and parses at once, and `Delivery` wakes
the reader at most once per read. A response whose single pieces are not urgent has a `cadence`: the
connection leaves epoll, the kernel gathers what arrives, and the connection reads it at intervals
("collects"). If the reader waits only for the end (`Delivery.pour`), parsing may be deferred too.

    idle --send()--> opening --headers--> reading --whole body--> ended --make_idle()--> idle
                        |                    |
                        +--- error, close ---+--> closed

    reading:  at once    epoll calls `readable`
              gathering  a timer of `Sockets` calls `collect`   (with a cadence, after the headers)
              paused     too much is unread; the reader resumes it by waiting for more

Invariants:
- Edge-triggered epoll reports new data once. So `readable` reads until the kernel has nothing left,
  or notes in `_unread` that it stopped before.
- Deferred bytes (`_unparsed`) never contain the end of a body, or the reader would miss it.

Every read of every stream passes through `readable` and `Delivery.deliver`, so both write the
fields of `Delivery` directly. `benchmarks/client/chunks.py` measures the cost.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

import httpx

from ritellm.transports.deadlines import Cadence
from ritellm.transports.failures import KnownFailure
from ritellm.transports.fast.delivery import Delivery
from ritellm.transports.fast.epoll import NOT_NOW, READ_BYTES, Sockets
from ritellm.transports.fast.http11 import ResponseParser
from ritellm.transports.fast.response import Body, Response
from ritellm.transports.fast.sender import Sender

# The most bytes that wait for a reader; beyond that the kernel's buffers fill, and the server's.
# More would be slower: malloc maps and unmaps every block above 128 KiB.
_HIGH_WATER = READ_BYTES
# The end of a chunked body, unless there are trailers.
_LAST_CHUNK = b"0\r\n\r\n"
# The most reads in one turn of the event loop; a fast server must not stop the other streams.
_READS_AT_ONCE = 4


class Connection:
    """A socket, the request that is sent over it, and the response that arrives."""

    def __init__(self, sock: socket.socket, sockets: Sockets) -> None:
        # The socket.
        self.socket = sock
        self.closed = False
        self._sockets = sockets
        self._loop = asyncio.get_running_loop()
        self._receive_into = sock.recv_into
        self._secure = isinstance(sock, ssl.SSLSocket)
        self._unread = False  # the kernel had more when reading was paused
        # Reuse.
        self.served = 0  # requests, the current one included
        self.idle_since = 0.0
        # The request and the response.
        self._sender = Sender(sock, self._loop)
        self._parser = ResponseParser()
        self._delivery = Delivery(self._parser, self._loop, self._resume)
        # The cadence.
        self._cadence: Cadence | None = None
        self._gathers = False  # the kernel gathers what arrives until `_due`
        self._due = self._parsed = 0.0  # the next and the last time of parsing, by the loop's clock
        self._end_is_visible = False  # the last bytes of a read show whether the body ends there
        self._unparsed: list[bytes] = []  # read since `_parsed`
        sockets.register(self)

    async def send(
        self, request: bytes, cadence: Cadence | None, release: Callable[[], object]
    ) -> Response:
        """Send `request` and return the response once its headers have arrived.

        With a `cadence`, the body is read at intervals. Closing the response calls `release`.
        """
        parser, delivery = self._parser, self._delivery
        parser.expect()
        delivery.expect()
        self.served += 1
        self._cadence = cadence
        self._unparsed.clear()
        if self.closed:  # before the request: epoll will not report it again
            raise httpx.RemoteProtocolError("the server closed it")
        self._sender.send(request)
        while not parser.begun:
            await delivery.arrival()
        self._end_is_visible = parser.headers.get("transfer-encoding") == "chunked"
        body = Body(delivery, release)
        return Response(parser.status, parser.headers, body, self.served > 1)

    @property
    def is_alive(self) -> bool:
        """Whether the server has neither closed the connection nor sent anything unexpected.

        A busy event loop may not have reported it yet, so this looks.
        """
        if not self.closed:
            self.readable()
        return not self.closed

    @property
    def untouched(self) -> bool:
        """Whether not one byte of the response has arrived."""
        return self._parser.untouched

    def make_idle(self) -> bool:
        """Prepare for another request; return whether there may be one."""
        keeps = self._parser.keeps and self._delivery.exhausted
        if not keeps or self.closed or not self._sender.is_done:
            return False
        if self._gathers:
            self._gathers = False
            try:
                self._sockets.register(self)
            except OSError:  # no descriptor is left for another epoll
                return False
        self._delivery.is_full = False
        return True

    def close(self) -> None:
        """Close the connection at once."""
        if self.closed:
            return
        self.closed = True
        self._sockets.unregister(self)
        self._sender.stop()
        self.socket.close()

    # Called by `Sockets`.

    def readable(self, hangup: bool = False) -> None:
        """Read until the kernel has nothing left, or the reader is too far behind."""
        receive_into, buffer = self._receive_into, self._sockets.buffer
        delivery, left = self._delivery, _READS_AT_ONCE
        while not delivery.is_full:
            try:
                size = receive_into(buffer)
            except NOT_NOW:
                break
            except OSError as error:
                self._lose(error)
                break
            if not size:
                self._lose(None)
                break
            self._receive(buffer[:size])
            if self.closed or (size < READ_BYTES and not self._secure and not hangup):
                break
            left -= 1
            if not left:
                self._loop.call_soon(self._read_on, hangup)
                break
        else:
            self._unread = True
        delivery.deliver()

    def _read_on(self, hangup: bool) -> None:
        """Continue to read in another turn of the loop: epoll will not report this data again."""
        if not self.closed:
            self.readable(hangup)

    def collect(self, due: float) -> None:
        """Read what the kernel has gathered, and let it gather again."""
        if self._gathers and due == self._due and not self.closed:
            self.readable()
            if self._unparsed and not self._may_defer():
                self._parse(b"")
                self._delivery.deliver()
            self._gather()

    # Reading.

    def _receive(self, data: memoryview) -> None:
        """Parse `data` now, or keep it for the next interval."""
        parser, delivery = self._parser, self._delivery
        if parser.ended:
            self.close()  # the server sends without a request
            return
        untaken = delivery.untaken = delivery.untaken + len(data)
        if self._gathers and (self._unparsed or self._may_defer()):
            self._defer(bytes(data))
        else:
            self._parse(data)
        delivery.is_full = untaken >= _HIGH_WATER and bool(parser.pieces)

    def _may_defer(self) -> bool:
        """Return whether parsing may wait for the next interval."""
        delivery, cadence = self._delivery, self._cadence
        if delivery.sink is None or cadence is None or not self._end_is_visible:
            return False
        is_due = self._due >= self._parsed + cadence.parse_delay()
        return not is_due and delivery.untaken < _HIGH_WATER

    def _defer(self, data: bytes) -> None:
        """Keep `data` for later, unless the end of the body may be in it."""
        self._unparsed.append(data)
        if len(data) < len(_LAST_CHUNK) or data.endswith(_LAST_CHUNK) or not self._may_defer():
            self._parse(b"")

    def _parse(self, data: bytes | memoryview) -> None:
        """Parse what was deferred, and `data`."""
        parser, deferred = self._parser, self._unparsed
        if deferred:
            data = b"".join((*deferred, data))
            deferred.clear()
        self._parsed = self._due
        try:
            parser.feed(data)
        except (httpx.RemoteProtocolError, KnownFailure) as error:
            self._delivery.error = error
            self.close()
            return
        if self._cadence is not None and not self._gathers and parser.pieces:
            self._gathers = True
            self._sockets.unregister(self)
            self._gather()

    def _gather(self) -> None:
        """Let the kernel gather what arrives until the next interval ends."""
        if self._cadence is not None and not self._parser.ended and not self.closed:
            now = self._loop.time()
            self._due = self._sockets.collect_later(self, now, self._cadence.pause(now))

    def _lose(self, error: OSError | None) -> None:
        """Close after the server did; that may be the regular end of the body."""
        self.close()
        if self._unparsed:
            self._parse(b"")
        if self._delivery.error is None:
            try:
                self._parser.close(error)
            except httpx.RemoteProtocolError as broken:
                self._delivery.error = broken

    def _resume(self) -> None:
        """Read again after a pause."""
        self._delivery.is_full = False
        if self._unread:  # epoll has reported this data and will not report it again
            self._unread = False
            self._loop.call_soon(self._read_on, False)
