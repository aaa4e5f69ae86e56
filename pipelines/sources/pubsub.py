"""Prompts from a Pub/Sub subscription, for a job that runs in this process."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.sources.base import Message, SourceMissing, SourceUnavailable
from transforms.connections.pubsub import client, explained
from transforms.sinks.pubsub import CHECK_SECONDS

# The client extends the lease of a message up to this time, for slow completions.
_LONGEST_LEASE_SECONDS = 24 * 3600


@dataclass(frozen=True)
class PubSubSource:
    """A subscription, projects/P/subscriptions/S.

    The client leases at most `most` messages at once: those in flight, and the next ones.
    """

    subscription: str
    most: int

    def check(self) -> None:
        """Raise SourceUnavailable if it cannot be reached, SourceMissing if it does not exist."""
        self._connected().close()

    def __call__(self) -> _PubSubConsumer:
        """Return a consumer; raises SourceUnavailable if the subscription does not exist."""
        return _PubSubConsumer(self._connected(), self.subscription, self.most)

    def _connected(self) -> Any:
        with explained(SourceUnavailable, SourceMissing):
            subscriber = client().SubscriberClient()
            subscriber.get_subscription(
                subscription=self.subscription, timeout=CHECK_SECONDS, retry=None
            )
            return subscriber
        raise AssertionError("explained raises")


class _PubSubConsumer:
    """Leases each message until its outcome is published, then acknowledges it."""

    def __init__(self, subscriber: Any, subscription: str, most: int) -> None:
        self._client, self._subscription = subscriber, subscription
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        flow = client().types.FlowControl(
            max_messages=most, max_lease_duration=_LONGEST_LEASE_SECONDS
        )
        self._pulling = self._client.subscribe(subscription, self._queue.put, flow_control=flow)

    def poll(self, seconds: float) -> Message | None:
        """Return the next message."""
        try:
            message = self._queue.get(seconds > 0, seconds or None)
        except queue.Empty:
            if self._pulling.done():
                with explained(SourceUnavailable):
                    self._pulling.result()
            return None
        name = self._subscription.rpartition("/")[2]
        location = f"{name}, message {message.message_id}"
        return Message(message.data, f"{name}:{message.message_id}", location, message)

    def keep(self) -> None:
        """Do nothing: the client extends leases by itself."""

    def settle(self, receipts: Sequence[Any]) -> None:
        """Acknowledge; the client sends this from its own thread."""
        for message in receipts:
            message.ack()

    def close(self) -> None:
        """Return the messages that were not started; disconnect after the last acknowledgement."""
        while True:
            try:
                self._queue.get_nowait().nack()
            except queue.Empty:
                break
        self._pulling.cancel()
        with explained(SourceUnavailable):
            self._pulling.result(timeout=10)
        self._client.close()
