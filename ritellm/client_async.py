"""The asynchronous client, for asyncio: `AsyncClient` and the streams that it opens."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal, overload

import httpx

from ritellm.calls.asking import Asking
from ritellm.calls.call import Call
from ritellm.calls.plan import Draft, Plan
from ritellm.calls.prepare import draft
from ritellm.calls.stream_facts import StreamFacts
from ritellm.chunks.run import Batch
from ritellm.errors import RitellmError
from ritellm.rate_limits.gate import Gate, Share
from ritellm.transports.attempt import Attempt
from ritellm.transports.base import AsyncTransport, new_async_transport
from ritellm.transports.retry_loop import Between, attempts
from ritellm.types import Chunk, Completion

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ritellm.calls.params import CompletionParams


class AsyncClient:
    """Requests completions from one event loop; keeps its connections for the next call.

    `defaults` are parameters of `completion` that hold for every call, such as `api_key`,
    `base_url` or `timeout`. A `gate` decides when each attempt may be sent. `transport` replaces
    the network, for tests.
    """

    gate: Gate | Share | None

    def __init__(
        self,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        gate: Gate | Share | None = None,
        **defaults: Unpack[CompletionParams],
    ) -> None:
        self._defaults = defaults
        self.gate = gate
        self._http = new_async_transport(transport)

    @overload
    async def completion(
        self,
        model: str,
        messages: Any,
        *,
        stream: Literal[True],
        **params: Unpack[CompletionParams],
    ) -> AsyncStream: ...

    @overload
    async def completion(
        self,
        model: str,
        messages: Any,
        *,
        stream: Literal[False] = False,
        **params: Unpack[CompletionParams],
    ) -> Completion: ...

    @overload
    async def completion(
        self, model: str, messages: Any, *, stream: bool, **params: Unpack[CompletionParams]
    ) -> Completion | AsyncStream: ...

    async def completion(
        self, model: str, messages: Any, *, stream: bool = False, **params: Unpack[CompletionParams]
    ) -> Completion | AsyncStream:
        """Return the whole completion, or an open stream of its chunks if `stream`.

        `model` is "provider/model"; `ritellm.calls.params` lists the parameters, OpenAI's among
        them. Raises a RitellmError.
        """
        draft = self.draft(model, stream=stream, **params)
        if draft.blank.wanted is not None:
            checked = await self._checked(model, messages, params).open()
            return checked if stream else await checked.read()
        plan = draft.plan(messages)
        return await self.open(plan) if plan.request.stream else await self.complete(plan)

    def _checked(self, model: str, messages: Any, params: CompletionParams) -> AsyncStream:
        """Return the stream of an answer that is checked, and asked for again if it is not valid.

        It is read as it arrives, also for a whole completion: a wrong answer is left early.
        """
        from ritellm.checked_streams import AsyncCheckedStream

        draft = self.draft(model, stream=True, **params)
        return AsyncCheckedStream(self._http, self.gate, Asking(draft, messages))

    def draft(
        self, model: str, *, stream: bool = False, **params: Unpack[CompletionParams]
    ) -> Draft:
        """Return what many completions have in common: `draft.plan(messages)` makes one of them.

        `open` and `complete` take such a plan. The parameters are those of `completion`. Raises
        InvalidRequestError.
        """
        merged: CompletionParams = {**self._defaults, **params}
        return draft(model, os.environ, stream=stream, **merged)

    async def complete(self, plan: Plan) -> Completion:
        """Return the whole completion for `plan`."""
        return await (await self.open(plan, emit_chunks=False)).read()

    async def open(self, plan: Plan, *, emit_chunks: bool = True) -> AsyncStream:
        """Return the stream for `plan` once the provider has accepted the request.

        Without `emit_chunks` the stream makes no chunks and reads its socket less often: only the
        whole completion and the facts about the stream are of use.
        """
        return await self.stream(plan, emit_chunks=emit_chunks).open()

    def stream(
        self, plan: Plan, *, emit_chunks: bool = True, between: Between = nullcontext
    ) -> AsyncStream:
        """Return the stream for `plan`; its `open` sends the request.

        The stream rests within `between()` from one attempt to the next, so that a caller can count
        the requests in flight.
        """
        return AsyncStream(self._http, self._call(plan, emit_chunks), between)

    def _call(self, plan: Plan, emit_chunks: bool) -> Call:
        return Call(plan, asyncio.get_running_loop().time(), self.gate, emit_chunks)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


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
