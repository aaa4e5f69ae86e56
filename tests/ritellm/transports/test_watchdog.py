"""A watchdog cancels the task that waits past its deadline, and no task that has moved on."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from types import SimpleNamespace

import pytest

from ritellm.transports.watchdog import Watchdog


def timing():
    """Return the stopwatch of a call that waits for its first byte."""
    return SimpleNamespace(last_chunk=None, bytes=0)


def over(loop, name="total"):
    """Return a call whose deadline has passed, as after a pause of the whole process."""
    return SimpleNamespace(deadline=(loop.time() - 1.0, name), timing=timing())


def test_a_task_that_waits_is_cancelled():
    async def main():
        dog = Watchdog(over(asyncio.get_running_loop()))
        with pytest.raises(asyncio.CancelledError), dog:
            await asyncio.Event().wait()
        assert dog.fired == "total"
        assert not dog.uncancel()

    asyncio.run(main())


@pytest.mark.parametrize("leave", [Watchdog.__exit__, Watchdog.stop])
def test_a_task_that_did_not_have_to_wait_is_not_cancelled_later(leave):
    async def main():
        dog = Watchdog(over(asyncio.get_running_loop()))
        dog.__enter__()
        leave(dog)
        for _ in range(3):
            await asyncio.sleep(0)
        assert dog.fired is None

    asyncio.run(main())


def test_a_drain_that_ends_at_once_cancels_no_task():
    async def main():
        dog = Watchdog(
            SimpleNamespace(deadline=None, timing=SimpleNamespace(last_chunk=None, bytes=0))
        )
        dog.drain(-1.0)  # the process slept between two lines
        with dog:
            pass
        for _ in range(3):
            await asyncio.sleep(0)
        assert dog.fired is None

    asyncio.run(main())


def waits_until(when):
    """Return what a watchdog needs to know of a call: it waits for its first chunk."""
    return SimpleNamespace(
        deadline=(when, "first_chunk"), timing=SimpleNamespace(last_chunk=None, bytes=0)
    )


async def watched(when, also=False):
    """Wait under a watchdog; return which timeout it saw, and if there was another cancellation.

    With `also`, another one comes in the moment in which the watchdog fires.
    """
    watchdog = Watchdog(waits_until(when))
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def cancel_too():
        if watchdog.fired is None:
            loop.call_soon(cancel_too)
        else:
            task.cancel()

    if also:
        cancel_too()
    try:
        with watchdog:
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        return watchdog.fired, watchdog.uncancel()
    finally:
        watchdog.stop()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="before 3.11 nobody can tell")
@pytest.mark.parametrize("also", [False, True])
def test_a_cancellation_at_the_moment_of_a_timeout_is_not_lost(also):
    async def main():
        return await watched(asyncio.get_running_loop().time() + 0.01, also)

    assert asyncio.run(main()) == ("first_chunk", also)


def test_a_cancellation_that_the_caller_swallowed_before_does_not_count():
    async def main():
        async def stubborn():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            return await watched(asyncio.get_running_loop().time())

        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        task.cancel()
        return await task

    assert asyncio.run(main()) == ("first_chunk", False)


def test_what_the_sockets_hold_is_read_before_a_timeout_is_believed():
    """The loop was busy while bytes arrived: they need some turns, and the last one is a chunk."""

    async def main():
        loop = asyncio.get_running_loop()
        call = waits_until(loop.time() - 1.0)
        arrived = asyncio.Event()

        async def read():
            for _ in range(20):
                await asyncio.sleep(0)
                call.timing.bytes += 1
            call.deadline = (loop.time() + 3600, "inter_chunk")
            arrived.set()

        dog = Watchdog(call)
        reading = asyncio.ensure_future(read())
        with dog:
            await arrived.wait()
            for _ in range(20):
                await asyncio.sleep(0)
        dog.stop()
        await reading
        assert dog.fired is None

    asyncio.run(main())


def test_a_server_that_sends_and_sends_does_not_prolong_a_timeout():
    async def main():
        call = waits_until(asyncio.get_running_loop().time() - 1.0)

        async def flood():
            while True:
                call.timing.bytes += 1
                await asyncio.sleep(0)

        flooding = asyncio.ensure_future(flood())
        dog = Watchdog(call)
        with pytest.raises(asyncio.CancelledError), dog:
            await asyncio.Event().wait()
        flooding.cancel()
        assert dog.fired == "first_chunk"

    asyncio.run(main())
