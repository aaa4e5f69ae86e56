"""The synchronous transport of the extra `fast`: plain sockets that block, and llhttp.

Threads may share the transport. A connection belongs to one thread while it is lent.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import httpx

from ritellm.transports.deadlines import Deadlines, Grace
from ritellm.transports.fast.http11 import (
    Origin,
    ResponseHead,
    ResponseParser,
    request_bytes,
    target_of,
    trusted,
)
from ritellm.transports.fast.pool import Pool
from ritellm.transports.sockets import KEEP_ALIVE, LARGE_REQUEST_BYTES, NO_DELAY
from ritellm.types import HttpRequest

_READ_BYTES = 64 * 1024
# What a socket raises when it has nothing to read, or no room to write.
NOT_NOW = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
# The selectors of epoll and kqueue need a descriptor of their own; there may be none left.
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)


class FastTransport:
    """Sends requests over connections of its own."""

    def __init__(self) -> None:
        self._pool: Pool[Connection] = Pool()

    def send(self, request: HttpRequest, deadlines: Deadlines) -> Response:
        """Return the response once its headers have arrived; raises httpx's errors."""
        target = target_of(request.url)
        data = request_bytes(request.method, target, request.headers, request.content)
        kept = self._pool.take(target.origin)
        if kept is not None:
            try:
                return self._send(target.origin, kept, data, deadlines)
            except httpx.RemoteProtocolError:
                if not kept.untouched:
                    raise
        # The server had closed the kept connection before it saw the request.
        return self._send(target.origin, _connect(target.origin, deadlines), data, deadlines)

    def when_free(self, action: Callable[[], object]) -> None:
        """Run `action` at once: the pool can be changed at any moment."""
        action()

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.close()

    def _send(
        self, origin: Origin, connection: Connection, data: bytes, deadlines: Deadlines
    ) -> Response:
        try:
            release = partial(self._pool.give, origin, connection)
            return connection.send(data, deadlines, release)
        except BaseException:
            connection.close()
            raise


def _connect(origin: Origin, deadlines: Deadlines) -> Connection:
    """Return a new connection to `origin`; raises httpx.ConnectTimeout or httpx.ConnectError."""
    ends = deadlines.connect_by(time.monotonic())
    try:
        sock = socket.create_connection((origin.host, origin.port), _left(ends))
        try:
            for option in (NO_DELAY, *KEEP_ALIVE):
                sock.setsockopt(*option)
            if origin.secure:
                sock.settimeout(_left(ends))
                sock = trusted().wrap_socket(sock, server_hostname=origin.host)
        except BaseException:
            sock.close()
            raise
    except TimeoutError:
        raise httpx.ConnectTimeout("connecting took too long") from None
    except OSError as error:  # ssl.SSLError is one, too
        raise httpx.ConnectError(str(error)) from error
    return Connection(sock)


def _left(ends: float | None) -> float | None:
    """Return the seconds until `ends`; raises TimeoutError if none are left."""
    return None if ends is None else _positive(ends - time.monotonic())


def _positive(seconds: float) -> float:
    if seconds <= 0:
        raise TimeoutError
    return seconds


class Connection:
    """A connection that serves one request after the other."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.idle_since = 0.0
        self._parser = ResponseParser()
        self._buffer = memoryview(bytearray(_READ_BYTES))
        self._served = 0
        self._has_unsent = False  # the response began before the whole request was sent
        self._grace = Grace()

    def send(self, request: bytes, deadlines: Deadlines, release: Callable[[], object]) -> Response:
        """Send `request` and return the response once its headers have arrived."""
        parser = self._parser
        parser.expect()
        self._served += 1
        try:
            self._transmit(request, deadlines.write)
        except TimeoutError:
            raise httpx.WriteTimeout("sending took too long") from None
        except OSError:
            pass  # reading finds the reason, and what the server has sent before
        while not parser.begun:
            self.receive(deadlines)
        body = Body(self, deadlines, release)
        return Response(parser.status, parser.headers, body, self._served > 1)

    def _transmit(self, request: bytes, timeout: float | None) -> None:
        """Send `request`, but not the rest of a large one once the response has begun."""
        self._has_unsent = len(request) > LARGE_REQUEST_BYTES
        if not self._has_unsent:
            self.socket.settimeout(timeout)
            self.socket.sendall(request)
            return
        unsent, parser = memoryview(request), self._parser
        self.socket.setblocking(False)
        with selectors.DefaultSelector() as selector:
            selector.register(self.socket, selectors.EVENT_READ | selectors.EVENT_WRITE)
            progressed = time.monotonic()
            while unsent and not parser.begun:
                selector.select(timeout)
                if timeout is not None and time.monotonic() > progressed + timeout:
                    raise TimeoutError
                with suppress(*NOT_NOW):
                    unsent = unsent[self.socket.send(unsent[:LARGE_REQUEST_BYTES]) :]
                    progressed = time.monotonic()
                with suppress(*NOT_NOW):
                    self._take(self.socket.recv_into(self._buffer))
        self._has_unsent = bool(unsent)

    def receive(self, deadlines: Deadlines) -> None:
        """Wait for the next bytes, or for the end of the connection."""
        try:
            size = self._grace.read(self._receive, deadlines.left_to_read, TimeoutError)
        except TimeoutError:
            raise httpx.ReadTimeout("no progress") from None
        except OSError as error:
            self._parser.close(error)
            return
        self._take(size)

    def _take(self, size: int) -> None:
        """Parse the bytes that were read; none are the end of the connection."""
        if size:
            self._parser.feed(self._buffer[:size])
        else:
            self._parser.close(None)

    def _receive(self, seconds: float | None) -> int:
        self.socket.settimeout(seconds)
        return self.socket.recv_into(self._buffer)

    def pieces(self, deadlines: Deadlines) -> Iterator[bytes]:
        """Yield the pieces of the body as they arrive."""
        parser = self._parser
        while True:
            if parser.pieces:
                yield parser.take()
            elif parser.ended:
                return
            else:
                self.receive(deadlines)

    @property
    def untouched(self) -> bool:
        """Whether not one byte of the response has arrived."""
        return self._parser.untouched

    @property
    def is_alive(self) -> bool:
        """Whether the server has neither closed the connection nor sent anything unexpected."""
        with _Selector() as selector:
            selector.register(self.socket, selectors.EVENT_READ)
            return not selector.select(0)

    def make_idle(self) -> bool:
        """Return whether another request may follow the one that is done."""
        parser = self._parser
        return parser.keeps and parser.ended and not (parser.pieces or self._has_unsent)

    def close(self) -> None:
        """Close the connection at once."""
        self.socket.close()


class Response(ResponseHead):
    """A response whose `close` releases the connection."""

    __slots__ = ()

    def close(self) -> None:
        """Return the connection to the pool, or close it if more is to come."""
        self.stream.close()


class Body(httpx.SyncByteStream):
    """The body of a response, as it arrives."""

    def __init__(
        self, connection: Connection, deadlines: Deadlines, release: Callable[[], object]
    ) -> None:
        self._connection = connection
        self._deadlines = deadlines
        self._release: Callable[[], object] | None = release

    def __iter__(self) -> Iterator[bytes]:
        return self._connection.pieces(self._deadlines)

    def close(self) -> None:
        """Return the connection to the pool if all was read, else close it."""
        if self._release is not None:
            self._release()
            self._release = None
