"""How an attempt gets its response, for both faces: over the network, or off a tape.

What goes over the network is recorded if the caller wishes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakSet

import httpx

from ritellm.calls.call import Call
from ritellm.endpoints import Take
from ritellm.errors import RitellmError
from ritellm.instrumentation import logs
from ritellm.transports.base import AnyResponse, AsyncHttp, AsyncResponse, SyncHttp, SyncResponse
from ritellm.transports.httpx import FAILURES, Played
from ritellm.transports.recorder import Recorder

Heard = TypeVar("Heard", bound=AnyResponse)


def send(http: SyncHttp, call: Call, read: float) -> SyncResponse:
    """Return the response to the attempt under way; its body is still to be read."""
    logs.asking(call)
    if take := call.take():
        player = _Player(take, _is_timed(call))
        player.wait_until(take.responded)
        return player.response()
    ask = call.current.http_request()
    if call.plan.record is None:
        return _heard(call, http.send(ask, call, read))
    recorder = Recorder(call.plan.record, call, ask)
    with recorder.watched():
        response = _heard(call, http.send(ask, call, read))
        recorder.hear(response)
        return response


async def asend(http: AsyncHttp, call: Call) -> AsyncResponse:
    """Return the response to the attempt under way; its body is still to be read."""
    logs.asking(call)
    if take := call.take():
        player = _Player(take, _is_timed(call))
        await player.await_until(take.responded)
        return player.response()
    ask = call.current.http_request()
    if call.plan.record is None:
        return _heard(call, await http.send(ask, call))
    recorder = Recorder(call.plan.record, call, ask)
    with recorder.watched():
        response = _heard(call, await http.send(ask, call))
        recorder.hear(response)
        return response


# How long whoever leaves a stream waits at most until the provider has been told.
_CANCEL_SECONDS = 2.0
# A client that is closed by then raises a RuntimeError.
_CANNOT_CANCEL = (*FAILURES, RuntimeError, asyncio.TimeoutError)


def cancel(http: SyncHttp, call: Call) -> None:
    """Tell the provider that `call` was left, if it would go on; best effort, in time."""
    if ask := call.cancellation():
        with suppress(*_CANNOT_CANCEL):
            http.send(ask, call, _cancel_seconds(call)).close()


async def acancel(http: AsyncHttp, call: Call) -> None:
    """Tell the provider that `call` was left, if it would go on; best effort, in time."""
    if ask := call.cancellation():
        with suppress(*_CANNOT_CANCEL):
            told = await asyncio.wait_for(http.send(ask, call), _cancel_seconds(call))
            await told.aclose()


def _cancel_seconds(call: Call) -> float:
    return min(_CANCEL_SECONDS, call.plan.timeouts.connect or _CANCEL_SECONDS)


def _heard(call: Call, response: Heard) -> Heard:
    """Return `response`, noted."""
    call.timing.connection_reused = _is_reused(response)
    logs.answered(call, response.status_code, response.headers)
    return response


_used: WeakSet[Any] = WeakSet()


def _is_reused(response: AnyResponse) -> bool | None:
    """Return whether an earlier response came over the same connection; None where none is told."""
    told = response.extensions
    if "ritellm.reused" in told:
        return bool(told["ritellm.reused"])
    connection = told.get("network_stream")
    if connection is None:
        return None
    reused = connection in _used
    _used.add(connection)
    return reused


def _is_timed(call: Call) -> bool:
    tape = call.current.endpoint.tape
    return tape is not None and tape.timed


# A length, an encoding of the transfer: they tell of a connection that is not there.
_OF_THE_CONNECTION = frozenset({"connection", "content-length", "transfer-encoding"})


class _Player(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of a response, off a take."""

    def __init__(self, take: Take, timed: bool) -> None:
        self._take = take
        self._started = time.monotonic() if timed else None

    def response(self) -> httpx.Response:
        """Return the response; raises what the network raised instead of one."""
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
        """Wait until it is `offset` seconds since the request, if time is played too."""
        if (left := self._left(offset)) > 0:
            time.sleep(left)

    async def await_until(self, offset: float) -> None:
        """Wait until it is `offset` seconds since the request, if time is played too."""
        if (left := self._left(offset)) > 0:
            await asyncio.sleep(left)

    def _left(self, offset: float) -> float:
        return self._started + offset - time.monotonic() if self._started is not None else 0.0

    def _raise(self) -> None:
        error = self._take.error
        if isinstance(error, RitellmError):
            raise Played(error)
        if error is not None:
            raise error
