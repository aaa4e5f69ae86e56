"""What moves the bytes of either face: httpx, or the extra `fast`, by one interface."""

from __future__ import annotations

import importlib.util
import select
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
)
from functools import cache
from typing import Any, Protocol, cast
from urllib.request import getproxies

import httpx

from ritellm.calls.call import Call
from ritellm.transports.httpx import LIMITS, build_request, new_client
from ritellm.types import HttpRequest


class AnyResponse(Protocol):
    """What either face needs of a response, whoever brings it."""

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


class SyncHttp(Protocol):
    """What moves the bytes of the synchronous face."""

    def send(self, ask: HttpRequest, call: Call, read: float) -> SyncResponse:
        """Return the response once its headers are here; raises one of FAILURES.

        A plain number is the limit of each step; a ReadDeadline knows them all.
        """

    def close(self) -> None:
        """Close all connections."""


class AsyncHttp(Protocol):
    """What moves the bytes of the asynchronous face."""

    async def send(self, ask: HttpRequest, call: Call) -> AsyncResponse:
        """Return the response once its headers are here; raises one of FAILURES."""

    async def aclose(self) -> None:
        """Close all connections."""


class HttpxHttp:
    """httpx, on its own transport or on the caller's."""

    def __init__(self, transport: httpx.BaseTransport | None) -> None:
        self._client = new_client(transport)

    def send(self, ask: HttpRequest, call: Call, read: float) -> httpx.Response:
        """Return the response once its headers are here."""
        return self._client.send(build_request(self._client, ask, read, call), stream=True)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


class AsyncHttpxHttp:
    """httpx for the asynchronous face."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None) -> None:
        self._client = httpx.AsyncClient(transport=transport, limits=LIMITS)

    async def send(self, ask: HttpRequest, call: Call) -> AsyncResponse:
        """Return the response once its headers are here."""
        return await self._client.send(build_request(self._client, ask, None, call), stream=True)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()


def new_async_http(transport: httpx.AsyncBaseTransport | None) -> AsyncHttp:
    """Return the fastest way there is, or the caller's `transport`; deadlines are the face's."""
    # A proxy is httpx's business.
    has_all = _is_installed("httptools") and _is_installed("aiohappyeyeballs")
    if transport is None and has_all and hasattr(select, "epoll") and not getproxies():
        from ritellm.transports.fast.pool import FastHttp

        return FastHttp()
    return AsyncHttpxHttp(transport)


def new_http(transport: httpx.BaseTransport | None) -> SyncHttp:
    """Return the fastest way there is, or the caller's `transport`."""
    if transport is None and _is_installed("httptools") and not getproxies():
        from ritellm.transports.fast.blocking import BlockingHttp

        return BlockingHttp()
    return HttpxHttp(transport)


@cache
def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


class Reader(Protocol):
    """What has come of a body, and when more does."""

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to take, and nothing will come."""

    def take(self) -> bytes:
        """Return what has come since the last time, or nothing."""

    def arrival(self) -> Awaitable[bytes]:
        """Return what comes next; nothing at the end. Only while there is nothing to take."""

    def pour(self, sink: Callable[[bytes], bool]) -> Awaitable[bytes]:
        """Give `sink` what comes as it comes; done at the end, or once that is True.

        Only while there is nothing to take.
        """

    async def aclose(self) -> None:
        """Leave the rest."""


class _Pieces:
    """The pieces of a body as httpx brings them, decompressed if need be."""

    ended = False

    def __init__(self, response: AsyncResponse) -> None:
        self._body: AsyncIterator[bytes] = _body_of(response)

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


def _body_of(response: AsyncResponse) -> AsyncIterator[bytes]:
    """Return the pieces; httpx's own iterators are four generators deep, and needed for few."""
    if "content-encoding" not in response.headers:
        return aiter(cast(AsyncIterable[bytes], response.stream))
    return _httpx_response(response).aiter_bytes()


def pieces_of(response: SyncResponse) -> Iterator[bytes]:
    """Return the pieces of a body as they come off the network, decompressed if need be."""
    if "content-encoding" not in response.headers:
        return iter(cast(Iterable[bytes], response.stream))
    return _httpx_response(response).iter_bytes()


def _httpx_response(response: AnyResponse) -> httpx.Response:
    """Return the same for httpx, which knows the encodings."""
    if isinstance(response, httpx.Response):
        return response
    headers = response.headers.multi_items()
    return httpx.Response(response.status_code, headers=headers, stream=response.stream)


def reader_of(response: AsyncResponse) -> Reader:
    """Return what reads the body of `response`, in the fewest steps."""
    direct = hasattr(response.stream, "take")
    if not direct or "content-encoding" in response.headers:
        return _Pieces(response)
    return cast(Reader, response.stream)
