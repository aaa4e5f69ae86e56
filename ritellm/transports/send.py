"""Gets the response to an attempt, for both faces: from the network, or from a recording.

With `record=`, it also writes what goes over the network to a file.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar
from weakref import WeakSet

import httpx

from ritellm.calls.call import Call
from ritellm.endpoints import Take
from ritellm.errors import RitellmError
from ritellm.instrumentation import logs
from ritellm.transports.base import (
    AnyResponse,
    AsyncResponse,
    AsyncTransport,
    SyncResponse,
    Transport,
)
from ritellm.transports.deadlines import Deadlines, StepDeadlines
from ritellm.transports.decompression import decompressed
from ritellm.transports.failures import FAILURES, KnownFailure
from ritellm.transports.recorder import Recorder
from ritellm.types import HttpRequest

R = TypeVar("R", bound=AnyResponse)


def send(transport: Transport, call: Call, deadlines: Deadlines) -> SyncResponse:
    """Return the response to the current attempt; its body is still to be read."""
    logs.sending(call)
    if take := call.take():
        player = _Player(take, _is_timed(call))
        player.wait_until(take.responded)
        return decompressed(player.response())
    request = call.current.http_request()
    if call.plan.record is None or not call.records:
        return _noted(call, decompressed(transport.send(request, deadlines)))
    recorder = Recorder(call.plan.record, call, request)
    with recorder.noting_failure():
        response = _noted(call, decompressed(transport.send(request, deadlines)))
        recorder.attach(response)
        return response


async def asend(transport: AsyncTransport, call: Call) -> AsyncResponse:
    """Return the response to the current attempt; its body is still to be read."""
    logs.sending(call)
    if take := call.take():
        player = _Player(take, _is_timed(call))
        await player.await_until(take.responded)
        return decompressed(player.response())
    request, deadlines = call.current.http_request(), Deadlines.of(call)
    if call.plan.record is None or not call.records:
        return _noted(call, decompressed(await transport.send(request, deadlines)))
    recorder = Recorder(call.plan.record, call, request)
    with recorder.noting_failure():
        response = _noted(call, decompressed(await transport.send(request, deadlines)))
        recorder.attach(response)
        return response


# The longest time that a cancellation request may take when the caller leaves a stream.
_CANCEL_SECONDS = 2.0
# A client that is already closed raises a RuntimeError.
_CANNOT_CANCEL = (*FAILURES, RuntimeError, asyncio.TimeoutError)


def cancel(transport: Transport, call: Call) -> None:
    """Cancel a response that the provider would continue; failures are ignored."""
    if request := call.cancellation():
        transport.when_free(partial(_cancel, transport, request, _cancel_seconds(call)))


def _cancel(transport: Transport, request: HttpRequest, seconds: float) -> None:
    with suppress(*_CANNOT_CANCEL):
        transport.send(request, StepDeadlines(seconds)).close()


async def acancel(transport: AsyncTransport, call: Call) -> None:
    """Cancel a response that the provider would continue; failures are ignored."""
    if request := call.cancellation():
        with suppress(*_CANNOT_CANCEL):
            sent = transport.send(request, Deadlines(call.plan.timeouts.connect))
            response = await asyncio.wait_for(sent, _cancel_seconds(call))
            await response.aclose()


def _cancel_seconds(call: Call) -> float:
    return min(_CANCEL_SECONDS, call.plan.timeouts.connect or _CANCEL_SECONDS)


def _noted(call: Call, response: R) -> R:
    """Return `response`, after noting it in the timing and the log."""
    call.timing.connection_reused = _is_reused(response)
    logs.responded(call, response.status_code, response.headers)
    return response


_used: WeakSet[Any] = WeakSet()


def _is_reused(response: AnyResponse) -> bool | None:
    """Return whether an earlier response came over the same connection; None if unknown."""
    extensions = response.extensions
    if "ritellm.reused" in extensions:
        return bool(extensions["ritellm.reused"])
    connection = extensions.get("network_stream")
    if connection is None:
        return None
    reused = connection in _used
    _used.add(connection)
    return reused


def _is_timed(call: Call) -> bool:
    tape = call.current.endpoint.tape
    return tape is not None and tape.timed


# Headers about the connection: in a replay there is none.
_OF_THE_CONNECTION = frozenset({"connection", "content-length", "transfer-encoding"})


class _Player(httpx.SyncByteStream, httpx.AsyncByteStream):
    """Replays the response of a take."""

    def __init__(self, take: Take, timed: bool) -> None:
        self._take = take
        self._started = time.monotonic() if timed else None

    def response(self) -> httpx.Response:
        """Return the recorded response, or raise the recorded error of the network."""
        take = self._take
        if take.status is None:
            self._raise()
        headers = [pair for pair in take.headers if pair[0].lower() not in _OF_THE_CONNECTION]
        return httpx.Response(take.status or 0, headers=headers, stream=self)

    def __iter__(self) -> Iterator[bytes]:
        for offset, data in self._take.data:
            self.wait_until(offset)
            yield data
        self.wait_until(self._take.ended)
        self._raise()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for offset, data in self._take.data:
            await self.await_until(offset)
            yield data
        await self.await_until(self._take.ended)
        self._raise()

    def wait_until(self, offset: float) -> None:
        """Wait until it is `offset` seconds since the request, in a timed replay."""
        if (left := self._left(offset)) > 0:
            time.sleep(left)

    async def await_until(self, offset: float) -> None:
        """Wait until it is `offset` seconds since the request, in a timed replay."""
        if (left := self._left(offset)) > 0:
            await asyncio.sleep(left)

    def _left(self, offset: float) -> float:
        return self._started + offset - time.monotonic() if self._started is not None else 0.0

    def _raise(self) -> None:
        error = self._take.error
        if isinstance(error, RitellmError):
            raise KnownFailure(error)
        if error is not None:
            raise error
