"""The connections of the synchronous face: the extra `fast`.

Threads may share them; each connection is one thread's as long as it is lent.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial

import httpx

from ritellm.calls.call import Call
from ritellm.transports.fast.http11 import Answer, Incoming, Target, request_bytes, target_of, trust
from ritellm.transports.httpx import KEEP_ALIVE, NO_DELAY, ConnectDeadline, ReadDeadline
from ritellm.types import HttpRequest

_KEEPALIVE_SECONDS = 30.0
_READ_BYTES = 64 * 1024

Place = tuple[bool, str, int]


class BlockingHttp:
    """Moves the bytes for the synchronous face."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[Place, list[Connection]] = {}

    def send(self, ask: HttpRequest, call: Call, read: float) -> Response:
        """Return the response once its headers are here; raises httpx's errors.

        A plain number is the limit of each step; a ReadDeadline knows them all.
        """
        target = target_of(ask.url)
        request = request_bytes(ask.method, target, ask.headers, ask.content)
        connection = self._take(target)
        if connection is None:
            limit = ConnectDeadline.of(call) if isinstance(read, ReadDeadline) else read
            connection = _connect(target, limit)
        try:
            write = call.plan.timeouts.connect if isinstance(read, ReadDeadline) else read
            return connection.ask(request, write, read, partial(self._give, target))
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.close()

    def _take(self, target: Target) -> Connection | None:
        """Return a connection to `target` that lives, if there is one."""
        while True:
            with self._lock:
                idle = self._idle.get(target[:3])
                if not idle:
                    return None
                connection = idle.pop()
            if connection.lives:
                return connection
            connection.close()

    def _give(self, target: Target, connection: Connection) -> None:
        """Take `connection` back, or close it if it cannot be used again."""
        if not connection.reusable:
            connection.close()
            return
        connection.idle_since = time.monotonic()
        with self._lock:
            self._idle.setdefault(target[:3], []).append(connection)


def _connect(target: Target, limit: float | None) -> Connection:
    """Return a new connection to `target`; raises httpx.ConnectTimeout or httpx.ConnectError."""
    try:
        sock = socket.create_connection((target.host, target.port), _left(limit))
        try:
            for option in (NO_DELAY, *KEEP_ALIVE):
                sock.setsockopt(*option)
            if target.secure:
                sock.settimeout(_left(limit))
                sock = trust().wrap_socket(sock, server_hostname=target.host)
        except BaseException:
            sock.close()
            raise
    except TimeoutError:
        raise httpx.ConnectTimeout("connecting took too long") from None
    except OSError as error:  # ssl's are of this kind too
        raise httpx.ConnectError(str(error)) from error
    return Connection(sock)


def _left(limit: float | None) -> float | None:
    """Return the seconds that are left; raises TimeoutError if none are."""
    left = limit.remaining() if isinstance(limit, (ConnectDeadline, ReadDeadline)) else limit
    if left is not None and left <= 0:
        raise TimeoutError
    return left


class Connection:
    """One connection, which serves one request after the other."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.idle_since = 0.0
        self._incoming = Incoming()
        self._buffer = memoryview(bytearray(_READ_BYTES))
        self._served = 0

    def ask(
        self, request: bytes, write: float | None, read: float, release: partial[None]
    ) -> Response:
        """Send `request` and return the response once its headers are here."""
        incoming = self._incoming
        incoming.expect()
        self._served += 1
        try:
            self.socket.settimeout(write)
            self.socket.sendall(request)
        except TimeoutError:
            raise httpx.WriteTimeout("sending took too long") from None
        except OSError:
            pass  # reading tells what happened, and what the server said before
        while not incoming.begun:
            self.receive(read)
        body = Body(self, read, partial(release, self))
        return Response(incoming.status, incoming.headers, body, self._served > 1)

    def receive(self, limit: float) -> None:
        """Wait for the next bytes, or for the end of the connection."""
        try:
            self.socket.settimeout(_left(limit))
            size = self.socket.recv_into(self._buffer)
        except TimeoutError:
            raise httpx.ReadTimeout("no progress") from None
        except OSError as error:
            self._incoming.close(error)
            return
        if size:
            self._incoming.feed(self._buffer[:size])
        else:
            self._incoming.close(None)

    def pieces(self, limit: float) -> Iterator[bytes]:
        """Yield what comes of the body."""
        incoming = self._incoming
        while True:
            if incoming.pieces:
                yield incoming.take()
            elif incoming.ended:
                return
            else:
                self.receive(limit)

    @property
    def reusable(self) -> bool:
        """Whether another request may follow the one that has been answered."""
        incoming = self._incoming
        return incoming.keeps and incoming.ended and not incoming.pieces

    @property
    def lives(self) -> bool:
        """Whether the server has neither closed it nor said what nobody has asked."""
        if time.monotonic() - self.idle_since > _KEEPALIVE_SECONDS:
            return False
        with selectors.DefaultSelector() as selector:
            selector.register(self.socket, selectors.EVENT_READ)
            return not selector.select(0)

    def close(self) -> None:
        """Close it at once."""
        self.socket.close()


class Response(Answer):
    """An answer that is given back by its thread."""

    __slots__ = ()

    def close(self) -> None:
        """Give the connection back, or close it if there is more to come."""
        self.stream.close()


class Body(httpx.SyncByteStream):
    """What follows the headers, as it comes."""

    def __init__(self, connection: Connection, limit: float, release: partial[None]) -> None:
        self._connection = connection
        self._limit = limit
        self._release: partial[None] | None = release

    def __iter__(self) -> Iterator[bytes]:
        return self._connection.pieces(self._limit)

    def close(self) -> None:
        """Give the connection back if all has been read, else close it."""
        if self._release is not None:
            self._release()
            self._release = None
