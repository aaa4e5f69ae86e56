"""The connections of the extra `fast`: made, lent, and kept for the next request.

Each event loop has its own, so that one client serves several loops, and the children of a fork.
"""

from __future__ import annotations

import asyncio
import itertools
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import aiohappyeyeballs
import httpx

from ritellm.calls.call import Call
from ritellm.transports.fast.connection import Connection, Response
from ritellm.transports.fast.epoll import Sockets, secured
from ritellm.transports.fast.http11 import Target, request_bytes, target_of, trust
from ritellm.transports.httpx import KEEP_ALIVE, NO_DELAY
from ritellm.types import HttpRequest

_KEEPALIVE_SECONDS = 30.0
# How long an address is believed: 500 streams that begin at once need not ask 500 times.
_RESOLVED_SECONDS = 10.0
# When to try the next address beside one that does not answer: RFC 8305.
_NEXT_ADDRESS_SECONDS = 0.25

Place = tuple[bool, str, int]
AddressInfos = list[tuple[Any, ...]]


class FastHttp:
    """Moves the bytes for the asynchronous face. Timeouts are the face's, but for connecting."""

    def __init__(self) -> None:
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool] = WeakKeyDictionary()

    async def send(self, ask: HttpRequest, call: Call) -> Response:
        """Return the response once its headers are here; raises httpx's errors."""
        target = target_of(ask.url)
        request = request_bytes(ask.method, target, ask.headers, ask.content)
        pool = self._pool()
        connection = pool.take(target)
        if connection is None:
            connection = await pool.connect(target, call.plan.timeouts.connect)
        release = partial(pool.give, target, connection)
        try:
            # A reader that comes now and then lets the kernel gather what comes meanwhile.
            cadence = call if call.plan.request.buffer.seconds else None
            return await connection.ask(request, cadence, release)
        except BaseException:
            connection.abort()
            raise

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        pool = self._pools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            pool.close()

    def _pool(self) -> _Pool:
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            pool = self._pools[loop] = _Pool()
        return pool


class _Pool:
    """The idle connections of one event loop."""

    def __init__(self) -> None:
        self._sockets = Sockets()
        self._idle: dict[Place, list[Connection]] = {}
        self._resolved: dict[Place, asyncio.Future[AddressInfos]] = {}
        self._turns = itertools.count()
        self._sweep: asyncio.TimerHandle | None = None

    def take(self, target: Target) -> Connection | None:
        """Return a connection to `target` that lives, if there is one."""
        idle = self._idle.get(target[:3])
        while idle:
            connection = idle.pop()  # the one that was used last: the others may expire
            if not connection.closed:
                return connection
        return None

    def give(self, target: Target, connection: Connection) -> None:
        """Take `connection` back, or close it if it cannot be used again."""
        if not connection.rest():
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.setdefault(target[:3], []).append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(_KEEPALIVE_SECONDS, self._expire)

    async def connect(self, target: Target, timeout: float | None) -> Connection:
        """Return a new connection to `target`."""
        try:
            return await asyncio.wait_for(self._connect(target), timeout)
        except asyncio.TimeoutError:
            raise httpx.ConnectTimeout("connecting took too long") from None
        except OSError as error:  # ssl's are of this kind too
            raise httpx.ConnectError(str(error)) from error

    def close(self) -> None:
        """Close what is idle."""
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in itertools.chain.from_iterable(self._idle.values()):
            connection.abort()
        self._idle.clear()

    async def _connect(self, target: Target) -> Connection:
        infos = await self._resolve(target)
        turn = next(self._turns) % len(infos)  # servers behind one name get their share each
        sock = await aiohappyeyeballs.start_connection(
            infos[turn:] + infos[:turn], happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS
        )
        for option in (NO_DELAY, *KEEP_ALIVE):
            sock.setsockopt(*option)
        if target.secure:
            sock = await secured(sock, trust(), target.host)
        return Connection(sock, self._sockets)

    async def _resolve(self, target: Target) -> AddressInfos:
        place = target[:3]
        if place not in self._resolved:
            loop = asyncio.get_running_loop()
            asking = loop.getaddrinfo(target.host, target.port, type=1)
            self._resolved[place] = asyncio.ensure_future(asking)
            loop.call_later(_RESOLVED_SECONDS, self._resolved.pop, place, None)
        try:
            return await asyncio.shield(self._resolved[place])
        except OSError:
            self._resolved.pop(place, None)
            raise

    def _expire(self) -> None:
        """Close what has been idle for long, and look again if more may be."""
        loop = asyncio.get_running_loop()
        self._sweep = None
        since = loop.time() - _KEEPALIVE_SECONDS
        for place, idle in list(self._idle.items()):
            for connection in idle:
                if connection.idle_since <= since:
                    connection.abort()
            kept = [each for each in idle if each.idle_since > since and not each.closed]
            self._idle[place] = kept
        if any(self._idle.values()):
            self._sweep = loop.call_later(_KEEPALIVE_SECONDS / 2, self._expire)
