"""One connection of the asynchronous face, which serves one request after the other: extra `fast`.

What comes off the socket goes to the parser, and what that finds to whoever waits for it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import httpx

from ritellm.transports.fast.epoll import NOT_NOW, READ_BYTES, Sockets
from ritellm.transports.fast.http11 import Answer, Incoming

# So many bytes may wait for a reader; then the kernel's buffers fill, and the server's. More would
# cost more: what is larger than 128 KiB, malloc maps and unmaps anew each time.
_HIGH_WATER = READ_BYTES
# What a chunked body ends with, unless there are trailers.
_LAST_CHUNK = b"0\r\n\r\n"


class Cadence(Protocol):
    """How a body is read that nobody waits for the single pieces of."""

    def pause(self, now: float) -> float:
        """Return the seconds for which nothing need be read."""

    def hold(self) -> float:
        """Return the seconds for which what is read need not be looked at."""


class Connection:
    """A socket and the response that comes over it."""

    def __init__(self, sock: socket.socket, sockets: Sockets) -> None:
        self.socket = sock
        self.closed = False
        self.served = 0
        self.idle_since = 0.0
        self._sockets = sockets
        self._loop = asyncio.get_running_loop()
        self._receive_into = sock.recv_into
        self._secure = isinstance(sock, ssl.SSLSocket)
        self._incoming = Incoming()
        self._waiter: asyncio.Future[bytes] | None = None
        self._sink: Callable[[bytes], bool] | None = None  # who waits, waits for the end
        self._opening = False  # who waits, waits for the headers
        self._error: Exception | None = None
        self._waiting = 0  # bytes that have come since the last `take`
        self._paused = self._left = False  # nothing is read now; and there is something to read
        self._unsent = memoryview(b"")
        self._is_writing = False
        self._cadence: Cadence | None = None
        self._gathers = False  # what comes is left to the kernel, until `_due`
        self._due = self._parsed = 0.0
        self._tells_end = False  # by the last bytes, whoever parses them
        self._held: list[bytes] = []  # read since, and not parsed yet
        sockets.watch(self)

    async def ask(
        self, request: bytes, cadence: Cadence | None, release: Callable[[], None]
    ) -> Response:
        """Send `request` and return the response once its headers are here.

        With a `cadence` the body is read now and then. `release` is called when the response is
        closed.
        """
        incoming = self._incoming
        incoming.expect()
        self.served += 1
        self._waiting = 0
        self._cadence = cadence
        self._held.clear()
        self._unsent = memoryview(request)
        self._opening = True
        self._write()
        while not incoming.begun:
            await self.arrival()
        body = Body(self, release)
        return Response(incoming.status, incoming.headers, body, self.served > 1)

    def take(self) -> bytes:
        """Return what has come of the body, or nothing."""
        incoming = self._incoming
        if not incoming.pieces:
            return b""
        self._waiting = 0
        return incoming.take()

    def arrival(self) -> asyncio.Future[bytes]:
        """Return the next bytes of the body, once they are here; nothing at its end.

        To be called when there is nothing to take. Raises what broke the connection before.
        """
        waiter: asyncio.Future[bytes] = asyncio.Future(loop=self._loop)
        if self._error is not None:
            waiter.set_exception(self._error)
        elif self._incoming.ended:
            waiter.set_result(b"")
        else:
            self._waiter = waiter
            if self._paused:
                self._resume()
        return waiter

    def pour(self, sink: Callable[[bytes], bool]) -> asyncio.Future[bytes]:
        """Give `sink` what comes of the body as it comes; done at its end, or once that is True.

        To be called when there is nothing to take. Nobody is woken for each piece.
        """
        poured = self.arrival()
        if not poured.done():
            self._sink = sink
            self._tells_end = self._incoming.headers.get("transfer-encoding") == "chunked"
        return poured

    @property
    def exhausted(self) -> bool:
        """Whether the response has been read to its end."""
        return self._incoming.ended and not self._incoming.pieces

    def rest(self) -> bool:
        """Make ready for another request; return whether there may be one."""
        keeps = self._incoming.keeps and self.exhausted
        if not keeps or self.closed or self._unsent:
            return False
        if self._gathers:
            self._gathers = False
            self._sockets.watch(self)
        self._paused = False
        return True

    def abort(self) -> None:
        """Close it at once."""
        if self.closed:
            return
        self.closed = True
        self._sockets.forget(self)
        self._stop_writing()
        self.socket.close()

    # What the sockets call.

    def readable(self, hangup: bool = False) -> None:
        """Read until nothing is left, or the reader is too far behind."""
        receive_into, buffer = self._receive_into, self._sockets.buffer
        while not self._paused:
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
        else:
            self._left = True
        self._wake()

    def collect(self, due: float) -> None:
        """Read what was left to the kernel, and leave it what comes next."""
        if self._gathers and due == self._due and not self.closed:
            self.readable()
            if self._held and not self._may_hold():
                self._parse(b"")
                self._wake()
            self._leave()

    def _receive(self, data: memoryview) -> None:
        if self._incoming.ended:
            self.abort()  # nobody has asked anything
            return
        self._waiting += len(data)
        if self._gathers and (self._held or self._may_hold()):
            self._hold(bytes(data))
        else:
            self._parse(data)
        self._paused = self._waiting >= _HIGH_WATER and bool(self._incoming.pieces)

    def _may_hold(self) -> bool:
        """Return whether what comes now need not be looked at yet."""
        if self._sink is None or self._cadence is None or not self._tells_end:
            return False
        return self._due < self._parsed + self._cadence.hold() and self._waiting < _HIGH_WATER

    def _hold(self, data: bytes) -> None:
        """Keep `data` for later, unless the end of the body may be in it."""
        self._held.append(data)
        if len(data) < len(_LAST_CHUNK) or data.endswith(_LAST_CHUNK) or not self._may_hold():
            self._parse(b"")

    def _parse(self, data: bytes | memoryview) -> None:
        """Parse what is held, and `data`."""
        incoming, held = self._incoming, self._held
        if held:
            data = b"".join((*held, data))
            held.clear()
        self._parsed = self._due
        try:
            incoming.feed(data)
        except httpx.RemoteProtocolError as error:
            self._error = error
            self.abort()
            return
        if self._cadence is not None and not self._gathers and incoming.pieces:
            self._gathers = True
            self._sockets.forget(self)
            self._leave()

    def _leave(self) -> None:
        """Leave what comes to the kernel for a while."""
        if self._cadence is not None and not self._incoming.ended and not self.closed:
            now = self._loop.time()
            self._due = self._sockets.collect_later(self, now, self._cadence.pause(now))

    def _lose(self, error: OSError | None) -> None:
        """End what is under way: well, if it ends with the connection."""
        self.abort()
        if self._held:
            self._parse(b"")
        if self._error is None:
            try:
                self._incoming.close(error)
            except httpx.RemoteProtocolError as broken:
                self._error = broken

    def _resume(self) -> None:
        self._paused = False
        if self._left:  # the edge has been seen: it will not be told again
            self._left = False
            self._loop.call_soon(self.readable)

    def _wake(self) -> None:
        """Give whoever waits what has come; nothing, where only the headers are waited for."""
        waiter, incoming = self._waiter, self._incoming
        if waiter is None:
            return
        if waiter.done():  # cancelled
            self._waiter = self._sink = None
        elif self._sink is not None:
            self._pour(waiter, self._sink)
        elif self._opening and incoming.begun:
            self._waiter, self._opening = None, False
            waiter.set_result(b"")
        elif incoming.pieces or incoming.ended:
            self._waiter = None
            waiter.set_result(self.take())
        elif self._error is not None:
            self._waiter = None
            waiter.set_exception(self._error)

    def _pour(self, waiter: asyncio.Future[bytes], sink: Callable[[bytes], bool]) -> None:
        incoming = self._incoming
        try:
            if (incoming.pieces and sink(self.take())) or incoming.ended:
                waiter.set_result(b"")
            elif self._error is not None:
                waiter.set_exception(self._error)
            elif self._paused:
                self._resume()
        except Exception as error:  # the sink's: it belongs to whoever waits
            waiter.set_exception(error)
        if waiter.done():
            self._waiter = self._sink = None

    # Writing.

    def _write(self) -> None:
        """Send what the kernel takes, and the rest later. An answer may come before all is sent."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
        except NOT_NOW:
            if not self._is_writing:
                self._is_writing = True
                self._loop.add_writer(self.socket.fileno(), self._write)
            return
        except OSError:
            pass  # reading tells what happened, and what the server said before
        self._stop_writing()

    def _stop_writing(self) -> None:
        if self._is_writing:
            self._is_writing = False
            self._loop.remove_writer(self.socket.fileno())


class Response(Answer):
    """An answer that is given back on the event loop."""

    __slots__ = ()

    async def aclose(self) -> None:
        """Give the connection back, or close it if there is more to come."""
        await self.stream.aclose()


class Body(httpx.AsyncByteStream):
    """What follows the headers, as it comes."""

    def __init__(self, connection: Connection, release: Callable[[], None]) -> None:
        self.take = connection.take
        self.arrival = connection.arrival
        self.pour = connection.pour
        self._connection = connection
        self._release: Callable[[], None] | None = release

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to take, and nothing will come."""
        return self._connection.exhausted

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := self.take() or await self.arrival():
            yield data

    async def aclose(self) -> None:
        """Give the connection back if all has been read, else close it."""
        if self._release is not None:
            self._release()
            self._release = None
