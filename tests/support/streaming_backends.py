"""The places that prompts come from and deltas go to, behind one face; each test has its own."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from loopback import Server
from redis_server import RedisServer

from transforms.serialization import KINDS
from transforms.sinks.kafka import KafkaTopic
from transforms.sinks.pubsub import PubSubTopic
from transforms.sinks.redis import RedisStreams

PROJECT = "projects/test-project"

Row = dict[str, Any]


class RedisPlace:
    """A Redis stream; prompts do not come from there.

    `spec` is how `stream_complete` names it, `publisher` makes the publisher of `transforms`,
    `consumer` is the program of examples/ that follows it.
    """

    def __init__(self, server: RedisServer, name: str) -> None:
        self._url, self._name = server.url, name
        self._seen: dict[str, bytes] = {}
        url = f"{server.url}?key={name}"
        self.spec, self.publisher = f"redis:{url}", RedisStreams(url)
        self.consumer = ["examples/follow_redis.py", server.url, f"--stream={name}:deltas"]

    def received(self) -> dict[str, list[Row]]:
        """Return all that was published, by its kind."""
        redis = pytest.importorskip("redis")
        with redis.Redis.from_url(self._url, decode_responses=True) as client:
            deltas = [entry for _, entry in client.xrange(f"{self._name}:deltas")]
            failed = [entry for _, entry in client.xrange(f"{self._name}:failed")]
        return {"delta": deltas, "failed": [orjson.loads(entry["json"]) for entry in failed]}

    def close(self) -> None:
        """There is nothing to close."""


class KafkaPlace:
    """A Kafka topic; `source` is how `stream_complete` reads prompts from it."""

    def __init__(self, server: Server, name: str, partitions: int = 2) -> None:
        self.kafka = pytest.importorskip("confluent_kafka")
        admin = pytest.importorskip("confluent_kafka.admin")
        self.name, self._partitions = name, partitions
        self._brokers = {"bootstrap.servers": server.address, "log_level": 0}
        client = admin.AdminClient(self._brokers)
        client.create_topics([admin.NewTopic(name, partitions)])[name].result(30)
        self._rows: list[tuple[str, Row]] = []
        # Without a group's ceremony: one whose broker was killed is waited for, for 45 s.
        self._reader = self.kafka.Consumer({**self._brokers, "group.id": f"test-{name}"})
        begin = self.kafka.OFFSET_BEGINNING
        places = [self.kafka.TopicPartition(name, n, begin) for n in range(partitions)]
        self._reader.assign(places)
        self.spec = self.source = f"kafka:{server.address}/{name}"
        self.publisher = KafkaTopic(server.address, name)
        self.consumer = ["examples/follow_kafka.py", server.address, name, "--from_beginning"]

    def send(self, *messages: bytes) -> None:
        """Put prompts there."""
        producer = self.kafka.Producer(self._brokers)
        for message in messages:
            producer.produce(self.name, message)
        assert producer.flush(30) == 0

    def received(self) -> dict[str, list[Row]]:
        """Return all that was published, by its kind."""
        while (record := self._reader.poll(0.1)) is not None:
            if record.error() is None:
                kind = dict(record.headers())["kind"].decode()
                self._rows.append((kind, orjson.loads(record.value())))
        return by_kind(self._rows)

    def settled(self, group: str = "ritellm") -> int:
        """Return how many prompts are done for good, as far as the broker knows."""
        where = [self.kafka.TopicPartition(self.name, n) for n in range(self._partitions)]
        consumer = self.kafka.Consumer({**self._brokers, "group.id": group})
        found = [max(0, each.offset) for each in consumer.committed(where, timeout=30)]
        consumer.close()
        return sum(found)

    def close(self) -> None:
        """Hang up."""
        self._reader.close()


class PubSubPlace:
    """A Pub/Sub topic, and a subscription of the same name."""

    def __init__(self, name: str) -> None:
        pubsub = pytest.importorskip("google.cloud.pubsub_v1")
        self._topic = f"{PROJECT}/topics/{name}"
        self._subscription = f"{PROJECT}/subscriptions/{name}"
        self._publisher, self._subscriber = pubsub.PublisherClient(), pubsub.SubscriberClient()
        self._publisher.create_topic(name=self._topic)
        self._subscriber.create_subscription(
            request={"name": self._subscription, "topic": self._topic, "ack_deadline_seconds": 10}
        )
        self._rows: list[tuple[str, Row]] = []
        self.spec, self.source = f"pubsub:{self._topic}", f"pubsub:{self._subscription}"
        self.publisher = PubSubTopic(self._topic)
        self.consumer = ["examples/follow_pubsub.py", self._subscription]

    def send(self, *messages: bytes) -> None:
        """Put prompts there."""
        for future in [self._publisher.publish(self._topic, message) for message in messages]:
            future.result(30)

    def received(self) -> dict[str, list[Row]]:
        """Return all that was published, by its kind."""
        while found := self._pull(timeout=0.5):
            for message in found:
                kind = message.message.attributes["kind"]
                self._rows.append((kind, orjson.loads(message.message.data)))
        return by_kind(self._rows)

    def settled(self) -> bool:
        """Return whether no prompt is left."""
        return not self._pull(timeout=1)

    def _pull(self, timeout: float) -> list[Any]:
        exceptions = pytest.importorskip("google.api_core.exceptions")
        try:
            found = self._subscriber.pull(
                subscription=self._subscription, max_messages=1000, timeout=timeout, retry=None
            ).received_messages
        except exceptions.DeadlineExceeded:
            return []
        if ids := [each.ack_id for each in found]:
            self._subscriber.acknowledge(subscription=self._subscription, ack_ids=ids)
        return list(found)

    def close(self) -> None:
        """Hang up."""
        self._publisher.stop()
        self._publisher.transport.close()
        self._subscriber.close()


Place = RedisPlace | KafkaPlace | PubSubPlace


def by_kind(rows: list[tuple[str, Row]]) -> dict[str, list[Row]]:
    """Return the rows of each kind."""
    return {name: [row for kind, row in rows if kind == name] for name in KINDS.values()}


def place_of(kind: str, request: pytest.FixtureRequest, name: str) -> Place:
    """Return a new place of a kind."""
    if kind == "redis":
        return RedisPlace(request.getfixturevalue("redis_server"), name)
    if kind == "kafka":
        return KafkaPlace(request.getfixturevalue("kafka"), name)
    request.getfixturevalue("pubsub")
    return PubSubPlace(name)
