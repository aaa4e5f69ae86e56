"""The asynchronous client, for asyncio: `AsyncClient`, which opens streams."""

from __future__ import annotations

import asyncio
import os
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal, overload

import httpx

from ritellm.calls.asking import Asking
from ritellm.calls.call import Call
from ritellm.calls.plan import Draft, Plan
from ritellm.calls.prepare import draft
from ritellm.checked_streams import AsyncCheckedStream
from ritellm.rate_limits.gate import Gate, Share
from ritellm.stream_async import AsyncStream
from ritellm.transports.base import new_async_transport
from ritellm.transports.retry_loop import Between
from ritellm.types import Completion

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
