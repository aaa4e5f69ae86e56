"""Published clients in Node read an answer through the door, while a real sink publishes it."""

from __future__ import annotations

import json

import pytest
from door import answer, serving, until
from redis_server import running

from transforms.sinks.redis import RedisStreams


@pytest.fixture(scope="module")
def redis():
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def door(redis):
    with serving(redis.url, wait_seconds=60) as door:
        yield door


@pytest.fixture
def publish(redis):
    publisher = RedisStreams(f"{redis.url}?per_id=true")()
    yield publisher.publish
    publisher.close()


@pytest.mark.parametrize("mode", ["true", "long-poll", "sse"])
def test_the_client_of_durable_streams_reads_each_message_once(node, door, publish, mode):
    id = f"durable-{mode}"
    publish(answer(id, "void", final=False))
    with node.start("read_durable.mjs", f"{door.url}/streams/{id}", mode) as reader:
        messages = map(json.loads, reader.stdout)
        assert next(messages) == {"type": "reset", "attempt": 1}
        assert next(messages) == {"type": "delta", "text": "void"}
        publish(answer(id, "Hal", "lo", attempt=2))
        assert list(messages) == [
            {"type": "reset", "attempt": 2},
            {"type": "delta", "text": "Hal"},
            {"type": "delta", "text": "lo"},
            {"type": "end", "outcome": "finished", "finish_reason": "stop"},
        ]
    assert reader.returncode == 0


def test_an_event_source_reads_until_the_end(node, door, publish):
    deltas = answer("events", "Hal", "lo")
    publish(deltas[:1])
    with node.start("read_events.mjs", f"{door.url}/streams/events") as reader:
        events = map(json.loads, reader.stdout)
        assert next(events) == ["message", {"text": "Hal"}]
        publish(deltas[1:])
        rest = list(events)
    assert "".join(data.get("text", "") for _, data in rest) == "lo"
    assert rest[-1] == ["end", {"outcome": "finished", "finish_reason": "stop"}]
    assert reader.returncode == 0


def test_the_ai_sdk_reads_a_growing_answer(node, door, publish):
    deltas = answer("sdk", "Hal", "lo")
    publish(deltas[:1])
    with node.start("read_answer.mjs", f"{door.url}/streams", "sdk") as reader:
        until(lambda: door.door.readers.count)
        publish(deltas[1:])
        assert reader.stdout.read() == "Hallo\n"
    assert reader.returncode == 0
