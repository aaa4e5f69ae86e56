"""The synchronous face: httpx moves the bytes, the call decides."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, Literal, overload

import httpx

from ritellm.calls.call import Call
from ritellm.calls.exchange import Exchange
from ritellm.calls.plan import Draft, Plan
from ritellm.calls.prepare import draft
from ritellm.calls.stream_facts import StreamFacts
from ritellm.chunks.run import Batch
from ritellm.instrumentation.logs import observed
from ritellm.providers import locate
from ritellm.transports.base import SyncHttp, new_http, pieces_of
from ritellm.transports.httpx import DRAIN_BYTES, FAILURES, ReadDeadline, as_ritellm_error
from ritellm.transports.send import cancel, send
from ritellm.types import Chunk, Completion

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ritellm.calls.params import CompletionParams


class Client:
    """Asks language models; keeps its connections for the next call. Safe to share by threads.

    `defaults` are parameters of `completion` that hold for every call, such as `api_key`,
    `base_url` or `timeout`. `transport` replaces the network, for tests.
    """

    def __init__(
        self, *, transport: httpx.BaseTransport | None = None, **defaults: Unpack[CompletionParams]
    ) -> None:
        self._defaults = defaults
        self._transport = transport
        self._opened = [(os.getpid(), new_http(transport))]

    @overload
    def completion(
        self,
        model: str,
        messages: Any,
        *,
        stream: Literal[True],
        **params: Unpack[CompletionParams],
    ) -> Stream: ...

    @overload
    def completion(
        self,
        model: str,
        messages: Any,
        *,
        stream: Literal[False] = False,
        **params: Unpack[CompletionParams],
    ) -> Completion: ...

    @overload
    def completion(
        self, model: str, messages: Any, *, stream: bool, **params: Unpack[CompletionParams]
    ) -> Completion | Stream: ...

    def completion(
        self, model: str, messages: Any, *, stream: bool = False, **params: Unpack[CompletionParams]
    ) -> Completion | Stream:
        """Return the whole completion, or an open stream of its chunks if `stream`.

        `model` is "provider/model"; `ritellm.calls.params` lists the parameters, OpenAI's among
        them. Raises a RitellmError.
        """
        return self.ask(self.draft(model, stream=stream, **params).plan(messages))

    def draft(
        self, model: str, *, stream: bool = False, **params: Unpack[CompletionParams]
    ) -> Draft:
        """Return what many completions have in common: `ask(draft.plan(messages))` is one of them.

        The parameters are those of `completion`. Raises InvalidRequestError.
        """
        merged: CompletionParams = {**self._defaults, **params}
        return draft(model, os.environ, stream=stream, **merged)

    def ask(self, plan: Plan, *, watched: bool = True) -> Completion | Stream:
        """Return what `completion` returns, for `plan`.

        Of a stream that is not `watched` no chunks are made: for those who want the whole answer
        only, and how it came about.
        """
        opened = self.stream(plan, watched=watched)
        return opened if plan.request.stream else opened.read()

    def stream(self, plan: Plan, *, watched: bool = True) -> Stream:
        """Return the stream for `plan`, whatever it asks for; a refusal is raised here."""
        return Stream(self._http, Call(plan, time.monotonic(), watched=watched))

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    @property
    def _http(self) -> SyncHttp:
        """What moves the bytes in this process: a child must not talk on its parent's lines.

        Nor may it close them, so that the parent's are kept, unused.
        """
        pid, http = self._opened[-1]
        if pid != os.getpid():
            http = new_http(self._transport)
            self._opened.append((os.getpid(), http))
        return http

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Stream(StreamFacts, Iterator[Chunk]):
    """The chunks of one answer as they come. Leaving it early closes the connection."""

    def __init__(self, http: SyncHttp, call: Call) -> None:
        self._call = call
        self._batches = _attempts(http, call)  # holds no `self`: a dropped stream closes at once
        self._chunks = iter(next(self._batches))  # opens; a refusal is raised here

    def __next__(self) -> Chunk:
        while True:
            for chunk in self._chunks:
                return chunk
            self._chunks = iter(next(self._batches))

    def read(self) -> Completion:
        """Return the whole answer, once it is there."""
        for _ in self:
            pass
        return self.completion

    def close(self) -> None:
        """Stop here: the provider sees the connection go."""
        self._batches.close()
        self._chunks = iter(())

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _attempts(http: SyncHttp, call: Call) -> Generator[Batch, None, None]:
    with observed(call):
        try:
            while True:
                endpoint = locate(call.plan.endpoint, call.plan.request.model)
                exchange = call.start(endpoint, time.monotonic())
                yield from _attempt(http, call, exchange)
                if exchange.error is None:
                    call.finish(time.monotonic())
                    return
                time.sleep(call.retry_delay(time.monotonic(), random.random()))
        except BaseException:
            cancel(http, call)
            raise


def _attempt(http: SyncHttp, call: Call, exchange: Exchange) -> Generator[Batch, None, None]:
    deadline = ReadDeadline(call)
    try:
        response = send(http, call, deadline)
    except FAILURES as error:
        exchange.receive_failure(as_ritellm_error(error, call))
        return
    try:
        exchange.receive_response(response.status_code, response.headers)
        if response.is_success:
            opened = time.monotonic()
            yield []  # `Stream()` returns
            call.excuse(time.monotonic() - opened)
        body = pieces_of(response)
        for data in body:
            arrived = time.monotonic()
            if chunks := call.receive_data(data, arrived):
                yield chunks
                call.excuse(time.monotonic() - arrived)
            if exchange.over:
                break
        if chunks := call.receive_eof(time.monotonic()):
            yield chunks
        deadline.drain()
        _drain(body)
    except FAILURES as error:
        exchange.receive_failure(as_ritellm_error(error, call))
    finally:
        response.close()


def _drain(body: Iterator[bytes]) -> None:
    """Read what is left behind the terminator, within bounds: the connection can be used again."""
    left = DRAIN_BYTES
    for data in body:
        left -= len(data)
        if left < 0:
            return
