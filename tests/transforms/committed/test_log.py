"""The logs of a process: bounded, and dropped when no bundle asks for them any more."""

from __future__ import annotations

import asyncio
import time

import pytest

from transforms.committed.log import ProcessLogs, ShardLogs, Submission
from transforms.elements import Delta
from transforms.worker.loop.event_loop import EventLoop


class _Resources:
    class client:  # noqa: N801
        @staticmethod
        async def close():
            """Nothing is open."""


@pytest.fixture
def event_loop():
    made = EventLoop(_Resources)
    yield made
    made.close()


def delta(n, attempt=1):
    return Delta("p", attempt, n, f"{n} ", None, "{}")


def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def begun(event_loop, work, **options):
    """Return the log of a prompt whose stream is `work(put)`, and the logs of its process."""

    process = ProcessLogs(event_loop, lambda *_: Submission("a", work), **options)
    shard = ShardLogs(process, 3, lambda number: b"a prompt", lambda encoded: encoded)
    return shard.begin(0, 1, ""), process


def test_a_stream_waits_while_its_log_is_full(event_loop):
    put_so_far = []

    async def work(put):
        for n in range(3000):
            await put([delta(n)])
            put_so_far.append(n)
        return []

    log, _ = begun(event_loop, work, patience=600)
    cursor = 0
    for expected in (1024, 2048, 3000):
        until(lambda expected=expected: len(put_so_far) == expected)
        found = log.after(cursor)
        assert len(found) <= 1024
        assert [each.seq for each in found] == list(range(cursor, cursor + len(found)))
        cursor += len(found)
        assert log.after(cursor) == []  # taken is not committed: the stream still waits
        log.drop(cursor)
    assert cursor == 3000
    assert log.ends_at(3000)


def test_a_full_log_does_not_stop_its_stream_forever(event_loop):
    """Its bundle may wait for a transform behind it, and that one for the place of the stream."""

    async def work(put):
        for n in range(1030):
            await put([delta(n)])
        return []

    log, _ = begun(event_loop, work, patience=0.01)
    until(lambda: log.has_ended)
    assert len(log.after(0)) == 1030


def test_the_text_of_an_attempt_that_was_replaced_is_forgotten(event_loop):
    async def work(put):
        await put([delta(0), delta(1)])
        return [delta(0, attempt=2)]

    log, _ = begun(event_loop, work)
    until(lambda: log.has_ended)
    assert log.text == ["0 "]


def test_a_stream_that_no_bundle_asks_for_is_cancelled(event_loop):
    cancelled = []

    async def work(put):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    _, process = begun(event_loop, work, linger=0.05)
    until(lambda: cancelled)
    until(lambda: process.of(3) == {})
