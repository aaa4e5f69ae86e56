"""The transport interface of both faces, and the choice between httpx and the extra `fast`.

A transport sends one request and returns the response once its headers have arrived. Retries and
chunks are left to its callers.
"""

from __future__ import annotations

import importlib.util
import select
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
)
from functools import cache
from typing import Any, Protocol, cast
from urllib.request import getproxies

import httpx

from ritellm.transports.deadlines import Deadlines
from ritellm.transports.httpx import AsyncHttpxTransport, HttpxTransport
from ritellm.types import HttpRequest


class AnyResponse(Protocol):
    """What both faces need of a response."""

    stream: Any

    @property
    def status_code(self) -> int: ...

    @property
    def headers(self) -> Any: ...

    @property
    def is_success(self) -> bool: ...

    @property
    def extensions(self) -> dict[str, Any]: ...


class AsyncResponse(AnyResponse, Protocol):
    """What the asynchronous face needs of a response."""

    async def aclose(self) -> None: ...


class SyncResponse(AnyResponse, Protocol):
    """What the synchronous face needs of a response."""

    def close(self) -> None: ...


class Transport(Protocol):
    """Sends the requests of the synchronous face."""

    def send(self, request: HttpRequest, deadlines: Deadlines) -> SyncResponse:
        """Return the response once its headers have arrived; raises one of FAILURES."""

    def when_free(self, action: Callable[[], object]) -> None:
        """Run `action`, at once unless the current thread is at work on the connections.

        The garbage collector may close a dropped stream at any moment, also at such a one.
        """

    def close(self) -> None:
        """Close all connections."""


class AsyncTransport(Protocol):
    """Sends the requests of the asynchronous face."""

    async def send(self, request: HttpRequest, deadlines: Deadlines) -> AsyncResponse:
        """Return the response once its headers have arrived; raises one of FAILURES."""

    async def aclose(self) -> None:
        """Close all connections."""


def new_async_transport(transport: httpx.AsyncBaseTransport | None) -> AsyncTransport:
    """Return the fastest transport that is installed, or httpx on the caller's `transport`."""
    # Only httpx supports proxies.
    has_all = _is_installed("httptools") and _is_installed("aiohappyeyeballs")
    if transport is None and has_all and hasattr(select, "epoll") and not getproxies():
        from ritellm.transports.fast.asynchronous import AsyncFastTransport

        return AsyncFastTransport()
    return AsyncHttpxTransport(transport)


def new_transport(transport: httpx.BaseTransport | None) -> Transport:
    """Return the fastest transport that is installed, or httpx on the caller's `transport`."""
    if transport is None and _is_installed("httptools") and not getproxies():
        from ritellm.transports.fast.blocking import FastTransport

        return FastTransport()
    return HttpxTransport(transport)


@cache
def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


class Reader(Protocol):
    """Reads a body: what has arrived, and what arrives next."""

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to take, and nothing more will arrive."""

    def take(self) -> bytes:
        """Return what has arrived since the last time, or nothing."""

    def arrival(self) -> Awaitable[bytes]:
        """Return what arrives next; nothing at the end. Call it when there is nothing to take."""

    def pour(self, sink: Callable[[bytes], bool]) -> Awaitable[bytes]:
        """Pass the body to `sink` as it arrives; done at the end, or once `sink` returns True.

        Call it when there is nothing to take.
        """

    async def aclose(self) -> None:
        """Discard the rest."""


class _Pieces:
    """Reads a body that is an iterator only."""

    ended = False

    def __init__(self, response: AsyncResponse) -> None:
        self._body = aiter(cast(AsyncIterable[bytes], response.stream))

    def take(self) -> bytes:
        return b""

    async def arrival(self) -> bytes:
        async for data in self._body:
            if data:
                return data
        self.ended = True
        return b""

    async def pour(self, sink: Callable[[bytes], bool]) -> bytes:
        while data := await self.arrival():
            if sink(data):
                break
        return b""

    async def aclose(self) -> None:
        if isinstance(self._body, AsyncGenerator):
            await self._body.aclose()


def pieces_of(response: SyncResponse) -> Iterator[bytes]:
    """Return the pieces of a body as they arrive."""
    return iter(cast(Iterable[bytes], response.stream))


def reader_of(response: AsyncResponse) -> Reader:
    """Return the most direct reader of the body of `response`."""
    direct = hasattr(response.stream, "take")
    return cast(Reader, response.stream) if direct else _Pieces(response)
