"""Publishes elements to a Kafka topic with librdkafka, without Java."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transforms.connections.kafka import client, read_config, topic_problem
from transforms.elements import Delta, Outcome
from transforms.serialization import KINDS, to_bytes
from transforms.sinks.base import SinkUnavailable

# A record that is not delivered within this time has failed, and its batch is published again.
_DELIVERY_SECONDS = 20


@dataclass(frozen=True)
class KafkaTopic:
    """Makes the publisher for `topic`, on the worker.

    The key of a record is the element's id, its value JSON; the headers are `kind` (delta,
    completion, failed) and for a delta `submission`, `attempt` and `seq`. `config_file` is the path
    of a file with lines of name=value for librdkafka, such as credentials. It is read on the
    worker, from any Beam filesystem.
    """

    brokers: str
    topic: str
    config_file: str | None = None

    def __call__(self) -> _KafkaPublisher:
        """Return the publisher, which connects on first use. Raises ValueError for a bad file."""
        return _KafkaPublisher(self.brokers, self.topic, read_config(self.config_file))


class _KafkaPublisher:
    def __init__(self, brokers: str, topic: str, config: Mapping[str, str]) -> None:
        self._kafka = client()
        self._brokers, self._topic = brokers, topic
        settings = {
            "bootstrap.servers": brokers,
            "enable.idempotence": True,  # its own retries neither reorder nor duplicate
            "linger.ms": 0,  # the queue has batched the elements already
            "delivery.timeout.ms": _DELIVERY_SECONDS * 1000,
            "log_level": 0,  # errors are raised, not logged
        }
        self._producer = self._kafka.Producer({**settings, **config})
        self._failed: list[Any] = []

    def check(self) -> None:
        """Raise SinkUnavailable unless a broker responds and has the topic."""
        if problem := topic_problem(self._producer, self._brokers, self._topic):
            raise SinkUnavailable(problem)

    def publish(self, batch: Sequence[Outcome]) -> None:
        """Produce `batch`, and wait until the brokers have it."""
        self._failed.clear()
        for element in batch:
            self._produce(element)
        left = self._producer.flush(_DELIVERY_SECONDS + 5)
        if self._failed:
            raise self._raised(self._failed[0])
        if left:
            raise SinkUnavailable(f"Kafka at {self._brokers} does not respond")

    def close(self) -> None:
        """Drop records that are not delivered yet."""
        self._producer.purge()
        self._producer.flush(1)

    def _produce(self, element: Outcome) -> None:
        headers = [("kind", KINDS[type(element)].encode())]
        if isinstance(element, Delta):
            headers += [("submission", element.submission.encode())]
            headers += [("attempt", b"%d" % element.attempt), ("seq", b"%d" % element.seq)]
        value, key = to_bytes(element), element.id.encode()
        while True:
            try:
                self._producer.produce(
                    self._topic, value, key, headers=headers, on_delivery=self._delivered
                )
                return
            except BufferError:
                self._producer.poll(0.1)
            except self._kafka.KafkaException as error:
                raise self._raised(error.args[0]) from error

    def _delivered(self, error: Any, message: Any) -> None:
        if error is not None:
            self._failed.append(error)

    def _raised(self, error: Any) -> Exception:
        text = f"Kafka at {self._brokers} refuses a record for {self._topic!r}: {error.str()}"
        final = error.fatal() or error.code() == self._kafka.KafkaError.MSG_SIZE_TOO_LARGE
        return ValueError(text) if final else SinkUnavailable(text)
