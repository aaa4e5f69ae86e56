"""`stream_complete` between real servers on bad days: nothing is lost, nothing told twice."""

from __future__ import annotations

import threading
from functools import partial

import orjson
import pytest
from fake_server import Wait, chat_events, stream
from loopback import Wire, free_port
from programs import until
from prompts import WORDS, answers, prompts, whole
from streaming_backends import KafkaPlace, PubSubPlace, RedisPlace

from ritellm import Superseded, follow


def between(*kinds):
    return pytest.mark.parametrize(("source", "deltas"), kinds, indirect=True)


# What is sent


@between(("kafka", "kafka"), ("pubsub", "pubsub"), ("kafka", "redis"))
def test_a_message_that_cannot_be_asked_is_a_dead_letter_and_the_others_are_answered(
    source, deltas, job
):
    huge = orjson.dumps({"id": "huge", "prompt": "x" * 5000})
    bad = [b"not json", b"\xff\xfe\x00", b"[1]", b"null", b'{"id":"q"}', huge]
    with job(
        f"--source={source.source}", f"--deltas_to={deltas.spec}", "--max_message_bytes=1000"
    ) as program:
        source.send(*bad, *prompts(5))
        until(lambda: whole(deltas) == answers(5) and len(deltas.received()["failed"]) == 6)
        assert program.stop() == 0
    failed = {row["error_type"] for row in deltas.received()["failed"]}
    assert failed == {"RowError", "MessageTooLargeError"}
    assert source.settled() in (11, True)


@pytest.mark.parametrize("source", ["kafka", "pubsub"], indirect=True)
def test_a_message_that_is_delivered_twice_is_answered_once(source, deltas, job, fake_server):
    go_on = threading.Event()
    held = chat_events(f"{WORDS} 0")
    fake_server.enqueue(stream(*held[:3], Wait(go_on), *held[3:]))
    with job(f"--source={source.source}", f"--deltas_to={deltas.spec}") as program:
        source.send(*prompts(1))
        until(lambda: deltas.received()["delta"])
        source.send(*prompts(1), *prompts(1), *prompts(1, 1))  # while it is being answered
        until(lambda: "p1" in whole(deltas))
        go_on.set()
        until(lambda: whole(deltas) == answers(2))
        source.send(*prompts(2), *prompts(1, 2))  # and when it was
        until(lambda: whole(deltas) == answers(3))
        assert program.stop() == 0
    assert len(fake_server.requests) == 3
    assert source.settled() in (7, True)


# The sink


@pytest.mark.parametrize("kind", ["redis", "kafka", "pubsub"])
def test_a_sink_that_is_not_there_is_said_at_once(kind, source, job, monkeypatch):
    pytest.importorskip("google.cloud.pubsub_v1")
    port = free_port()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{port}")
    where = {
        "redis": f"redis://127.0.0.1:{port}/0",
        "kafka": f"kafka:127.0.0.1:{port}/nowhere",
        "pubsub": "pubsub:projects/p-1/topics/nowhere",
    }
    source.send(*prompts(1))
    with job(f"--source={source.source}", f"--deltas_to={where[kind]}") as program:
        assert program.ended() == 2
    [line] = program.lines
    assert line.startswith("stream_complete: ")
    assert f"127.0.0.1:{port}" in line or kind == "pubsub"
    assert source.settled() == 0


def slow_answers(server, release):
    """Have the server stop in the middle of every answer until `release`."""

    def script(request):
        events = chat_events(request.json["messages"][-1]["content"])
        return stream(*events[:4], Wait(release), *events[4:])

    server.script = script


@pytest.mark.parametrize("deltas", ["redis", "kafka", "pubsub"], indirect=True)
def test_a_sink_that_goes_away_in_the_middle_gets_everything_when_it_is_back(
    source, deltas, job, fake_server, redis_server, kafka, request, monkeypatch
):
    if isinstance(deltas, PubSubPlace):  # the emulator would forget: what is cut is its wire
        wire = Wire(request.getfixturevalue("pubsub_server").port)
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", wire.address)
        away, back = wire.cut, wire.join
    else:
        server = redis_server if isinstance(deltas, RedisPlace) else kafka
        away, back = server.kill, server.start
    release = threading.Event()
    slow_answers(fake_server, release)
    with job(f"--source={source.source}", f"--deltas_to={deltas.spec}") as program:
        source.send(*prompts(20))
        until(lambda: len({delta["id"] for delta in deltas.received()["delta"]}) == 20)
        away()
        release.set()
        fake_server.wait_until(lambda: fake_server.open_streams == 0, 30)
        if isinstance(deltas, RedisPlace):
            program.until(lambda line: "retrying for" in line)
        back()
        until(lambda: whole(deltas) == answers(20))
        until(lambda: source.settled() == 20)
        assert program.stop() == 0
    assert len(fake_server.requests) == 20


def test_a_sink_that_stays_away_ends_the_job_and_the_next_one_pays_for_nothing_twice(
    source, deltas, job, fake_server, redis_server
):
    release = threading.Event()
    slow_answers(fake_server, release)
    flags = [f"--source={source.source}", f"--deltas_to={deltas.spec}"]
    with job(*flags, "--sink_patience=1") as program:
        source.send(*prompts(5))
        until(lambda: len({delta["id"] for delta in deltas.received()["delta"]}) == 5)
        redis_server.kill()
        release.set()
        try:
            assert program.ended() == 1
        finally:
            redis_server.start()
        assert "Redis" in program.lines[-1]
    assert source.settled() == 0
    with job(*flags) as program:
        until(lambda: whole(deltas) == answers(5))
        assert program.stop() == 0
    asked = [request.json["messages"][-1]["content"] for request in fake_server.requests]
    assert source.settled() == 5
    assert len(asked) <= 10


# The model server, and the clock


def test_a_model_server_that_restarts_in_the_middle_costs_no_answer(
    source, deltas, job, fake_server
):
    wire = Wire(fake_server.port)
    release = threading.Event()
    slow_answers(fake_server, release)
    with job(
        f"--source={source.source}",
        f"--deltas_to={deltas.spec}",
        base_url=f"http://{wire.address}/v1",
    ) as program:
        source.send(*prompts(10))
        until(lambda: len({delta["id"] for delta in deltas.received()["delta"]}) == 10)
        wire.cut()
        release.set()
        wire.join()
        until(lambda: whole(deltas) == answers(10))
        assert program.stop() == 0
    begun_anew = [e for e in follow(deltas.received()["delta"]) if isinstance(e, Superseded)]
    assert {event.id for event in begun_anew} == answers(10).keys()
    assert deltas.received()["failed"] == []


CLOCK = """
import itertools, sys, time
days = itertools.cycle((0, 86400, -86400 * 400, 3600, -1))
real, time.time = time.time, lambda: real() + next(days)
from pipelines.stream_complete import main
main(sys.argv[1:])
"""


def test_a_clock_that_jumps_changes_nothing(source, deltas, job, fake_server):
    flags = [f"--source={source.source}", f"--deltas_to={deltas.spec}", "--give_up_after=20"]
    with job(*flags, "--sink_patience=20", program=("-c", CLOCK)) as program:
        source.send(*prompts(50))
        until(lambda: whole(deltas) == answers(50))
        assert program.stop() == 0
    assert len(fake_server.requests) == 50
    assert deltas.received()["failed"] == []
    assert source.settled() == 50


def test_a_group_that_begins_anew_gets_the_answers_that_were_paid_for(
    source, deltas, job, fake_server
):
    assert isinstance(source, KafkaPlace)
    flags = [f"--source={source.source}", f"--deltas_to={deltas.spec}"]
    source.send(*prompts(10))
    for group in ("first", "second"):
        with job(*flags, f"--kafka_group={group}") as program:
            until(partial(source.settled, group))
            until(lambda: whole(deltas) == answers(10))
            assert program.stop() == 0
        assert source.settled(group) == 10
    assert len(fake_server.requests) == 10
