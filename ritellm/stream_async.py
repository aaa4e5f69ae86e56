"""The chunks of a completion as they arrive, for asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import nullcontext

from ritellm.calls.call import Call
from ritellm.calls.stream_facts import StreamFacts
from ritellm.chunks.run import Batch
from ritellm.errors import RitellmError
from ritellm.transports.attempt import Attempt
from ritellm.transports.base import AsyncTransport
from ritellm.transports.retry_loop import Between, attempts
from ritellm.types import Chunk, Completion


class AsyncStream(StreamFacts, AsyncIterator[Chunk]):
    """The chunks of one completion as they arrive. Leaving it early closes the connection."""

    def __init__(
        self, transport: AsyncTransport, call: Call, between: Between = nullcontext
    ) -> None:
        self._call = call
        # Without a reference to `self`, so that a dropped stream closes at once.
        self._attempts = attempts(transport, call, between)
        self._attempt: Attempt | None = None
        self._chunks = iter(list[Chunk]())
        self._is_cut = False  # a wait was cancelled, so the rest of the answer is lost

    async def open(self) -> AsyncStream:
        """Return this stream once the provider has accepted the request; raises its refusal."""
        self._attempt = await self._attempts.__anext__()
        return self

    async def __anext__(self) -> Chunk:
        while True:
            for chunk in self._chunks:
                return chunk
            batch = await self.batch()
            if not batch:
                raise StopAsyncIteration
            self._chunks = iter(batch)

    async def read(self) -> Completion:
        """Return the whole completion."""
        self._call.discard_chunks()
        while await self.batch():
            pass
        return self.completion

    async def batch(self) -> Batch:
        """Return the next chunks, those of one read from the network together; none at the end.

        A stream that emits no chunks returns at its end. After a cancelled wait, this raises
        StreamTruncatedError.
        """
        if left := list(self._chunks):
            return left
        if self._is_cut:
            raise self._interrupted()
        try:
            return await self._next_batch()
        except RitellmError:
            raise
        except BaseException:
            self._is_cut = True
            raise

    async def _next_batch(self) -> Batch:
        while True:
            if self._attempt is not None:
                try:
                    chunks = await self._attempt.batch()
                except BaseException as error:
                    await self._attempts.athrow(error)  # cleans up, and raises it again
                    raise
                if chunks:
                    return chunks
                self._attempt = None
            try:
                self._attempt = await self._attempts.__anext__()
            except StopAsyncIteration:
                return []

    async def aclose(self) -> None:
        """Leave the stream; the connection is closed unless the stream has ended."""
        self._attempt = None
        await self._attempts.aclose()
        self._chunks = iter(())

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
