"""Calls and results of threads for an event loop: none is lost, and one wake-up serves many."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import pytest

from transforms.worker.loop.inbox import Inbox


def under_way():
    future = Future()
    future.set_running_or_notify_cancel()
    return future


async def waited_for(future, how_many):
    """Return `how_many` tasks that wait for `future`, and the posts that it takes."""
    inbox = Inbox.of(asyncio.get_running_loop())
    posts, post = [], inbox.post
    inbox.post = lambda *call: posts.append(call) or post(*call)
    tasks = [asyncio.ensure_future(inbox.result(future)) for _ in range(how_many)]
    await asyncio.sleep(0)
    return tasks, posts


def test_all_tasks_that_wait_for_one_future_wake_together():
    async def wait():
        future = under_way()
        tasks, posts = await waited_for(future, 100)
        await asyncio.to_thread(future.set_result, "kept")
        assert await asyncio.gather(*tasks) == ["kept"] * 100
        assert len(posts) == 1

    asyncio.run(wait())


def test_cancelling_one_task_does_not_affect_the_others():
    async def wait():
        future = under_way()
        (first, *others), _ = await waited_for(future, 3)
        first.cancel()
        await asyncio.to_thread(future.set_result, "kept")
        assert await asyncio.gather(*others) == ["kept"] * 2
        assert first.cancelled()
        assert not future.cancelled()

    asyncio.run(wait())


def test_an_error_is_raised_in_all_waiting_tasks():
    async def wait():
        future = under_way()
        tasks, _ = await waited_for(future, 2)
        await asyncio.to_thread(future.set_exception, OSError("full"))
        for task in tasks:
            with pytest.raises(OSError, match="full"):
                await task

    asyncio.run(wait())


def test_an_available_result_is_returned_at_once():
    async def wait():
        future = under_way()
        future.set_result("kept")
        return await Inbox.of(asyncio.get_running_loop()).result(future)

    assert asyncio.run(wait()) == "kept"


def test_a_failed_call_is_reported_and_the_next_one_runs():
    async def post():
        loop, told, done = asyncio.get_running_loop(), [], asyncio.Event()
        loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
        inbox = Inbox.of(loop)
        inbox.post(lambda: 1 / 0)
        inbox.post(done.set)
        await asyncio.wait_for(done.wait(), 20)
        return told

    assert [type(error) for error in asyncio.run(post())] == [ZeroDivisionError]
