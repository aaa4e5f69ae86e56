"""The streaming program between real servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest
from fake_server import Stall, chat_events, stream

from ritellm import follow
from ritellm.following import Finished

ROOT = Path(__file__).parents[2]


class Program:
    """The program as a process of its own."""

    def __init__(self, server, folder, *flags):
        model = ["--model=openai/m", f"--base_url={server.base_url}"]
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "sk-none"}
        command = [sys.executable, "-m", "pipelines.stream_complete", *model, *flags]
        self.process = subprocess.Popen(
            command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, err.decode()
        return out

    def kill(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def program(fake_server, tmp_path):
    started = []

    def start(*flags):
        started.append(Program(fake_server, tmp_path, *flags))
        return started[-1]

    yield start
    for each in started:
        each.kill()


def until(condition, seconds=60):
    """Return what `condition` returns once it is true."""
    patience = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < patience, "it did not happen in time"
        time.sleep(0.05)
    return found


def finished(deltas):
    """Return the texts of the answers that are whole."""
    return {event.id: event.text for event in follow(deltas) if isinstance(event, Finished)}


def rows(n, start=0):
    return [{"id": f"p{i}", "prompt": f"words of {i}"} for i in range(start, start + n)]


def answers(n, start=0):
    return {row["id"]: row["prompt"] for row in rows(n, start)}


class Kafka:
    """A topic for prompts and one for deltas."""

    def __init__(self, server, name, folder):
        self.kafka = pytest.importorskip("confluent_kafka")
        admin = pytest.importorskip("confluent_kafka.admin")
        self.server, self.name = server, name
        client = admin.AdminClient({"bootstrap.servers": server.address})
        topics = [admin.NewTopic(f"{name}-in", 2), admin.NewTopic(f"{name}-out", 2)]
        for made in client.create_topics(topics).values():
            made.result(30)
        group = {"group.id": name, "auto.offset.reset": "earliest"}
        self.reader = self.kafka.Consumer({"bootstrap.servers": server.address, **group})
        self.reader.subscribe([f"{name}-out"])
        self.deltas = []
        settings = folder / "kafka.properties"
        settings.write_text("# who died is missed soon\nsession.timeout.ms=6000\n")
        self.flags = [
            f"--kafka_config={settings}",
            f"--source=kafka:{server.address}/{name}-in",
            f"--deltas_to=kafka:{server.address}/{name}-out",
        ]

    def send(self, *messages):
        producer = self.kafka.Producer({"bootstrap.servers": self.server.address})
        for message in messages:
            producer.produce(f"{self.name}-in", message)
        assert producer.flush(30) == 0

    def received(self):
        while (record := self.reader.poll(0.2)) is not None:
            if record.error() is None:
                self.deltas.append((dict(record.headers())["kind"], record.value()))
        return self.deltas

    def whole(self):
        return finished(value for kind, value in self.received() if kind == b"delta")

    def committed(self):
        where = [self.kafka.TopicPartition(f"{self.name}-in", number) for number in range(2)]
        ritellm = {"bootstrap.servers": self.server.address, "group.id": "ritellm"}
        consumer = self.kafka.Consumer(ritellm)
        found = [max(0, each.offset) for each in consumer.committed(where, timeout=30)]
        consumer.close()
        return sum(found)

    def close(self):
        self.reader.close()


@pytest.fixture
def topics(kafka, name, tmp_path):
    made = Kafka(kafka, name, tmp_path)
    yield made
    made.close()


def test_prompts_of_a_topic_come_out_as_deltas_in_another(topics, program):
    running = program(*topics.flags)
    topics.send(*map(orjson.dumps, rows(20)), b"not json")
    until(lambda: topics.whole() == answers(20) and len(failed(topics)) == 1)
    assert "partition" in failed(topics)[0]["message"]
    running.stop()
    assert topics.committed() == 21


def failed(topics):
    return [orjson.loads(value) for kind, value in topics.received() if kind == b"failed"]


def test_what_a_program_that_died_had_not_finished_is_answered_by_the_next(
    topics, program, fake_server
):
    stuck = {"p3", "p7"}

    def script(request):
        text = request.json["messages"][-1]["content"]
        events = chat_events(text)
        return stream(*events[:2], Stall()) if f"p{text.split()[-1]}" in stuck else stream(*events)

    fake_server.script = script
    first = program(*topics.flags)
    topics.send(*map(orjson.dumps, rows(10)))
    until(lambda: len(topics.whole()) == 8)
    first.kill()
    stuck.clear()
    program(*topics.flags)
    until(lambda: topics.whole() == answers(10))
    asked = [request.json["messages"][-1]["content"] for request in fake_server.requests]
    assert sorted(asked) == sorted([*answers(10).values(), "words of 3", "words of 7"])
    told = {}
    for kind, value in topics.received():
        delta = orjson.loads(value)
        key = delta["id"], delta["attempt"], delta["seq"]
        assert kind == b"delta"
        assert told.setdefault(key, delta["chunk"]) == delta["chunk"], "two deltas with one key"


class PubSub:
    """A topic for prompts and one for deltas, and a subscription to each."""

    def __init__(self, name):
        pubsub = pytest.importorskip("google.cloud.pubsub_v1")
        self.nothing = pytest.importorskip("google.api_core.exceptions").DeadlineExceeded
        options = pubsub.types.PublisherOptions(enable_message_ordering=True)
        self.publisher = pubsub.PublisherClient(publisher_options=options)
        self.subscriber = pubsub.SubscriberClient()
        self.path = f"projects/test-project/{{}}/{name}-{{}}"
        for which in ("in", "out"):
            topic, subscription = self.topic(which), self.subscription(which)
            self.publisher.create_topic(name=topic)
            self.subscriber.create_subscription(
                request={"name": subscription, "topic": topic, "ack_deadline_seconds": 10}
            )
        self.messages = []
        self.flags = [
            f"--source=pubsub:{self.subscription('in')}",
            f"--deltas_to=pubsub:{self.topic('out')}",
        ]

    def topic(self, which):
        return self.path.format("topics", which)

    def subscription(self, which):
        return self.path.format("subscriptions", which)

    def send(self, *messages):
        for message in messages:
            self.publisher.publish(self.topic("in"), message).result(30)

    def received(self, which="out"):
        subscription = self.subscription(which)
        try:
            got = self.subscriber.pull(subscription=subscription, max_messages=1000, timeout=5)
        except self.nothing:
            return self.messages
        if got.received_messages:
            ids = [each.ack_id for each in got.received_messages]
            self.subscriber.acknowledge(subscription=subscription, ack_ids=ids)
        self.messages += [each.message for each in got.received_messages]
        return self.messages

    def whole(self):
        kinds = self.received()
        return finished(each.data for each in kinds if each.attributes["kind"] == "delta")

    def close(self):
        self.publisher.stop()
        self.subscriber.close()


@pytest.fixture
def subscriptions(pubsub, name):
    made = PubSub(name)
    yield made
    made.close()


def test_prompts_of_a_subscription_come_out_as_deltas_in_order_and_are_acknowledged(
    subscriptions, program
):
    running = program(*subscriptions.flags)
    subscriptions.send(*map(orjson.dumps, rows(20)), b"not json")
    until(lambda: subscriptions.whole() == answers(20))
    until(lambda: "failed" in {each.attributes["kind"] for each in subscriptions.received()})
    running.stop()
    places = [
        (int(each.attributes["attempt"]), int(each.attributes["seq"]))
        for each in subscriptions.messages
        if each.ordering_key == "p3"
    ]
    assert places == sorted(places)
    subscriptions.messages.clear()
    assert subscriptions.received("in") == []


def test_deltas_in_redis_streams(redis_server, program, name, tmp_path):
    redis = pytest.importorskip("redis")
    folder = tmp_path / "in"
    folder.mkdir()
    running = program(
        f"--source=dir:{folder}",
        f"--deltas_to={redis_server.url}?key={name}",
        f"--completions_to={redis_server.url}?key={name}",
    )
    (folder / "rows.jsonl").write_bytes(b"\n".join([*map(orjson.dumps, rows(20)), b"nonsense"]))
    with redis.Redis.from_url(redis_server.url) as client:

        def entries(stream):
            return [
                {key.decode(): value.decode() for key, value in fields.items()}
                for _, fields in client.xrange(f"{name}:{stream}")
            ]

        def deltas():
            for entry in entries("deltas"):
                numbers = {each: int(entry[each]) for each in ("attempt", "seq", "final")}
                yield {**entry, **numbers}

        until(lambda: finished(deltas()) == answers(20))
        until(lambda: len(entries("completions")) == 20 and len(entries("failed")) == 1)
        until(lambda: (folder / "done" / "rows.jsonl").exists())
        running.stop()
        assert "line 21" in orjson.loads(entries("failed")[0]["json"])["message"]
