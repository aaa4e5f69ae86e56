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
    """Reads a body by httpx's iterators, which decompress it if necessary."""

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
    """Return the pieces. httpx's own iterators, four generators deep, serve compression only."""
    if "content-encoding" not in response.headers:
        return aiter(cast(AsyncIterable[bytes], response.stream))
    return _httpx_response(response).aiter_bytes()


def pieces_of(response: SyncResponse) -> Iterator[bytes]:
    """Return the pieces of a body as they arrive, decompressed if necessary."""
    if "content-encoding" not in response.headers:
        return iter(cast(Iterable[bytes], response.stream))
    return _httpx_response(response).iter_bytes()


def _httpx_response(response: AnyResponse) -> httpx.Response:
    """Return a response of httpx with the same body, which can decompress it."""
    headers = [
        (name, ", ".join(_codings(value)) if name.lower() == _CODING else value)
        for name, value in response.headers.multi_items()
    ]
    return httpx.Response(response.status_code, headers=headers, stream=response.stream)


_CODING = "content-encoding"


def _codings(value: str) -> list[str]:
    """Return the names in a content-encoding; `x-gzip` is an old name of gzip (RFC 9110, 8.4.1)."""
    return [name.strip().lower().removeprefix("x-") for name in value.split(",") if name.strip()]


class DecodedBody(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of a response without its compression; `is_known` says if it can be removed."""

    def __init__(self, response: AnyResponse) -> None:
        self._stream = response.stream
        self._response: Any = _httpx_response(response)
        codings = _codings(response.headers.get(_CODING, ""))
        self.is_known = all(map(_can_decode, codings))

    def __iter__(self) -> Iterator[bytes]:
        return pieces_of(self._response)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _body_of(self._response)

    def close(self) -> None:
        """Close the body."""
        self._stream.close()

    async def aclose(self) -> None:
        """Close the body."""
        await self._stream.aclose()


@cache
def _can_decode(coding: str) -> bool:
    """Return whether httpx can undo `coding`: it ignores one whose package is not installed."""
    packages = {"br": ("brotli", "brotlicffi"), "zstd": ("zstandard",)}.get(coding)
    if packages is None:
        return coding in ("identity", "gzip", "deflate")
    return any(map(_is_installed, packages))


def reader_of(response: AsyncResponse) -> Reader:
    """Return the most direct reader of the body of `response`."""
    direct = hasattr(response.stream, "take")
    if not direct or "content-encoding" in response.headers:
        return _Pieces(response)
    return cast(Reader, response.stream)
