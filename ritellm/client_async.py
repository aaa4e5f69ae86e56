"""The asynchronous face: a transport moves the bytes, the call decides. asyncio only."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Literal, overload

import httpx

from ritellm.call import Call, Plan, StreamFacts
from ritellm.client_httpx import (
    DRAIN_BYTES,
    DRAIN_SECONDS,
    FAILURES,
    as_ritellm_error,
)
from ritellm.client_transport import AsyncHttp, Reader, new_async_http, reader_of
from ritellm.client_wire import acancelled_if_left, asend
from ritellm.draft import Draft
from ritellm.errors import RitellmError
from ritellm.exchange import Exchange
from ritellm.gate import Gate, Passage
from ritellm.observing import observed
from ritellm.prepare import draft
from ritellm.providers import locate
from ritellm.types import Chunk, Completion, Endpoint
from ritellm.watchdog import Watchdog


class AsyncClient:
    """Asks language models from one event loop; keeps its connections for the next call.

    `defaults` are arguments of `completion` that hold for every call, such as `api_key`,
    `base_url` or `timeout`. Every attempt waits for its turn at the `gate`, if there is one.
    `transport` replaces the network, for tests.
    """

    gate: Gate | None

    def __init__(
        self,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        gate: Gate | None = None,
        **defaults: Any,
    ) -> None:
        self._defaults = defaults
        self.gate = gate
        self._http = new_async_http(transport)

    @overload
    async def completion(
        self, model: str, messages: Any, *, stream: Literal[True], **arguments: Any
    ) -> AsyncStream: ...

    @overload
    async def completion(
        self, model: str, messages: Any, *, stream: Literal[False] = False, **arguments: Any
    ) -> Completion: ...

    @overload
    async def completion(
        self, model: str, messages: Any, *, stream: bool, **arguments: Any
    ) -> Completion | AsyncStream: ...

    async def completion(
        self, model: str, messages: Any, *, stream: bool = False, **arguments: Any
    ) -> Completion | AsyncStream:
        """Return the whole answer, or an open stream of its chunks if `stream`.

        `model` is "provider/model"; arguments are OpenAI's chat parameters by their names, and
        those of `ritellm.prepare.plan`. Raises a RitellmError.
        """
        return await self.ask(self.draft(model, stream=stream, **arguments).plan(messages))

    def draft(self, model: str, *, stream: bool = False, **arguments: Any) -> Draft:
        """Return what many completions have in common: `ask(draft.plan(messages))` is one of them.

        The arguments are those of `completion`; raises InvalidRequestError.
        """
        return draft(model, os.environ, stream=stream, **{**self._defaults, **arguments})

    async def ask(self, plan: Plan) -> Completion | AsyncStream:
        """Return what `completion` returns, for `plan`."""
        now = asyncio.get_running_loop().time()
        call = Call(plan if self.gate is None else replace(plan, gate=self.gate), now)
        opened = await AsyncStream(self._http, call).open()
        return opened if plan.request.stream else await opened.read()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class AsyncStream(StreamFacts, AsyncIterator[Chunk]):
    """The chunks of one answer as they come. Leaving it early closes the connection."""

    def __init__(self, http: AsyncHttp, call: Call) -> None:
        self._call = call
        self._batches = _attempts(http, call)  # holds no `self`: a dropped stream closes at once
        self._chunks = iter(list[Chunk]())

    async def open(self) -> AsyncStream:
        """Return this stream once the provider has accepted the request; a refusal is raised."""
        self._chunks = iter(await self._batches.__anext__())
        return self

    async def __anext__(self) -> Chunk:
        while True:
            for chunk in self._chunks:
                return chunk
            self._chunks = iter(await self._batches.__anext__())

    async def batches(self) -> AsyncIterator[list[Chunk]]:
        """Yield the chunks as they came off the network: those of one read together."""
        if first := list(self._chunks):
            yield first
        async for chunks in self._batches:
            if chunks:
                yield chunks

    async def read(self) -> Completion:
        """Return the whole answer, once it is there."""
        self._call.watched = self._call.current.watched = False
        async for _ in self._batches:
            pass
        return self.completion

    async def aclose(self) -> None:
        """Stop here: the provider sees the connection go."""
        await self._batches.aclose()
        self._chunks = iter(())

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


async def _attempts(http: AsyncHttp, call: Call) -> AsyncGenerator[list[Chunk], None]:
    now = asyncio.get_running_loop().time
    with observed(call):
        async with acancelled_if_left(http, call):
            while True:
                endpoint = await _locate(call)
                passage = await _admitted(call, endpoint)
                exchange = call.start(endpoint, now())
                try:
                    async with aclosing(_attempt(http, call, exchange, passage)) as attempt:
                        async for chunks in attempt:
                            yield chunks
                finally:
                    if passage is not None:
                        passage.over(exchange.error, exchange.sum.usage)
                if exchange.error is None:
                    call.finish(now())
                    return
                await asyncio.sleep(call.retry_delay(now(), random.random()))


async def _attempt(
    http: AsyncHttp, call: Call, exchange: Exchange, passage: Passage | None
) -> AsyncGenerator[list[Chunk], None]:
    now = asyncio.get_running_loop().time
    watchdog = Watchdog(call)
    response = None
    try:
        watchdog.watch()
        response = await asend(http, call)
        exchange.receive_response(response.status_code, response.headers)
        if response.is_success:
            watchdog.rest()
            if passage is not None:
                passage.answered(response.headers)
            opened = now()
            yield []  # `open()` returns
            call.excuse(now() - opened)
            watchdog.watch()
        pause = call.plan.request.buffer.seconds if response.extensions.get("gathers") else 0
        async with aclosing(reader_of(response)) as body:
            while data := await body.read():
                if chunks := call.receive_data(data, now()):
                    watchdog.rest()
                    yield chunks
                    if pause and not (exchange.error or exchange.done):
                        await asyncio.sleep(pause)  # what comes meanwhile is one chunk
                    call.waiting(now())
                    watchdog.watch()
                if exchange.error or exchange.done:
                    break
            watchdog.rest()
            if chunks := call.receive_eof(now()):
                yield chunks
            if not body.ended:
                watchdog.drain(DRAIN_SECONDS)
                await _drain(body)
    except FAILURES as error:
        exchange.receive_failure(as_ritellm_error(error, call))
    except asyncio.CancelledError:
        if watchdog.fired is None or watchdog.uncancel():
            raise
        if watchdog.fired != "drain":
            exchange.receive_failure(call.timed_out(watchdog.fired))
    finally:
        watchdog.stop()
        if response is not None:
            await response.aclose()


async def _admitted(call: Call, endpoint: Endpoint) -> Passage | None:
    """Return leave to send, once it is this attempt's turn; there is no line without a gate."""
    if call.plan.gate is None:
        return None
    now = asyncio.get_running_loop().time
    arrived = now()
    request = call.plan.request
    try:
        passage = await call.plan.gate.lane(endpoint, request.model).enter(request)
    except RitellmError as error:
        error.attempts = call.attempts
        raise
    call.excuse_wait(now() - arrived)
    return passage


async def _drain(body: Reader) -> None:
    """Read what is left behind the terminator, within bounds: the connection can be used again."""
    left = DRAIN_BYTES
    while data := await body.read():
        left -= len(data)
        if left < 0:
            return


async def _locate(call: Call) -> Endpoint:
    """Return where to ask; a server that must be started first starts beside the event loop."""
    endpoint, model = call.plan.endpoint, call.plan.request.model
    if endpoint.base_url:
        return endpoint
    return await asyncio.to_thread(locate, endpoint, model)
