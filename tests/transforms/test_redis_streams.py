"""The streams that a sink writes to Redis: how long they are, and how long they stay."""

from __future__ import annotations

from contextlib import closing

import pytest
from door import answer
from redis_server import running

from transforms.sinks import redis as sink
from transforms.sinks.redis import RedisStreams

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


@pytest.fixture
def publish(server, request):
    options = getattr(request, "param", "")
    with closing(RedisStreams(f"{server.url}?per_id=true{options}")()) as publisher:
        yield publisher.publish


def numbers(client):
    return [tuple(map(int, each.split(b"-"))) for each, _ in client.xrange("ritellm:deltas:q")]


def test_another_submission_of_an_id_removes_the_texts_before_it(client, publish):
    publish(answer("q", "first", "text", order=1))
    publish(answer("q", "second", order=2))
    entries = [fields[b"text"] for _, fields in client.xrange("ritellm:deltas:q")]
    assert entries == [b"second", b"", b""]


def test_another_attempt_removes_nothing_and_an_older_submission_neither(client, publish):
    publish(answer("q", "first", order=2, final=False))
    publish(answer("q", "again", order=2, attempt=2))
    publish(answer("q", "late", order=1))
    entries = [fields[b"text"] for _, fields in client.xrange("ritellm:deltas:q")]
    assert entries == [b"first", b"again", b"", b""]


@pytest.mark.parametrize("publish", ["&maxlen=500"], indirect=True)
def test_an_answer_without_end_keeps_about_maxlen_entries(client, publish):
    deltas = answer("q", *map(str, range(5_000)), final=False)
    for start in range(0, 5_000, 100):
        publish(deltas[start : start + 100])
    # Redis trims whole nodes of 100 entries, at each delta of 256.
    assert 500 <= client.xlen("ritellm:deltas:q") <= 500 + 100 + 256
    assert client.xrevrange("ritellm:deltas:q", count=1)[0][1][b"text"] == b"4999"


@pytest.mark.parametrize("publish", ["&ttl=100"], indirect=True)
def test_an_answer_that_grows_for_longer_than_ttl_does_not_expire(client, publish, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(sink.time, "monotonic", lambda: now[0])
    first, *rest = answer("q", *map(str, range(9)), final=False)
    publish([first])
    for delta in rest:
        now[0] += 30
        client.expire("ritellm:deltas:q", 70)  # what is left after 30 seconds
        publish([delta])
        assert client.ttl("ritellm:deltas:q") > 90


@pytest.mark.parametrize("publish", ["&ttl=100"], indirect=True)
def test_deltas_that_come_together_cost_one_command_each(client, publish):
    deltas = answer("q", *map(str, range(200)), final=False)
    publish(deltas[:1])
    before = client.info("commandstats")["cmdstat_xadd"]["calls"], expires(client)
    publish(deltas[1:])
    after = client.info("commandstats")["cmdstat_xadd"]["calls"], expires(client)
    assert (after[0] - before[0], after[1] - before[1]) == (199, 0)


def expires(client):
    return client.info("commandstats")["cmdstat_expire"]["calls"]


@pytest.mark.parametrize("publish", ["&ttl=100"], indirect=True)
def test_a_finished_answer_stays_for_ttl_seconds(client, publish):
    publish(answer("q", "text"))
    assert 90 < client.ttl("ritellm:deltas:q") <= 100
    assert 90 < client.ttl("ritellm:begun") <= 100
