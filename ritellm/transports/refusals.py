"""When a connection is closed because its requests are refused.

A load balancer may have tied a connection to one replica of many, and that replica may be full. A
refusal is quicker than a response, so the refusing connection would be free most often and draw
all requests. A new connection may reach another replica.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, MutableMapping
from typing import Any
from weakref import WeakKeyDictionary

import httpx

# A connection is not used again after this many refusals in a row.
MOST_REFUSALS = 2


def is_refusal(status: int) -> bool:
    """Whether another replica might have accepted the request."""
    return status == 429 or status >= 500


class RefusalCounter:
    """Counts the refusals in a row of each connection of httpx, and closes the connection."""

    def __init__(self) -> None:
        # By httpcore's network stream, which lives as long as the connection.
        self._refusals: MutableMapping[Any, int] = WeakKeyDictionary()

    def note(self, response: httpx.Response) -> None:
        """Take note of a response whose headers have arrived; its body has not been read."""
        network = response.extensions.get("network_stream")
        # An HTTP/2 connection carries other responses at the same time.
        if network is None or response.http_version != "HTTP/1.1":
            return
        if not is_refusal(response.status_code):
            self._refusals.pop(network, None)
            return
        self._refusals[network] = self._refusals.get(network, 0) + 1
        if self._refusals[network] >= MOST_REFUSALS:
            kind = _Last if isinstance(response.stream, httpx.SyncByteStream) else _AsyncLast
            response.stream = kind(response.stream, network)


class _Last(httpx.SyncByteStream):
    """A body whose end is the end of its connection."""

    def __init__(self, body: Any, network: Any) -> None:
        self._body = body
        self._network = network

    def __iter__(self) -> Iterator[bytes]:
        yield from self._body

    def close(self) -> None:
        # First the connection: once the body is closed, another request may take the connection.
        try:
            self._network.close()
        finally:
            self._body.close()


class _AsyncLast(httpx.AsyncByteStream):
    """The same for the asynchronous face."""

    def __init__(self, body: Any, network: Any) -> None:
        self._body = body
        self._network = network

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._body:
            yield piece

    async def aclose(self) -> None:
        try:
            await self._network.aclose()
        finally:
            await self._body.aclose()
