"""Repeats the attempts of one completion until one succeeds or the error is final, for both faces.

The loop locates the endpoint, waits for the gate, runs one attempt, and waits before the next one.
`Call` decides whether there is a next attempt; `observed` reports all of them.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager
from typing import Any

from ritellm.calls.call import Call
from ritellm.chunks.run import Batch
from ritellm.endpoints import Endpoint
from ritellm.errors import RitellmError
from ritellm.instrumentation.logs import observed, waiting
from ritellm.providers import locate
from ritellm.rate_limits.queue import Admission
from ritellm.transports.attempt import Attempt, batches
from ritellm.transports.base import AsyncTransport, Transport
from ritellm.transports.send import acancel, cancel

Between = Callable[[], AbstractAsyncContextManager[Any]]


def all_batches(transport: Transport, call: Call) -> Generator[Batch, None, None]:
    """Yield the chunks of all attempts; raises the error of the last one if it is final."""
    with observed(call):
        try:
            while True:
                endpoint = locate(call.plan.endpoint, call.plan.request.model)
                exchange = call.start(endpoint, time.monotonic())
                yield from batches(transport, call, exchange)
                if call.goes_on():
                    continue
                if exchange.error is None:
                    call.finish(time.monotonic())
                    return
                time.sleep(call.retry_delay(time.monotonic(), random.random()))
        except BaseException as error:
            cancel(transport, call)
            if unforeseen := call.unforeseen(error):
                raise unforeseen from error
            raise


async def attempts(
    transport: AsyncTransport, call: Call, between: Between
) -> AsyncGenerator[Attempt, None]:
    """Yield each accepted attempt. The caller reads it to its end before it takes the next.

    The loop rests within `between()` from one attempt to the next.
    """
    now = asyncio.get_running_loop().time
    with observed(call):
        try:
            while True:
                endpoint = await _locate(call)
                admission = await _admitted(call, endpoint)
                exchange = call.start(endpoint, now())
                attempt = Attempt(transport, call, exchange, admission)
                try:
                    if await attempt.open():
                        yield attempt
                finally:
                    await attempt.close()
                if call.goes_on():
                    continue
                if exchange.error is None:
                    call.finish(now())
                    return
                delay = call.retry_delay(now(), random.random())
                if call.backoff.waits_for_server:
                    waiting(call, exchange.error)
                async with between():
                    await _rest(call, admission, delay)
        except BaseException as error:
            await acancel(transport, call)
            if unforeseen := call.unforeseen(error):
                raise unforeseen from error
            raise


async def _locate(call: Call) -> Endpoint:
    """Return the endpoint; a local server that must start first starts in a thread."""
    endpoint, model = call.plan.endpoint, call.plan.request.model
    if endpoint.base_url:
        return endpoint
    return await asyncio.to_thread(locate, endpoint, model)


async def _admitted(call: Call, endpoint: Endpoint) -> Admission | None:
    """Return the gate's permit to send, or None without a gate."""
    if call.gate is None:
        return None
    now = asyncio.get_running_loop().time
    arrived = now()
    request = call.plan.request
    try:
        admission = await call.gate.queue(endpoint, request.model).enter(request, call.attempts > 0)
    except RitellmError as error:
        error.attempts, error.discarded = call.attempts, tuple(call.discarded)
        raise
    call.excuse_wait(now() - arrived)
    return admission


async def _rest(call: Call, admission: Admission | None, delay: float) -> None:
    """Wait before the next attempt; a gate shortens the wait once the provider recovers."""
    if admission is None:
        await asyncio.sleep(delay)
    else:
        backoff = call.backoff
        least, most = backoff.shortest_rest(delay), backoff.longest_rest(delay)
        backoff.rested(await admission.rest(least, most))
