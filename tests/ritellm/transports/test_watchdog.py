"""A watchdog cancels the task that waits past its deadline, and no task that has moved on."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from ritellm.transports.watchdog import Watchdog


def over(loop, name="total"):
    """Return a call whose deadline has passed, as after a pause of the whole process."""
    return SimpleNamespace(
        deadline=(loop.time() - 1.0, name), timing=SimpleNamespace(last_chunk=None)
    )


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
        dog = Watchdog(SimpleNamespace(deadline=None, timing=SimpleNamespace(last_chunk=None)))
        dog.drain(-1.0)  # the process slept between two lines
        with dog:
            pass
        for _ in range(3):
            await asyncio.sleep(0)
        assert dog.fired is None

    asyncio.run(main())
