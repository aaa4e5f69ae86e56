"""A stream that the caller drops in a reference cycle is closed by the garbage collector, which may
run while the same thread is at work on the pool of connections."""

from __future__ import annotations

import gc
import threading
from types import SimpleNamespace

import httpcore
import httpx
import pytest
from faces import Sync, content
from fake_server import Stall, chat_events, stream

from ritellm.transports.fast.pool import Pool
from ritellm.transports.httpx import HttpxTransport
from ritellm.transports.httpx_pool import PoolLock

HANGING = stream(*chat_events("one two")[:3], Stall())


class Plain(Sync):
    """httpx on a transport of the caller's own."""

    def __init__(self, **defaults):
        super().__init__(transport=httpx.HTTPTransport(), **defaults)


@pytest.fixture(params=[Sync, Plain])
def face(request, fake_server):
    """The synchronous face on httpx."""
    made = request.param(base_url=fake_server.base_url, api_key="k")
    yield made
    within_a_thread(made.close)


@pytest.fixture
def collecting_pool(monkeypatch):
    """Garbage is collected while the pool makes a connection, which it does with its lock."""
    create = httpcore.ConnectionPool.create_connection

    def collect_and_create(pool, origin):
        gc.collect()
        return create(pool, origin)

    monkeypatch.setattr(httpcore.ConnectionPool, "create_connection", collect_and_create)


def drop(opened):
    """Read a chunk, and leave the stream in a reference cycle."""
    next(opened)
    cycle = SimpleNamespace(opened=opened)
    cycle.itself = cycle


def within_a_thread(action):
    """Return what `action` returns; fails if it hangs."""
    returned = []
    thread = threading.Thread(target=lambda: returned.append(action()), daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "the thread waits for itself"
    return returned[0]


@pytest.mark.usefixtures("collecting_pool")
def test_a_stream_may_be_collected_while_the_pool_makes_a_connection(face, fake_server):
    for dropped in range(1, 4):
        fake_server.enqueue(HANGING)
        gc.disable()
        try:
            drop(face.stream())
            assert content(within_a_thread(face.ask)) == "one two three"
        finally:
            gc.enable()
        fake_server.wait_until(lambda so_far=dropped: fake_server.cancelled == so_far)


@pytest.mark.usefixtures("collecting_pool")
def test_a_connection_of_a_collected_stream_leaves_the_pool(fake_server):
    transport = httpx.HTTPTransport()
    face = Sync(transport=transport, base_url=fake_server.base_url, api_key="k")
    gc.disable()
    try:
        for _ in range(3):
            fake_server.enqueue(HANGING)
            drop(face.stream())
            within_a_thread(face.ask)
    finally:
        gc.enable()
    within_a_thread(face.ask)
    assert len(transport._pool.connections) == 1
    assert not transport._pool._requests
    within_a_thread(face.close)


class Idle:
    """A connection; whoever asks whether it is alive sees another one come back to the pool."""

    def __init__(self, pool, alive=True, coming=None):
        self._pool, self._alive, self._coming = pool, alive, coming
        self.idle_since = 0.0
        self.closed = False

    @property
    def is_alive(self):
        if self._coming is not None:
            coming, self._coming = self._coming, None
            self._pool.give("origin", coming)
        return self._alive

    def make_idle(self):
        return True

    def close(self):
        self.closed = True


@pytest.mark.parametrize("alive", [True, False])
def test_a_connection_may_come_back_while_the_pool_looks_for_old_ones(alive):
    pool = Pool()
    coming = Idle(pool)
    first, second = Idle(pool, alive, coming), Idle(pool)
    pool.give("origin", first)
    pool.give("origin", second)
    assert within_a_thread(pool.expire)
    assert first.closed is not alive
    taken = [pool.take("origin") for _ in range(3 if alive else 2)]
    assert set(taken) == {coming, second, *([first] if alive else [])}


def test_what_is_put_off_runs_once_the_lock_is_free_and_an_error_in_it_reaches_no_one_else():
    lock, happened = PoolLock(), []

    def fail():
        raise RuntimeError("the reader of that stream is gone")

    with lock:
        with lock:
            lock.put_off(fail)
            lock.put_off(lambda: happened.append(lock.is_mine))
        assert happened == []  # the outer block still has it
    assert happened == [False]
    assert not lock.is_mine


def test_another_thread_does_not_count_as_the_owner_of_the_lock():
    lock = PoolLock()
    with lock:
        assert within_a_thread(lambda: lock.is_mine) is False


def test_a_cancellation_waits_until_the_thread_has_left_the_pool():
    transport, sent = HttpxTransport(httpx.HTTPTransport()), []
    transport.when_free(lambda: sent.append("at once"))
    (lock,) = transport._locks
    with lock:
        transport.when_free(lambda: sent.append("later"))
        assert sent == ["at once"]
    assert sent == ["at once", "later"]
    transport.close()
