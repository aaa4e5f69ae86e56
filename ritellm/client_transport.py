"""What moves the bytes of the asynchronous face: httpx, or the extra `fast`, by one interface."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from functools import cache
from typing import Any, Protocol, cast
from urllib.request import getproxies

import httpx

from ritellm.call import Call
from ritellm.client_httpx import LIMITS, build_request
from ritellm.types import HttpRequest


class AsyncResponse(Protocol):
    """What the asynchronous face needs of a response, whoever brings it."""

    stream: Any

    @property
    def status_code(self) -> int: ...

    @property
    def headers(self) -> Any: ...

    @property
    def is_success(self) -> bool: ...

    @property
    def extensions(self) -> dict[str, Any]: ...

    async def aclose(self) -> None: ...


class AsyncHttp(Protocol):
    """What moves the bytes of the asynchronous face."""

    async def send(self, ask: HttpRequest, call: Call) -> AsyncResponse:
        """Return the response once its headers are here; raises one of FAILURES."""

    async def aclose(self) -> None:
        """Close all connections."""


class HttpxHttp:
    """httpx, on its own transport or on the caller's."""

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
    if transport is None and _is_fast_installed() and not getproxies():
        from ritellm.client_fast import FastHttp

        return FastHttp()
    return HttpxHttp(transport)


@cache
def _is_fast_installed() -> bool:
    return all(map(importlib.util.find_spec, ("httptools", "aiohappyeyeballs")))


class Reader:
    """The pieces of a body as they come off the network, decompressed if need be."""

    ended = False  # whether there is nothing left to read, as far as is known

    def __init__(self, response: AsyncResponse) -> None:
        self._body: AsyncIterator[bytes] = _body_of(response)

    async def read(self) -> bytes:
        """Return the next piece, or nothing at the end."""
        async for data in self._body:
            if data:
                return data
        return b""

    async def aclose(self) -> None:
        """Leave the rest."""
        if isinstance(self._body, AsyncGenerator):
            await self._body.aclose()


def _body_of(response: AsyncResponse) -> AsyncIterator[bytes]:
    """Return the pieces; httpx's own iterators are four generators deep, and needed for few."""
    if "content-encoding" not in response.headers:
        return aiter(cast(AsyncIterable[bytes], response.stream))
    if not isinstance(response, httpx.Response):
        headers = response.headers.multi_items()
        response = httpx.Response(response.status_code, headers=headers, stream=response.stream)
    return response.aiter_bytes()


def reader_of(response: AsyncResponse) -> Reader:
    """Return what reads the body of `response`, in the fewest steps."""
    direct = getattr(response.stream, "read", None)
    if direct is None or "content-encoding" in response.headers:
        return Reader(response)
    return cast(Reader, response.stream)
