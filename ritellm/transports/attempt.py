"""One attempt of a completion over the network: send the request, then read the response.

`batches` is an attempt of the synchronous face, `Attempt` one of the asynchronous face. Both move
bytes between a transport and an `Exchange`, which decides what they mean. A failure of the network
ends up in `exchange.error`; the loop over the attempts (`retry_loop`) decides what follows.

    unopened --open()--> reading --batch()...--> draining --> closed
        |                   |
        +---- failure ------+--> exchange.error, closed
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Iterator

from ritellm.calls.call import Call
from ritellm.calls.exchange import Exchange
from ritellm.chunks.run import Batch
from ritellm.rate_limits.queue import Admission
from ritellm.transports.base import (
    AsyncResponse,
    AsyncTransport,
    Reader,
    Transport,
    pieces_of,
    reader_of,
)
from ritellm.transports.deadlines import CallDeadlines
from ritellm.transports.failures import FAILURES, as_ritellm_error
from ritellm.transports.send import asend, send
from ritellm.transports.sockets import DRAIN_BYTES, DRAIN_SECONDS
from ritellm.transports.watchdog import Watchdog


def batches(transport: Transport, call: Call, exchange: Exchange) -> Generator[Batch, None, None]:
    """Yield the chunks of one attempt as they arrive, those of one read together.

    The first batch is empty: it says that the provider has accepted the request.
    """
    deadlines = CallDeadlines(call)
    try:
        response = send(transport, call, deadlines)
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
        deadlines.drain()
        _drain(body)
    except FAILURES as error:
        exchange.receive_failure(as_ritellm_error(error, call))
    finally:
        response.close()


def _drain(body: Iterator[bytes]) -> None:
    """Read the bytes after the terminator, within limits, so that the connection can be reused."""
    left = DRAIN_BYTES
    for data in body:
        left -= len(data)
        if left < 0:
            return


class Attempt:
    """One attempt of the asynchronous face. Every chunk passes through `batch`."""

    def __init__(
        self, transport: AsyncTransport, call: Call, exchange: Exchange, admission: Admission | None
    ) -> None:
        # What the attempt works on.
        self._transport = transport
        self._call = call
        self._exchange = exchange
        self._admission = admission  # the permit of the gate, which learns how the attempt ends
        # Time.
        self._now = asyncio.get_running_loop().time
        self._watchdog = Watchdog(call)
        self._away_since: float | None = None  # the caller is working on what it has received
        # The response, once there is one.
        self._response: AsyncResponse | None = None
        self._body: Reader | None = None
        self._ended = False  # `receive_eof` was called, or the attempt failed

    async def open(self) -> bool:
        """Return whether the provider accepted the request; a refusal is in `exchange.error`."""
        try:
            with self._watchdog:
                self._response = response = await asend(self._transport, self._call)
            self._exchange.receive_response(response.status_code, response.headers)
            self._body = reader_of(response)
        except (*FAILURES, asyncio.CancelledError) as error:
            self._fail(error)
            return False
        if not response.is_success:
            await self.batch()  # returns no chunks: the body becomes the error
            return False
        if self._admission is not None:
            self._admission.accepted(response.headers)
        self._away_since = self._now()
        return True

    async def batch(self) -> Batch:
        """Return the chunks that arrived next, together; none at the end or after a failure."""
        call, exchange, body, now = self._call, self._exchange, self._body, self._now
        assert body is not None
        if self._away_since is not None:  # the caller's own work does not delay the provider
            call.excuse(now() - self._away_since)
        try:
            if not (exchange.emits_chunks or exchange.over):
                await self._read_through(body)
                return await self._end()
            while not exchange.over:
                data = body.take()
                if not data:
                    with self._watchdog:
                        data = await body.arrival()
                    if not data:
                        break
                self._away_since = arrived = now()
                if chunks := call.receive_data(data, arrived):
                    return chunks
            return await self._end()
        except (*FAILURES, asyncio.CancelledError) as error:
            exchange.stop()
            self._ended = True
            self._fail(error)
        return []

    async def close(self) -> None:
        """Release the response, and the permit of the gate."""
        self._watchdog.stop()
        try:
            if self._body is not None:
                await self._body.aclose()
            if self._response is not None:
                await self._response.aclose()
        finally:
            if self._admission is not None:
                self._leave(self._admission)

    async def _read_through(self, body: Reader) -> None:
        """Read to the end of the body or of the answer, without a wake-up for each piece."""
        data = body.take()
        if data and self._receive(data):
            return
        with self._watchdog:
            await body.pour(self._receive)

    def _receive(self, data: bytes) -> bool:
        """Take a piece of the body; return whether the answer is over."""
        self._call.receive_data(data, self._now())
        self._watchdog.heed_progress()
        return self._exchange.over

    async def _end(self) -> Batch:
        """Return the chunks that the end of the body completes, once; then drain the body."""
        self._exchange.stop()
        if not self._ended:
            self._ended = True
            if chunks := self._call.receive_eof(self._now()):
                return chunks
        await self._drain()
        return []

    async def _drain(self) -> None:
        """Read the bytes after the terminator, so that the connection can be reused."""
        body, left = self._body, DRAIN_BYTES
        assert body is not None
        if body.ended:
            return
        self._watchdog.drain(DRAIN_SECONDS)
        with self._watchdog:
            while not body.ended and left > 0:
                left -= len(body.take() or await body.arrival())

    def _leave(self, admission: Admission) -> None:
        """Report to the gate how the attempt ended: the caller may have left it early."""
        exchange, response = self._exchange, self._response
        if exchange.error is not None:
            admission.failed(exchange.error, {} if response is None else response.headers)
        elif exchange.complete:
            admission.completed(self._call.timing.first_content)
        admission.leave(exchange.sum.usage)

    def _fail(self, error: BaseException) -> None:
        """Hand the failure to the exchange; raises a cancellation that is not the watchdog's."""
        watchdog = self._watchdog
        if not isinstance(error, asyncio.CancelledError):
            assert isinstance(error, Exception)
            self._exchange.receive_failure(as_ritellm_error(error, self._call))
        elif watchdog.fired is None or watchdog.uncancel():
            raise error
        elif watchdog.fired != "drain":
            self._exchange.receive_failure(self._call.timed_out(watchdog.fired))
