"""Publishes elements to a Pub/Sub topic, in order for each id."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transforms.connections.pubsub import _line, client, explained
from transforms.elements import Delta, Outcome
from transforms.serialization import KINDS, to_bytes
from transforms.sinks.base import SinkMissing, SinkUnavailable

CHECK_SECONDS = 10
_MOST_KEY_BYTES = 1024


@dataclass(frozen=True)
class PubSubTopic:
    """Makes the publisher for `topic` (projects/P/topics/T), on the worker.

    A message is JSON; its ordering key is the element's id (of more than 1,024 bytes: a hash), its
    attributes are `kind` (delta, completion, failed) and for a delta `submission`, `attempt` and
    `seq`.
    """

    topic: str

    def __call__(self) -> _PubSubPublisher:
        """Return the publisher."""
        return _PubSubPublisher(self.topic)


class _PubSubPublisher:
    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._errors: Any = importlib.import_module("google.api_core.exceptions")
        pubsub = client()
        options = pubsub.types.PublisherOptions(enable_message_ordering=True)
        # The queue has batched the elements already, so the client need not wait for more.
        batches = pubsub.types.BatchSettings(max_messages=1000, max_latency=0.001)
        with explained(SinkUnavailable):
            self._client = pubsub.PublisherClient(batches, options)

    def check(self) -> None:
        """Raise SinkUnavailable unless Pub/Sub responds; SinkMissing if it has no such topic."""
        with explained(SinkUnavailable, SinkMissing):
            self._client.get_topic(topic=self._topic, timeout=CHECK_SECONDS, retry=None)

    def publish(self, batch: Sequence[Outcome]) -> None:
        """Publish `batch`, and wait until Pub/Sub has it."""
        sent = [(key, self._send(element, key)) for element in batch if (key := _key(element.id))]
        failed: dict[str, Exception] = {}
        for key, future in sent:
            if error := future.exception():
                failed.setdefault(key, error)
        for key in failed:
            self._client.resume_publish(self._topic, key)
        for error in failed.values():
            refused = isinstance(error, self._errors.InvalidArgument)
            text = f"Pub/Sub refuses a message for {self._topic}: {_line(error)}"
            raise (ValueError if refused else SinkUnavailable)(text) from error

    def close(self) -> None:
        """Close the connection."""
        self._client.stop()

    def _send(self, element: Outcome, key: str) -> Any:
        attributes = {"kind": KINDS[type(element)]}
        if isinstance(element, Delta):
            attributes["submission"] = element.submission
            attributes |= {"attempt": str(element.attempt), "seq": str(element.seq)}
        return self._client.publish(self._topic, to_bytes(element), ordering_key=key, **attributes)


def _key(id: str) -> str:
    raw = id.encode()
    return id if len(raw) <= _MOST_KEY_BYTES else hashlib.blake2b(raw).hexdigest()
