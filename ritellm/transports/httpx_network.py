"""The sockets below httpx, watched: for what httpx does not offer.

Problem: httpx restarts its timeouts with every byte, loses a response that arrives while a large
request is being sent, takes a kept connection that the server has just closed for a failure, and
accepts ambiguous heads.

Idea: httpcore, on which httpx stands, takes its sockets from a network backend. `install` puts a
backend before it whose connections keep a `Watch` each.

httpx offers no way to pass a backend. If a later version renames the attributes that `install`
uses, a timeout is a plain number again, pings count as progress, and no connection is reused.
"""

from __future__ import annotations

import asyncio
import re
import selectors
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

import httpcore
import httpx

from ritellm.transports.deadlines import Deadlines, Grace
from ritellm.transports.httpx_pool import PoolLock, guard
from ritellm.transports.httpx_watch import Watch
from ritellm.transports.sockets import KEEP_ALIVE, LARGE_REQUEST_BYTES, MOMENT_SECONDS

_READ_BYTES = 64 * 1024
_STEP = 16 * 1024
_REFUSAL = re.compile(rb"HTTP/1\.[01] [345]")


class Limit(float):
    """A timeout whose remaining seconds the connection queries at each step, by calling `left`.

    httpx takes one number per request and restarts it with every byte, comments included. It passes
    this object on unchanged. A transport of the caller's own sees a plain number of seconds.
    """

    left: Callable[[], float | None]

    def __new__(cls, seconds: float, left: Callable[[], float | None]) -> Limit:
        limit = super().__new__(cls, seconds)
        limit.left = left
        return limit


def connect_limit(deadlines: Deadlines) -> Limit | None:
    """Return a limit that covers TCP and TLS together."""
    now = time.monotonic()
    ends = deadlines.connect_by(now)
    if ends is None:
        return None
    return Limit(ends - now, lambda: ends - time.monotonic())


def read_limit(deadlines: Deadlines) -> Limit | None:
    """Return a limit that moves with the deadline of the call."""
    longest = deadlines.longest_read
    return None if longest is None else Limit(longest, deadlines.left_to_read)


def _remaining(timeout: float | None) -> float | None:
    return timeout.left() if isinstance(timeout, Limit) else timeout


def _left_to_connect(timeout: float | None) -> float | None:
    """Return the seconds that remain of `timeout`; raises httpcore.ConnectTimeout if none do."""
    left = _remaining(timeout)
    if left is not None and left <= 0:
        raise httpcore.ConnectTimeout("no time left")
    return left


def install(client: httpx.Client | httpx.AsyncClient) -> list[PoolLock]:
    """Watch the connections of `client`, those of a transport of the caller included.

    Returns the locks of its pools, which it guards.
    """
    locks = []
    proxies = getattr(client, "_mounts", {}).values()
    for own in (getattr(client, "_transport", None), *proxies):
        pool: Any = getattr(own, "_pool", None)
        backend = getattr(pool, "_network_backend", None)
        if isinstance(backend, httpcore.AsyncNetworkBackend):
            if not isinstance(backend, _AsyncBackend):
                pool._network_backend = _AsyncBackend(backend)
        elif isinstance(backend, httpcore.NetworkBackend):
            if not isinstance(backend, _Backend):
                pool._network_backend = _Backend(backend)
            if lock := guard(pool):
                locks.append(lock)
    return locks


class _Backend(httpcore.NetworkBackend):
    def __init__(self, inner: httpcore.NetworkBackend) -> None:
        self._inner = inner

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = _left_to_connect(timeout)
        options = [*(socket_options or ()), *KEEP_ALIVE]
        return Connection(self._inner.connect_tcp(host, port, left, local_address, options))

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        return Connection(self._inner.connect_unix_socket(path, timeout, socket_options))

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class Connection(httpcore.NetworkStream):
    """A watched connection of the synchronous face."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self.watch = Watch()
        self._inner = inner
        self._grace = Grace()
        self._early = b""  # arrived while a request was being sent

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._early:
            data, self._early = self._early[:max_bytes], self._early[max_bytes:]
            return self.watch.received(data)
        read, left = partial(self._inner.read, max_bytes), partial(_remaining, timeout)
        try:
            data = self._grace.read(read, left, httpcore.ReadTimeout)
        except httpcore.ReadError as error:
            raise self.watch.failure(error) from None
        return self.watch.received(data)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.watch.sending(buffer)
        sock = self._inner.get_extra_info("socket")
        if len(buffer) <= LARGE_REQUEST_BYTES or sock is None or self.watch.is_http2:
            self._inner.write(buffer, timeout)
            return
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
            for at in range(0, len(buffer), _STEP):
                self._wait_to_write(selector, timeout)
                self._inner.write(buffer[at : at + _STEP], timeout)

    def _wait_to_write(self, selector: selectors.BaseSelector, timeout: float | None) -> None:
        """Return when there is room; raises httpcore.WriteError if the server refuses meanwhile."""
        ends = None if timeout is None else time.monotonic() + timeout
        while ends is None or time.monotonic() < ends:
            events = selector.select(timeout)
            mask = events[0][1] if events else 0
            if mask & selectors.EVENT_READ and not self._read_early():
                return  # writing finds the reason
            if mask & selectors.EVENT_WRITE:
                return
        raise httpcore.WriteTimeout("sending took too long")

    def _read_early(self) -> bool:
        """Return whether the server may send more; raises httpcore.WriteError for a refusal."""
        try:
            data = self._inner.read(_READ_BYTES, MOMENT_SECONDS)
        except httpcore.ReadTimeout:  # TLS has news of its own
            return True
        except httpcore.ReadError:
            return False
        self._early += data
        if _REFUSAL.match(self._early):
            raise httpcore.WriteError("the server refuses the request")
        return bool(data)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left_to_connect(timeout)
        return Connection(self._inner.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _AsyncBackend(httpcore.AsyncNetworkBackend):
    def __init__(self, inner: httpcore.AsyncNetworkBackend) -> None:
        self._inner = inner

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        options = [*(socket_options or ()), *KEEP_ALIVE]
        connected = await self._inner.connect_tcp(host, port, timeout, local_address, options)
        return AsyncConnection(connected)

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        connected = await self._inner.connect_unix_socket(path, timeout, socket_options)
        return AsyncConnection(connected)

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class AsyncConnection(httpcore.AsyncNetworkStream):
    """A watched connection of the asynchronous face."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self.watch = Watch()
        self._inner = inner
        self._early = b""  # arrived while a request was being sent

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._early:
            data, self._early = self._early[:max_bytes], self._early[max_bytes:]
            return self.watch.received(data)
        try:
            data = await self._inner.read(max_bytes, timeout)
        except httpcore.ReadError as error:
            raise self.watch.failure(error) from None
        return self.watch.received(data)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.watch.sending(buffer)
        if len(buffer) <= LARGE_REQUEST_BYTES or self.watch.is_http2:
            await self._inner.write(buffer, timeout)
            return
        # asyncio discards what it has not read when sending fails, so it reads at the same time.
        reading = asyncio.ensure_future(self._inner.read(_READ_BYTES))
        writing = asyncio.ensure_future(self._inner.write(buffer, timeout))
        try:
            await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
            if reading.done() and not reading.exception() and _REFUSAL.match(reading.result()):
                raise httpcore.WriteError("the server refuses the request")
            await writing
        finally:
            await _end(writing)
            self._early += await _end(reading)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        secure = await self._inner.start_tls(ssl_context, server_hostname, timeout)
        return AsyncConnection(secure)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


async def _end(task: asyncio.Future[Any]) -> bytes:
    """End `task`; return the bytes that it has read, if any."""
    if not task.done():
        await asyncio.sleep(0)  # the failure of a connection ends both tasks
        task.cancel()
    with suppress(httpcore.NetworkError, httpcore.TimeoutException, asyncio.CancelledError):
        return await task or b""
    return b""
