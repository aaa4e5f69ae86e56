"""Prompts from a Redis stream: who gets which, what a dead reader had, and what is done."""

from __future__ import annotations

from contextlib import closing, contextmanager

import pytest
from door import until
from redis_server import running

from pipelines.sources.base import SourceUnavailable
from pipelines.sources.redis import RedisSource

redis = pytest.importorskip("redis")


@pytest.fixture(scope="module")
def server():
    with running() as one:
        yield one


@pytest.fixture
def client(server):
    with redis.Redis.from_url(server.url) as one:
        one.flushall()
        yield one


@contextmanager
def reader(server, lease=60):
    with closing(RedisSource(f"{server.url}?lease={lease}")()) as consumer:
        yield consumer


def add(client, *rows):
    for row in rows:
        client.xadd("ritellm:prompts", {"json": row})


def take(consumer, count):
    return [until(lambda: consumer.poll(0.1)) for _ in range(count)]


def test_each_prompt_goes_to_one_reader_and_is_deleted_once_it_is_settled(server, client):
    add(client, *(b"%d" % n for n in range(40)))
    with reader(server) as first, reader(server) as second:
        taken = [*take(first, 10), *take(second, 16), *take(first, 14)]
        assert sorted(int(each.data) for each in taken) == list(range(40))
        first.settle([each.receipt for each in taken[:10]])
        until(lambda: client.xlen("ritellm:prompts") == 30)
        second.settle([each.receipt for each in taken[10:26]])
        until(lambda: client.xlen("ritellm:prompts") == 14)
        assert client.xpending("ritellm:prompts", "ritellm")["pending"] == 14


def test_what_a_reader_leaves_without_an_outcome_goes_to_the_next_at_once(server, client):
    add(client, b"a", b"b", b"c")
    with reader(server) as first:
        done, *_ = take(first, 2)
        first.settle([done.receipt])
    with reader(server) as second:
        assert {each.data for each in take(second, 2)} == {b"b", b"c"}


def test_what_a_dead_reader_had_goes_to_another_after_its_lease(server, client):
    add(client, b"a")
    client.xgroup_create("ritellm:prompts", "ritellm", id="0")
    client.xreadgroup("ritellm", "dead", {"ritellm:prompts": ">"})
    with reader(server, lease=1) as other:
        assert take(other, 1)[0].data == b"a"


def test_a_reader_that_is_alive_keeps_what_it_has(server, client):
    add(client, b"a")
    with reader(server, lease=1) as slow, reader(server, lease=1) as other:
        take(slow, 1)
        # Its thread renews the lease again and again, while it receives nothing.
        idle, renewals = 0, 0
        while renewals < 4:
            before, idle = idle, held_for(client)
            renewals += idle < before
            assert other.poll(0.01) is None


def held_for(client):
    """Return how long ago the first entry was leased, in milliseconds."""
    entries = client.xpending_range("ritellm:prompts", "ritellm", "-", "+", 1)
    return entries[0]["time_since_delivered"]


def test_a_reader_goes_on_when_redis_comes_back_and_acknowledges_then():
    with (
        running() as server,
        reader(server) as consumer,
        redis.Redis.from_url(server.url) as client,
    ):
        add(client, b"a", b"b")
        first, second = take(consumer, 2)
        server.kill()
        consumer.settle([first.receipt])
        assert consumer.poll(0.01) is None
        server.start()
        until(lambda: client.xlen("ritellm:prompts") == 1)
        add(client, b"c")
        assert take(consumer, 1)[0].data == b"c"
        assert second.data == b"b"


def test_a_reader_goes_on_when_redis_has_lost_everything(server, client):
    with reader(server) as consumer:
        add(client, b"a")
        take(consumer, 1)
        client.flushall()
        add(client, b"b")
        assert take(consumer, 1)[0].data == b"b"


def test_the_fields_of_an_entry_without_json_are_its_row(server, client):
    client.xadd("ritellm:prompts", {"prompt": "Why?", "id": "q1"})
    with reader(server) as consumer:
        message = take(consumer, 1)[0]
    assert message.text == '{"prompt":"Why?","id":"q1"}'
    assert message.id.startswith("ritellm:prompts:")


def test_redis_that_is_away_or_has_another_kind_of_value_there_is_an_error(server, client):
    with pytest.raises(SourceUnavailable, match="cannot be used"):
        RedisSource("unix:///nowhere/redis.sock").check()
    client.set("ritellm:prompts", "text")
    with pytest.raises(SourceUnavailable, match="WRONGTYPE"):
        RedisSource(server.url).check()
    with pytest.raises(SourceUnavailable, match="lease must be seconds"):
        RedisSource(f"{server.url}?lease=no").check()
