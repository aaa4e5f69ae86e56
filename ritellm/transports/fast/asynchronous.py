"""The asynchronous transport of the extra `fast`: epoll, llhttp, and one pool for each event loop.

A client may serve several event loops, or the children of a fork. So the connections, the epoll and
the resolved addresses belong to one loop each.
"""

from __future__ import annotations

import asyncio
import itertools
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import aiohappyeyeballs
import httpx

from ritellm.transports.deadlines import Cadence, Deadlines
from ritellm.transports.fast.connection import Connection
from ritellm.transports.fast.epoll import Sockets, secured
from ritellm.transports.fast.http11 import Origin, Target, request_bytes, target_of, trusted
from ritellm.transports.fast.pool import Pool
from ritellm.transports.fast.response import Response
from ritellm.transports.sockets import IDLE_SECONDS, KEEP_ALIVE, NO_DELAY
from ritellm.types import HttpRequest

# How long a resolved address is used: 500 streams that begin at once need one lookup, not 500.
_RESOLVED_SECONDS = 10.0
# How long to wait for one address before the next is tried beside it: RFC 8305.
_NEXT_ADDRESS_SECONDS = 0.25

AddressInfos = list[tuple[Any, ...]]


class AsyncFastTransport:
    """Sends requests over connections of its own. It limits the time to connect only."""

    def __init__(self) -> None:
        self._connections: WeakKeyDictionary[asyncio.AbstractEventLoop, _Connections] = (
            WeakKeyDictionary()
        )

    async def send(self, request: HttpRequest, deadlines: Deadlines) -> Response:
        """Return the response once its headers have arrived; raises httpx's errors."""
        target = target_of(request.url)
        data = request_bytes(request.method, target, request.headers, request.content)
        connections, cadence = self._of_this_loop(), deadlines.cadence
        kept = connections.pool.take(target.origin)
        if kept is not None:
            try:
                return await connections.send(target.origin, kept, data, cadence)
            except httpx.RemoteProtocolError:
                if not kept.untouched:
                    raise
        # The server had closed the kept connection before it saw the request.
        fresh = await connections.connect(target, deadlines.connect)
        return await connections.send(target.origin, fresh, data, cadence)

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        connections = self._connections.pop(asyncio.get_running_loop(), None)
        if connections is not None:
            connections.close()

    def _of_this_loop(self) -> _Connections:
        loop = asyncio.get_running_loop()
        found = self._connections.get(loop)
        if found is None:
            found = self._connections[loop] = _Connections()
        return found


class _Connections:
    """The connections of one event loop: makes them, and keeps the idle ones."""

    def __init__(self) -> None:
        self.pool: Pool[Connection] = Pool()
        self._sockets = Sockets()
        self._resolved: dict[Origin, asyncio.Future[AddressInfos]] = {}
        self._turns = itertools.count()
        self._sweep: asyncio.TimerHandle | None = None

    async def send(
        self, origin: Origin, connection: Connection, data: bytes, cadence: Cadence | None
    ) -> Response:
        """Send the request `data`; return the response once its headers have arrived."""
        try:
            release = partial(self.release, origin, connection)
            return await connection.send(data, cadence, release)
        except BaseException:
            connection.close()
            raise

    def release(self, origin: Origin, connection: Connection) -> None:
        """Take `connection` back for the next request, or close it."""
        if self.pool.give(origin, connection) and self._sweep is None:
            loop = asyncio.get_running_loop()
            self._sweep = loop.call_later(IDLE_SECONDS, self._expire)

    def close(self) -> None:
        """Close the idle connections."""
        if self._sweep is not None:
            self._sweep.cancel()
        self.pool.close()

    def _expire(self) -> None:
        """Close what has been idle for too long, and look again later if anything is left."""
        self._sweep = None
        if self.pool.expire():
            loop = asyncio.get_running_loop()
            self._sweep = loop.call_later(IDLE_SECONDS / 2, self._expire)

    async def connect(self, target: Target, timeout: float | None) -> Connection:
        """Return a new connection to `target`."""
        try:
            return await asyncio.wait_for(self._connect(target), timeout)
        except asyncio.TimeoutError:
            raise httpx.ConnectTimeout("connecting took too long") from None
        except OSError as error:  # ssl.SSLError is one, too
            raise httpx.ConnectError(str(error)) from error

    async def _connect(self, target: Target) -> Connection:
        context = trusted() if target.origin.secure else None
        infos = await self._resolve(target)
        turn = next(self._turns) % len(infos)  # spreads connections over the servers of a name
        sock = await aiohappyeyeballs.start_connection(
            infos[turn:] + infos[:turn], happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS
        )
        for option in (NO_DELAY, *KEEP_ALIVE):
            sock.setsockopt(*option)
        if context is not None:
            sock = await secured(sock, context, target.origin.host)
        return Connection(sock, self._sockets)

    async def _resolve(self, target: Target) -> AddressInfos:
        origin = target.origin
        if origin not in self._resolved:
            loop = asyncio.get_running_loop()
            lookup = loop.getaddrinfo(target.origin.host, target.origin.port, type=1)
            self._resolved[origin] = asyncio.ensure_future(lookup)
            loop.call_later(_RESOLVED_SECONDS, self._resolved.pop, origin, None)
        try:
            return await asyncio.shield(self._resolved[origin])
        except OSError:
            self._resolved.pop(origin, None)
            raise
