"""Streams of an answer with a schema: each request for it is a further attempt of one stream.

The caller sees an answer while it arrives. If it turns out to be wrong, the stream goes on with the
next request, whose chunks carry the next `attempt`, and at its end `completion` has the valid
answer. `Asking` decides; the classes here open and close the requests.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from ritellm.calls.asking import Asking
from ritellm.calls.call import Call
from ritellm.calls.stream_facts import StreamFacts
from ritellm.chunks.run import Batch
from ritellm.rate_limits.gate import Gate, Share
from ritellm.stream import Stream
from ritellm.stream_async import AsyncStream
from ritellm.transports.base import AsyncTransport, Transport
from ritellm.types import Chunk, Completion, Discarded


class _Checked(StreamFacts):
    """The facts about all requests of a stream."""

    _asking: Asking

    @property
    def completion(self) -> Completion:
        """The completion so far; at the end that with the valid answer, and with all tokens."""
        return self._asking.answered or super().completion

    @property
    def usage(self) -> dict[str, Any] | None:
        """The tokens of all requests at the end; before it, those of the newest one."""
        answered = self._asking.answered
        return super().usage if answered is None else answered.get("usage")

    @property
    def discarded(self) -> list[Discarded]:
        """The accepted attempts that were not read to their end, over all requests."""
        own = [] if self._is_judged else self._call.discarded
        return [*self._asking.discarded, *own]

    @property
    def attempt(self) -> int:
        """The attempt number of the newest chunks, over all requests."""
        before = self._asking.attempts - (self._call.attempts if self._is_judged else 0)
        return before + super().attempt

    @property
    def attempts(self) -> int:
        """The number of requests that were sent."""
        return self._asking.attempts + (0 if self._is_judged else self._call.attempts)

    _is_judged: bool  # the newest request counts in what `_asking` has


class CheckedStream(_Checked, Stream):
    """The chunks of the requests for one answer, as they arrive."""

    def __init__(self, transport: Transport, asking: Asking) -> None:
        self._transport, self._asking = transport, asking
        self._is_closed = False
        self._open()

    def __next__(self) -> Chunk:
        while not (self._is_closed or self._is_judged):
            try:
                chunk = None if self._asking.is_lost else super().__next__()
            except StopIteration:
                chunk = None
            if chunk is not None:
                return self._asking.watched([chunk], self)[0]
            super().close()
            self._is_judged = True
            self._asking.judge(self)
            if self._asking.answered is None:
                self._open()
        raise StopIteration

    def close(self) -> None:
        """Leave the stream; no further request is sent."""
        self._is_closed = True
        super().close()

    def _open(self) -> None:
        self._is_judged = False
        super().__init__(self._transport, Call(self._asking.plan(), time.monotonic()))


class AsyncCheckedStream(_Checked, AsyncStream):
    """The chunks of the requests for one answer, as they arrive, for asyncio."""

    def __init__(
        self, transport: AsyncTransport, gate: Gate | Share | None, asking: Asking
    ) -> None:
        self._transport, self._gate, self._asking = transport, gate, asking
        self._is_closed = False
        self._begin()

    async def read(self) -> Completion:
        """Return the whole completion."""
        while await self.batch():
            pass
        return self.completion

    async def batch(self) -> Batch:
        """Return the next chunks; none at the end."""
        while not (self._is_closed or self._is_judged):
            if not self._asking.is_lost and (chunks := await super().batch()):
                return self._asking.watched(chunks, self)
            await super().aclose()
            self._is_judged = True
            self._asking.judge(self)
            if self._asking.answered is None:
                self._begin()
                await self.open()
        return []

    async def aclose(self) -> None:
        """Leave the stream; no further request is sent."""
        self._is_closed = True
        await super().aclose()

    def _begin(self) -> None:
        self._is_judged = False
        call = Call(self._asking.plan(), asyncio.get_running_loop().time(), self._gate)
        super().__init__(self._transport, call)
