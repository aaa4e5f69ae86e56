"""The response that the asynchronous transport returns, and its body: extra `fast`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import httpx

from ritellm.transports.fast.delivery import Delivery
from ritellm.transports.fast.http11 import ResponseHead


class Response(ResponseHead):
    """A response whose `aclose` releases the connection."""

    __slots__ = ()

    async def aclose(self) -> None:
        """Return the connection to the pool, or close it if the body has not ended."""
        await self.stream.aclose()


class Body(httpx.AsyncByteStream):
    """The body of a response, as it arrives."""

    def __init__(self, delivery: Delivery, release: Callable[[], object]) -> None:
        # Methods of the delivery itself, since a wrapper would cost a call per chunk.
        self.take = delivery.take
        self.arrival = delivery.arrival
        self.pour = delivery.pour
        self._delivery = delivery
        self._release: Callable[[], object] | None = release

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to take, and nothing more will arrive."""
        return self._delivery.exhausted

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := self.take() or await self.arrival():
            yield data

    async def aclose(self) -> None:
        """Return the connection to the pool if all was read, else close it."""
        if self._release is not None:
            self._release()
            self._release = None
