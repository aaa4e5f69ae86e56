"""The asynchronous face: a transport moves the bytes, the call decides. asyncio only."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, overload

import httpx

from ritellm.calls.call import Call
from ritellm.calls.exchange import Exchange
from ritellm.calls.plan import Draft, Plan
from ritellm.calls.prepare import draft
from ritellm.calls.stream_facts import StreamFacts
from ritellm.chunks.run import Batch
from ritellm.endpoints import Endpoint
from ritellm.errors import RitellmError
from ritellm.instrumentation.logs import observed
from ritellm.providers import locate
from ritellm.rate_limits.gate import Gate, Passage
from ritellm.transports.base import AsyncHttp, AsyncResponse, Reader, new_async_http, reader_of
from ritellm.transports.httpx import DRAIN_BYTES, DRAIN_SECONDS, FAILURES, as_ritellm_error
from ritellm.transports.send import acancel, asend
from ritellm.transports.watchdog import Watchdog
from ritellm.types import Chunk, Completion

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ritellm.calls.params import CompletionParams

Between = Callable[[], AbstractAsyncContextManager[Any]]


class AsyncClient:
    """Asks language models from one event loop; keeps its connections for the next call.

    `defaults` are parameters of `completion` that hold for every call, such as `api_key`,
    `base_url` or `timeout`. Every attempt waits for its turn at the `gate`, if there is one.
    `transport` replaces the network, for tests.
    """

    gate: Gate | None

    def __init__(
        self,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        gate: Gate | None = None,
        **defaults: Unpack[CompletionParams],
    ) -> None:
        self._defaults = defaults
        self.gate = gate
        self._http = new_async_http(transport)

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
        return await self.ask(self.draft(model, stream=stream, **params).plan(messages))

    def draft(
        self, model: str, *, stream: bool = False, **params: Unpack[CompletionParams]
    ) -> Draft:
        """Return what many completions have in common: `ask(draft.plan(messages))` is one of them.

        The parameters are those of `completion`. Raises InvalidRequestError.
        """
        merged: CompletionParams = {**self._defaults, **params}
        return draft(model, os.environ, stream=stream, **merged)

    async def ask(self, plan: Plan, *, watched: bool = True) -> Completion | AsyncStream:
        """Return what `completion` returns, for `plan`.

        Of a stream that is not `watched` no chunks are made, and it is read less often: for those
        who want the whole answer only, and how it came about.
        """
        opened = await self.stream(plan, watched=watched).open()
        return opened if plan.request.stream else await opened.read()

    def stream(
        self, plan: Plan, *, watched: bool = True, between: Between = nullcontext
    ) -> AsyncStream:
        """Return the stream for `plan`; nothing is sent before its `open`.

        It waits within `between()` from one attempt to the next: for those who count what is in
        flight.
        """
        return AsyncStream(self._http, self._call(plan, watched), between)

    def _call(self, plan: Plan, watched: bool) -> Call:
        return Call(plan, asyncio.get_running_loop().time(), self.gate, watched)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncStream(StreamFacts, AsyncIterator[Chunk]):
    """The chunks of one answer as they come. Leaving it early closes the connection."""

    def __init__(self, http: AsyncHttp, call: Call, between: Between = nullcontext) -> None:
        self._call = call
        self._attempts = _attempts(
            http, call, between
        )  # holds no `self`: a dropped stream closes at once
        self._attempt: _Attempt | None = None
        self._chunks = iter(list[Chunk]())

    async def open(self) -> AsyncStream:
        """Return this stream once the provider has accepted the request; a refusal is raised."""
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
        """Return the whole answer, once it is there."""
        self._call.watched = self._call.current.watched = False
        while await self.batch():
            pass
        return self.completion

    async def batch(self) -> Batch:
        """Return the next chunks, those that came off the network together; none at the end.

        Where they are not watched there are none, and this is the end.
        """
        if left := list(self._chunks):
            return left
        while True:
            if self._attempt is not None:
                try:
                    chunks = await self._attempt.batch()
                except BaseException as error:
                    await self._attempts.athrow(error)  # which cleans up, and raises it again
                    raise
                if chunks:
                    return chunks
                self._attempt = None
            try:
                self._attempt = await self._attempts.__anext__()
            except StopAsyncIteration:
                return []

    async def aclose(self) -> None:
        """Stop here: the provider sees the connection go."""
        self._attempt = None
        await self._attempts.aclose()
        self._chunks = iter(())

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


async def _attempts(
    http: AsyncHttp, call: Call, between: Between
) -> AsyncGenerator[_Attempt, None]:
    """Yield each attempt that was accepted; who takes it reads it to its end, then comes back."""
    now = asyncio.get_running_loop().time
    with observed(call):
        try:
            while True:
                endpoint = await _locate(call)
                passage = await _admitted(call, endpoint)
                exchange = call.start(endpoint, now())
                attempt = _Attempt(http, call, exchange, passage)
                try:
                    if await attempt.open():
                        yield attempt
                finally:
                    await attempt.close()
                if exchange.error is None:
                    call.finish(now())
                    return
                delay = call.retry_delay(now(), random.random())
                async with between():
                    await _rest(call, passage, delay)
        except BaseException:
            await acancel(http, call)
            raise


class _Attempt:
    """One attempt: sent, then read batch by batch. Each chunk passes through here."""

    def __init__(
        self, http: AsyncHttp, call: Call, exchange: Exchange, passage: Passage | None
    ) -> None:
        self._http = http
        self._call = call
        self._exchange = exchange
        self._passage = passage
        self._watchdog = Watchdog(call)
        self._now = asyncio.get_running_loop().time
        self._response: AsyncResponse | None = None
        self._body: Reader | None = None
        self._away_since: float | None = None  # the caller has what has come, and is at work
        self._over = False

    async def open(self) -> bool:
        """Return whether the provider has accepted the request; a refusal is in the exchange."""
        try:
            self._watchdog.watch()
            self._response = response = await asend(self._http, self._call)
            self._watchdog.task = None
            self._exchange.receive_response(response.status_code, response.headers)
            self._body = reader_of(response)
        except (*FAILURES, asyncio.CancelledError) as error:
            self._fail(error)
            return False
        if not response.is_success:
            await self.batch()  # no chunks: what it says is the error
            return False
        if self._passage is not None:
            self._passage.answered(response.headers)
        self._away_since = self._now()
        return True

    async def batch(self) -> Batch:
        """Return the chunks that came next, together; none at the end, whatever it is."""
        call, exchange, body, now = self._call, self._exchange, self._body, self._now
        assert body is not None
        if self._away_since is not None:  # at work with what had come: no delay of the provider's
            call.excuse(now() - self._away_since)
        try:
            if not (exchange.watched or exchange.over):
                await self._read_through(body)
                return await self._end()
            while not exchange.over:
                data = body.take()
                if not data:
                    self._watchdog.watch()
                    data = await body.arrival()
                    self._watchdog.task = None
                    if not data:
                        break
                self._away_since = arrived = now()
                if chunks := call.receive_data(data, arrived):
                    return chunks
            return await self._end()
        except (*FAILURES, asyncio.CancelledError) as error:
            exchange.over = self._over = True
            self._fail(error)
        return []

    async def _read_through(self, body: Reader) -> None:
        """Return at the end of the body, or of the answer; nobody wants what comes until then."""
        data = body.take()
        if data and self._receive(data):
            return
        self._watchdog.watch()
        await body.pour(self._receive)
        self._watchdog.task = None

    def _receive(self, data: bytes) -> bool:
        """Take a piece of the body; return whether the answer is over."""
        self._call.receive_data(data, self._now())
        self._watchdog.heed_progress()
        return self._exchange.over

    async def close(self) -> None:
        """Give back what is held."""
        self._watchdog.stop()
        try:
            if self._body is not None:
                await self._body.aclose()
            if self._response is not None:
                await self._response.aclose()
        finally:
            if self._passage is not None:
                self._leave(self._passage)

    def _leave(self, passage: Passage) -> None:
        exchange, response = self._exchange, self._response
        headers = {} if response is None else response.headers
        first = self._call.timing.first_content
        passage.over(exchange.error, exchange.sum.usage, first, headers)

    async def _end(self) -> Batch:
        """Return the chunks that the end of the body completes, once; then read what is left."""
        self._exchange.over = True
        if not self._over:
            self._over = True
            if chunks := self._call.receive_eof(self._now()):
                return chunks
        await self._drain()
        return []

    async def _drain(self) -> None:
        """Read what is left behind the terminator, so that the connection can be used again."""
        body, left = self._body, DRAIN_BYTES
        assert body is not None
        if not body.ended:
            self._watchdog.drain(DRAIN_SECONDS)
        while not body.ended and left > 0:
            left -= len(body.take() or await body.arrival())
        self._watchdog.task = None

    def _fail(self, error: BaseException) -> None:
        """Tell the exchange what broke it; raises a cancellation that is not the watchdog's."""
        watchdog = self._watchdog
        if not isinstance(error, asyncio.CancelledError):
            assert isinstance(error, Exception)
            self._exchange.receive_failure(as_ritellm_error(error, self._call))
        elif watchdog.fired is None or watchdog.uncancel():
            raise error
        elif watchdog.fired != "drain":
            self._exchange.receive_failure(self._call.timed_out(watchdog.fired))


async def _rest(call: Call, passage: Passage | None, delay: float) -> None:
    """Wait before the next attempt: as long as it takes to know that the provider is well."""
    if passage is None:
        await asyncio.sleep(delay)
    else:
        least, most = call.shortest_rest(delay), call.longest_rest(delay)
        call.rested(await passage.rest(least, most))


async def _admitted(call: Call, endpoint: Endpoint) -> Passage | None:
    """Return leave to send, once it is this attempt's turn; there is no line without a gate."""
    if call.gate is None:
        return None
    now = asyncio.get_running_loop().time
    arrived = now()
    request = call.plan.request
    try:
        passage = await call.gate.lane(endpoint, request.model).enter(request, call.attempts > 0)
    except RitellmError as error:
        error.attempts, error.discarded = call.attempts, tuple(call.discarded)
        raise
    call.excuse_wait(now() - arrived)
    return passage


async def _locate(call: Call) -> Endpoint:
    """Return where to ask; a server that must be started first starts beside the event loop."""
    endpoint, model = call.plan.endpoint, call.plan.request.model
    if endpoint.base_url:
        return endpoint
    return await asyncio.to_thread(locate, endpoint, model)
