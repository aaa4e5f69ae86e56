"""The places deltas go through, behind one face: what a test makes there is its own."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pytest
from loopback import Server
from redis_server import RedisServer

PROJECT = "projects/test-project"


@dataclass
class Place:
    """A stream or topic. `spec` is how `stream_complete` names it."""

    spec: str
    publisher: Any  # makes the publisher of `transforms`
    consumer: list[str]  # the program of examples/ that follows it, and its arguments


def redis_stream(server: RedisServer, name: str) -> Place:
    """Return a Redis stream."""
    publishing = import_module("transforms.publishing_redis")
    url = f"{server.url}?key={name}"
    consumer = ["examples/follow_redis.py", server.url, f"--stream={name}:deltas"]
    return Place(f"redis:{url}", publishing.RedisStreams(url), consumer)


def kafka_topic(server: Server, name: str, partitions: int = 3) -> Place:
    """Return a Kafka topic."""
    admin = pytest.importorskip("confluent_kafka.admin")
    client = admin.AdminClient({"bootstrap.servers": server.address})
    client.create_topics([admin.NewTopic(name, partitions)])[name].result(30)
    publishing = import_module("transforms.publishing_kafka")
    consumer = ["examples/follow_kafka.py", server.address, name, "--from_beginning"]
    spec = f"kafka:{server.address}/{name}"
    return Place(spec, publishing.KafkaTopic(server.address, name), consumer)


def pubsub_topic(name: str) -> Place:
    """Return a Pub/Sub topic, and a subscription of the same name."""
    pubsub = pytest.importorskip("google.cloud.pubsub_v1")
    topic, subscription = f"{PROJECT}/topics/{name}", f"{PROJECT}/subscriptions/{name}"
    publisher = pubsub.PublisherClient()
    publisher.create_topic(name=topic)
    publisher.stop()
    with pubsub.SubscriberClient() as subscriber:
        subscriber.create_subscription(name=subscription, topic=topic)
    publishing = import_module("transforms.publishing_pubsub")
    consumer = ["examples/follow_pubsub.py", subscription]
    return Place(f"pubsub:{topic}", publishing.PubSubTopic(topic), consumer)


def place_of(kind: str, request: pytest.FixtureRequest, name: str) -> Place:
    """Return a new place of a kind."""
    if kind == "redis":
        return redis_stream(request.getfixturevalue("redis_server"), name)
    if kind == "kafka":
        return kafka_topic(request.getfixturevalue("kafka"), name)
    request.getfixturevalue("pubsub")
    return pubsub_topic(name)
