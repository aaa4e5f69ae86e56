"""Decompresses the bodies of responses, for every transport and before a recording."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeVar

import httpx

from ritellm.errors import RitellmError
from ritellm.transports.base import AnyResponse
from ritellm.transports.failures import KnownFailure
from ritellm.wire.decompression import Decompressor, decompressor, unknown_codings

R = TypeVar("R", bound=AnyResponse)


def decompressed(response: R) -> R:
    """Return `response` with a body that is not compressed; reading it raises one of FAILURES."""
    coding = response.headers.get("content-encoding")
    if coding is not None:
        if left := unknown_codings(coding):
            response.headers["content-encoding"] = ", ".join(left)
        else:
            del response.headers["content-encoding"]
        response.stream = _Decompressed(response.stream, coding)
    return response


class _Decompressed(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, inner: Any, coding: str) -> None:
        self._inner = inner
        self._coding = coding
        self._undo: Decompressor | None = None

    def __iter__(self) -> Iterator[bytes]:
        for data in self._inner:
            yield from self._pieces(data)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self._inner:
            for piece in self._pieces(data):
                yield piece

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        try:
            self._undo = self._undo or decompressor(self._coding)
            yield from self._undo.feed(data)
        except RitellmError as error:
            raise KnownFailure(error) from None

    def close(self) -> None:
        self._inner.close()

    async def aclose(self) -> None:
        await self._inner.aclose()
