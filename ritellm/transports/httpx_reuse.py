"""Decides whether a connection of httpx may serve another request.

A connection is closed after its response if

- more bytes arrived than the response has: they would become the response to the next request;
- the response could be read in two ways, so that its end is uncertain;
- it is a refusal, and so was the one before (see `refusals`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from typing import Any
from weakref import WeakKeyDictionary

import httpx

from ritellm.transports.refusals import MOST_REFUSALS, is_refusal

# From a response of httpx to the h11 connection that parses it.
_PATH_TO_H11 = ("_stream", "_httpcore_stream", "_stream", "_connection", "_h11_state")


class Reuse:
    """Watches the responses of a client."""

    def __init__(self) -> None:
        # Refusals in a row, by httpcore's network stream, which lives as long as the connection.
        self._refusals: MutableMapping[Any, int] = WeakKeyDictionary()

    def note(self, response: httpx.Response) -> None:
        """Take note of a response whose headers have arrived; its body has not been read."""
        network = response.extensions.get("network_stream")
        # An HTTP/2 connection carries other responses at the same time.
        if network is None or response.http_version == "HTTP/2":
            return
        is_last = self._is_refused_again(network, response.status_code) or _is_ambiguous(response)
        h11 = _h11_of(response)
        must_close = (lambda: True) if is_last or h11 is None else (lambda: _has_more(h11))
        kind = _Last if isinstance(response.stream, httpx.SyncByteStream) else _AsyncLast
        response.stream = kind(response.stream, network, must_close)

    def _is_refused_again(self, network: Any, status: int) -> bool:
        if not is_refusal(status):
            self._refusals.pop(network, None)
            return False
        self._refusals[network] = self._refusals.get(network, 0) + 1
        return self._refusals[network] >= MOST_REFUSALS


def _is_ambiguous(response: httpx.Response) -> bool:
    headers, watch = response.headers, getattr(response.extensions["network_stream"], "watch", None)
    lengths = headers.get_list("content-length", split_commas=True)
    return (
        len(lengths) > 1
        or ("transfer-encoding" in headers and bool(lengths))
        or (watch is not None and not watch.is_plain)
    )


def _h11_of(response: httpx.Response) -> Any:
    """Return the h11 connection behind `response`, or None if this httpx has another structure."""
    found: Any = response.stream
    for name in _PATH_TO_H11:
        found = getattr(found, name, None)
    return found if hasattr(found, "trailing_data") else None


def _has_more(h11: Any) -> bool:
    data, _ = h11.trailing_data
    return bool(data)


class _Last(httpx.SyncByteStream):
    """A body whose end may be the end of its connection."""

    def __init__(self, body: Any, network: Any, must_close: Callable[[], bool]) -> None:
        self._body = body
        self._network = network
        self._must_close = must_close

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        # First the connection: once the body is closed, another request may take the connection.
        try:
            if self._must_close():
                self._network.close()
        finally:
            self._body.close()


class _AsyncLast(httpx.AsyncByteStream):
    """The same for the asynchronous face."""

    def __init__(self, body: Any, network: Any, must_close: Callable[[], bool]) -> None:
        self._body = body
        self._network = network
        self._must_close = must_close

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._body)

    async def aclose(self) -> None:
        try:
            if self._must_close():
                await self._network.aclose()
        finally:
            await self._body.aclose()
