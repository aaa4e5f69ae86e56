"""Prompts from a Kafka topic, by the client that needs no Java."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.sources.base import FeedUnavailable, Message
from transforms.connections.kafka import client, read_config, topic_problem

_log = logging.getLogger("pipelines.feeds")

_COMMIT_SECONDS = 1.0
# While all answers under way are long ones nobody polls; the broker sees by the heartbeat that we
# live.
_LONGEST_WITHOUT_POLL_MSEC = 24 * 3600 * 1000


@dataclass(frozen=True)
class KafkaFeed:
    """Makes the feed of `topic` for a consumer `group`; `config_file` is as for `KafkaTopic`."""

    brokers: str
    topic: str
    group: str
    config_file: str | None = None

    def check(self) -> None:
        """Raise FeedUnavailable unless a broker answers and has the topic."""
        _KafkaFeed(self).close()

    def __call__(self) -> _KafkaFeed:
        """Return the feed; raises FeedUnavailable if there is no such topic."""
        return _KafkaFeed(self)


class Offsets:
    """Which records of one partition are done: the first that is not is where the group goes on."""

    def __init__(self) -> None:
        self._open: dict[int, None] = {}  # in their order
        self._next = -1

    def take(self, offset: int) -> None:
        """Note that the record at `offset` is under way."""
        self._open[offset] = None
        self._next = offset + 1

    def settle(self, offset: int) -> None:
        """Note that the record at `offset` is done."""
        self._open.pop(offset, None)

    @property
    def committable(self) -> int:
        """Where the group goes on if this process dies now; -1 before the first record."""
        return next(iter(self._open), self._next)


class _KafkaFeed:
    """Offsets are committed up to the first record without an outcome: none is lost."""

    def __init__(self, where: KafkaFeed) -> None:
        self._kafka = client()
        self._where = where
        ours = {
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
        self._early: deque[Message] = deque()  # taken while none was wanted
        self._paused = False
        self._consumer = self._kafka.Consumer({**ours, **read_config(where.config_file)})
        self._next_commit = 0.0
        self._lock = threading.Lock()
        if problem := topic_problem(self._consumer, where.brokers, where.topic):
            self._consumer.close()
            raise FeedUnavailable(problem)
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
        """Commit, and let partitions come and go; a group waits for each of its members."""
        self._consumer.pause(self._consumer.assignment())
        self._paused = True
        if (message := self._poll(0)) is not None:  # of a partition that has just come
            self._early.append(message)

    def _poll(self, seconds: float) -> Message | None:
        if time.monotonic() >= self._next_commit:
            self._commit(wait=False)
        record = self._consumer.poll(seconds)
        if record is None:
            return None
        if record.error() is not None:
            self._heard(record.error())
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
        """Note what is done; the next poll commits it."""
        with self._lock:
            for offsets, offset in receipts:
                offsets.settle(offset)

    def close(self) -> None:
        """Commit, and leave the group."""
        self._commit(wait=True)
        self._consumer.close()

    def _heard(self, error: Any) -> None:
        """Raise what will not get better by itself; the client goes on trying with the rest."""
        hopeless = (
            self._kafka.KafkaError.UNKNOWN_TOPIC_OR_PART,
            self._kafka.KafkaError.TOPIC_AUTHORIZATION_FAILED,
            self._kafka.KafkaError.GROUP_AUTHORIZATION_FAILED,
        )
        if error.fatal() or error.code() in hopeless:
            raise FeedUnavailable(f"Kafka at {self._where.brokers}: {error.str()}")
        _log.warning("Kafka at %s: %s", self._where.brokers, error.str())

    def _commit(self, wait: bool) -> None:
        self._next_commit = time.monotonic() + _COMMIT_SECONDS
        with self._lock:
            found = {number: offsets.committable for number, offsets in self._partitions.items()}
        due = {n: at for n, at in found.items() if at >= 0 and self._committed.get(n) != at}
        if not due:
            return
        places = [
            self._kafka.TopicPartition(self._where.topic, number, at) for number, at in due.items()
        ]
        try:
            if not wait:
                self._consumer.commit(offsets=places)
            else:
                self._confirmed(None, self._consumer.commit(offsets=places, asynchronous=False))
        except self._kafka.KafkaException as error:
            _log.warning("Kafka takes no offsets, so some messages may come again: %s", error)

    def _confirmed(self, error: Any, places: Sequence[Any]) -> None:
        """Note what the brokers have; what they have not is committed again with the next poll."""
        for each in places if error is None else ():
            if each.error is None:
                self._committed[each.partition] = each.offset

    def _assigned(self, consumer: Any, partitions: Sequence[Any]) -> None:
        self._paused = True  # a partition that comes back is as it was when it went
        self._forget(partitions)

    def _revoked(self, consumer: Any, partitions: Sequence[Any]) -> None:
        """Commit what is done before another process goes on from there."""
        self._commit(wait=True)
        self._forget(partitions)

    def _lost(self, consumer: Any, partitions: Sequence[Any]) -> None:
        self._forget(partitions)

    def _forget(self, partitions: Sequence[Any]) -> None:
        with self._lock:
            for each in partitions:
                self._partitions.pop(each.partition, None)
                self._committed.pop(each.partition, None)
