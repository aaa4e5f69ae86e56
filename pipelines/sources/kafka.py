"""Prompts from a Kafka topic, with a client that needs no Java."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.sources.base import Message, SourceUnavailable
from transforms.connections.kafka import client, read_config, topic_problem

_log = logging.getLogger("pipelines.feeds")

_COMMIT_SECONDS = 1.0
# The reader does not poll while all completions in flight are long. The heartbeat tells the broker
# that the process is alive.
_LONGEST_WITHOUT_POLL_MSEC = 24 * 3600 * 1000


@dataclass(frozen=True)
class KafkaSource:
    """A topic and a consumer group; `config_file` is the same as for `KafkaTopic`."""

    brokers: str
    topic: str
    group: str
    config_file: str | None = None

    def check(self) -> None:
        """Raise SourceUnavailable unless a broker responds and has the topic."""
        _KafkaConsumer(self).close()

    def __call__(self) -> _KafkaConsumer:
        """Return a group member; raises SourceUnavailable if the topic does not exist."""
        return _KafkaConsumer(self)


class Offsets:
    """The records of one partition that are in flight.

    Kafka stores one offset for each group and partition: the group resumes from there. So only the
    offset of the first record without an outcome is safe to commit.
    """

    def __init__(self) -> None:
        self._open: dict[int, None] = {}  # in the order of the partition
        self._next = -1

    def take(self, offset: int) -> None:
        """Record that the message at `offset` is in flight."""
        self._open[offset] = None
        self._next = offset + 1

    def settle(self, offset: int) -> None:
        """Record that the message at `offset` has its outcome."""
        self._open.pop(offset, None)

    @property
    def committable(self) -> int:
        """The offset that the group may resume from; -1 before the first record."""
        return next(iter(self._open), self._next)


class _KafkaConsumer:
    """A member of the group. It commits offsets up to the first record without an outcome."""

    def __init__(self, where: KafkaSource) -> None:
        self._kafka = client()
        self._where = where
        config = {
            "bootstrap.servers": where.brokers,
            "group.id": where.group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "max.poll.interval.ms": _LONGEST_WITHOUT_POLL_MSEC,
            "log_level": 0,
            "on_commit": self._confirmed,
        }
        self._partitions: dict[int, Offsets] = {}
        self._committed: dict[int, int] = {}
        self._early: deque[Message] = deque()  # received while the reader wanted none
        self._paused = False
        self._consumer = self._kafka.Consumer({**config, **read_config(where.config_file)})
        self._next_commit = 0.0
        self._lock = threading.Lock()
        if problem := topic_problem(self._consumer, where.brokers, where.topic):
            self._consumer.close()
            raise SourceUnavailable(problem)
        self._consumer.subscribe(
            [where.topic],
            on_assign=self._assigned,
            on_revoke=self._revoked,
            on_lost=self._lost,
        )

    def poll(self, seconds: float) -> Message | None:
        """Return the next record."""
        if self._early:
            return self._early.popleft()
        if self._paused and (assigned := self._consumer.assignment()):
            self._consumer.resume(assigned)
            self._paused = False
        return self._poll(seconds)

    def keep(self) -> None:
        """Commit, and take part in rebalancing: a group waits for each of its members."""
        self._consumer.pause(self._consumer.assignment())
        self._paused = True
        if (message := self._poll(0)) is not None:  # from a partition assigned just now
            self._early.append(message)

    def _poll(self, seconds: float) -> Message | None:
        if time.monotonic() >= self._next_commit:
            self._commit(wait=False)
        record = self._consumer.poll(seconds)
        if record is None:
            return None
        if record.error() is not None:
            self._check_error(record.error())
            return None
        partition, offset = record.partition(), record.offset()
        with self._lock:
            offsets = self._partitions.setdefault(partition, Offsets())
            offsets.take(offset)
        topic = self._where.topic
        location = f"{topic}, partition {partition}, offset {offset}"
        id = f"{topic}/{partition}:{offset}"
        return Message(record.value() or b"", id, location, (offsets, offset))

    def settle(self, receipts: Sequence[tuple[Offsets, int]]) -> None:
        """Record which messages have outcomes; the next poll commits them."""
        with self._lock:
            for offsets, offset in receipts:
                offsets.settle(offset)

    def close(self) -> None:
        """Commit and leave the group."""
        self._commit(wait=True)
        self._consumer.close()

    def _check_error(self, error: Any) -> None:
        """Raise permanent errors; log the others, which the client retries by itself."""
        permanent = (
            self._kafka.KafkaError.UNKNOWN_TOPIC_OR_PART,
            self._kafka.KafkaError.TOPIC_AUTHORIZATION_FAILED,
            self._kafka.KafkaError.GROUP_AUTHORIZATION_FAILED,
        )
        if error.fatal() or error.code() in permanent:
            raise SourceUnavailable(f"Kafka at {self._where.brokers}: {error.str()}")
        _log.warning("Kafka at %s: %s", self._where.brokers, error.str())

    def _commit(self, wait: bool) -> None:
        self._next_commit = time.monotonic() + _COMMIT_SECONDS
        with self._lock:
            found = {number: offsets.committable for number, offsets in self._partitions.items()}
        due = {n: at for n, at in found.items() if at >= 0 and self._committed.get(n) != at}
        if not due:
            return
        offsets = [
            self._kafka.TopicPartition(self._where.topic, number, at) for number, at in due.items()
        ]
        try:
            if not wait:
                self._consumer.commit(offsets=offsets)
            else:
                self._confirmed(None, self._consumer.commit(offsets=offsets, asynchronous=False))
        except self._kafka.KafkaException as error:
            _log.warning(
                "Kafka rejected a commit of offsets; some messages may be delivered again: %s",
                error,
            )

    def _confirmed(self, error: Any, offsets: Sequence[Any]) -> None:
        """Record the offsets that the brokers have stored; the next poll retries the others."""
        for each in offsets if error is None else ():
            if each.error is None:
                self._committed[each.partition] = each.offset

    def _assigned(self, consumer: Any, partitions: Sequence[Any]) -> None:
        self._paused = True  # a partition that returns is still paused
        self._forget(partitions)

    def _revoked(self, consumer: Any, partitions: Sequence[Any]) -> None:
        """Commit before another process takes the partitions over."""
        self._commit(wait=True)
        self._forget(partitions)

    def _lost(self, consumer: Any, partitions: Sequence[Any]) -> None:
        self._forget(partitions)

    def _forget(self, partitions: Sequence[Any]) -> None:
        with self._lock:
            for each in partitions:
                self._partitions.pop(each.partition, None)
                self._committed.pop(each.partition, None)
