"""The window: work on an event loop beside the bundle thread, with a bounded outbox."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading

import pytest

from transforms.worker.loop import event_loop as event_loops
from transforms.worker.loop.event_loop import EventLoop, Window
from transforms.worker.loop.outbox import Wait


class _Client:
    closed = False

    async def close(self) -> None:
        self.closed = True


class _Resources:
    def __init__(self):
        self.client = _Client()


@pytest.fixture
def event_loop():
    made = EventLoop(_Resources)
    yield made
    made.close()


def drain(window):
    items = []
    while window.in_flight:
        items += window.take(Wait())
    return items


def settle(event_loop):
    """Let everything that can run on the loop run."""

    async def turns():
        for _ in range(50):
            await asyncio.sleep(0)

    event_loop.run(turns())


async def set_once_waited_for(window, event):
    while not window.outbox._wanted:
        await asyncio.sleep(0)
    event.set()


def test_items_come_back_under_their_key_and_in_their_order(event_loop):
    window = Window(event_loop)

    def work(name):
        async def go(put):
            for number in range(3):
                await put([f"{name}{number}"])
            return ()

        return go

    for name in "abc":
        window.submit(name, work(name))
    items = drain(window)
    for name in "abc":
        assert [item for key, item in items if key == name] == [f"{name}{n}" for n in range(3)]


def test_returned_items_come_last(event_loop):
    window = Window(event_loop)

    async def work(put):
        await put(["first"])
        return ["last"]

    window.submit("k", work)
    assert drain(window) == [("k", "first"), ("k", "last")]


def test_a_thread_can_wait_for_a_number_of_items(event_loop):
    window, go_on = Window(event_loop), threading.Event()

    async def work(put):
        await put([1])
        await put([2])
        await asyncio.to_thread(go_on.wait)
        return [3]

    window.submit("k", work)
    assert window.take(Wait(least=2)) == [("k", 1), ("k", 2)]
    assert window.take(Wait(least=2, seconds=0.001)) == []
    go_on.set()
    assert window.take(Wait(least=2)) == [("k", 3)]  # and its end
    assert window.in_flight == 0


def test_a_waiting_thread_gets_all_items_of_one_turn_of_the_loop(event_loop):
    window, come, woken = Window(event_loop), asyncio.Event(), threading.Event()

    async def work(put):
        await come.wait()
        await put(["item"])
        woken.wait(0.05)  # keeps the loop, and lets the thread take what it was told of
        await asyncio.Event().wait()

    for name in range(3):
        window.submit(name, work)
    settle(event_loop)
    event_loop.inbox.post(lambda: asyncio.ensure_future(set_once_waited_for(window, come)))
    came = window.take(Wait())
    woken.set()
    window.cancel()
    assert len(came) == 3


def test_a_slow_consumer_blocks_the_work(event_loop):
    window = Window(event_loop, limit=3)
    put_so_far = 0

    async def work(put):
        nonlocal put_so_far
        for number in range(100):
            await put([number])
            put_so_far += 1
        return ()

    window.submit("k", work)
    settle(event_loop)
    assert put_so_far == 3
    assert [item for _, item in drain(window)] == list(range(100))


def test_an_error_of_the_work_is_raised_by_take(event_loop):
    window = Window(event_loop)

    async def work(put):
        raise ZeroDivisionError("unexpected")

    window.submit("k", work)
    with pytest.raises(ZeroDivisionError, match="unexpected"):
        drain(window)


def test_work_cancelled_from_outside_is_an_error(event_loop):
    window = Window(event_loop)

    async def work(put):
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    window.submit("k", work)
    with pytest.raises(RuntimeError, match="cancelled from outside"):
        drain(window)


def test_cancel_stops_the_work_before_it_returns(event_loop):
    window = Window(event_loop)
    stopped = threading.Event()

    async def work(put):
        try:
            await put(["started"])
            await asyncio.Event().wait()
        finally:
            stopped.set()

    window.submit("k", work)
    assert window.take(Wait()) == [("k", "started")]
    window.cancel()
    assert stopped.is_set()
    assert window.in_flight == 0


def test_cancel_stops_work_that_waits_for_the_consumer(event_loop):
    window = Window(event_loop, limit=1)

    async def work(put):
        while True:
            await put([0])

    for key in range(5):
        window.submit(key, work)
    settle(event_loop)
    window.cancel()
    settle(event_loop)
    assert window.take() == []


def test_some_work_starts_in_each_turn_of_the_loop(event_loop):
    window, held, done_before = Window(event_loop), threading.Event(), []
    begun = []

    async def work(put):
        begun.append(None)
        for _ in range(3):
            await asyncio.sleep(0)
        done_before.append(len(begun))
        return ()

    event_loop.loop.call_soon_threadsafe(held.wait)  # the loop continues once all have arrived
    for number in range(100):
        window.submit(number, work)
    held.set()
    drain(window)
    assert len(begun) == 100
    assert done_before[0] < 50


def test_work_cancelled_before_its_turn_never_starts(event_loop, monkeypatch):
    window, held, begun = Window(event_loop), threading.Event(), []

    async def work(put):
        begun.append(None)
        await asyncio.Event().wait()

    event_loop.loop.call_soon_threadsafe(held.wait)
    for number in range(100):
        window.submit(number, work)
    run = event_loop.run
    monkeypatch.setattr(event_loop, "run", lambda cancelling: held.set() or run(cancelling))
    window.cancel()
    settle(event_loop)
    assert begun == []


def test_closing_the_event_loop_closes_the_client_and_ends_the_thread():
    event_loop = EventLoop(_Resources)
    client, loop = event_loop.resources.client, event_loop.loop
    event_loop.close()
    assert client.closed
    assert loop.is_closed()


def test_garbage_collection_ends_the_event_loop():
    event_loop = EventLoop(_Resources)
    client = event_loop.resources.client
    del event_loop
    assert client.closed


@pytest.fixture
def interpreter():
    before, turn = gc.get_threshold(), sys.getswitchinterval()
    event_loops.tune_interpreter.cache_clear()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()
    sys.setswitchinterval(turn)


@pytest.mark.parametrize(("before", "after"), [(0.005, 0.0005), (0.0001, 0.0001)])
def test_the_first_event_loop_shortens_the_turns_of_threads(interpreter, before, after):
    sys.setswitchinterval(before)
    EventLoop(_Resources).close()
    assert sys.getswitchinterval() == pytest.approx(after, abs=2e-6)


def test_the_first_event_loop_makes_the_collector_run_less_often(
    interpreter,
):
    gc.set_threshold(700, 10, 10)
    EventLoop(_Resources).close()
    assert gc.get_freeze_count() > 10_000
    assert gc.get_threshold() == (10_000, 10, 10)


@pytest.mark.parametrize("young", [0, 50_000])
def test_a_collector_that_is_off_or_runs_less_often_is_not_changed(interpreter, young):
    gc.set_threshold(young, 10, 10)
    EventLoop(_Resources).close()
    assert gc.get_threshold()[0] == young
