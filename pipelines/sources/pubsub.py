"""Prompts from a Pub/Sub subscription, for a job that runs in this process."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.sources.base import FeedMissing, FeedUnavailable, Message
from transforms.connections.pubsub import client, explained
from transforms.sinks.pubsub import CHECK_SECONDS

# The client renews its hold on a message for so long: an answer may take its time.
_LONGEST_HOLD_SECONDS = 24 * 3600


@dataclass(frozen=True)
class PubSubFeed:
    """Makes the feed of `subscription` (projects/P/subscriptions/S).

    At most `most` messages are held at once: those that are being answered, and the next ones.
    """

    subscription: str
    most: int

    def check(self) -> None:
        """Raise FeedUnavailable unless it is there; FeedMissing if Pub/Sub has none."""
        self._connected().close()

    def __call__(self) -> _PubSubFeed:
        """Return the feed; raises FeedUnavailable if there is no such subscription."""
        return _PubSubFeed(self._connected(), self.subscription, self.most)

    def _connected(self) -> Any:
        with explained(FeedUnavailable, FeedMissing):
            subscriber = client().SubscriberClient()
            subscriber.get_subscription(
                subscription=self.subscription, timeout=CHECK_SECONDS, retry=None
            )
            return subscriber
        raise AssertionError("explained raises")


class _PubSubFeed:
    """A message is acknowledged when its outcome is out; until then it is held."""

    def __init__(self, subscriber: Any, subscription: str, most: int) -> None:
        self._client, self._subscription = subscriber, subscription
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        flow = client().types.FlowControl(
            max_messages=most, max_lease_duration=_LONGEST_HOLD_SECONDS
        )
        self._pulling = self._client.subscribe(subscription, self._queue.put, flow_control=flow)

    def poll(self, seconds: float) -> Message | None:
        """Return the next message."""
        try:
            message = self._queue.get(seconds > 0, seconds or None)
        except queue.Empty:
            if self._pulling.done():
                with explained(FeedUnavailable):
                    self._pulling.result()
            return None
        name = self._subscription.rpartition("/")[2]
        location = f"{name}, message {message.message_id}"
        return Message(message.data, f"{name}:{message.message_id}", location, message)

    def keep(self) -> None:
        """The client renews its hold on messages by itself."""

    def settle(self, receipts: Sequence[Any]) -> None:
        """Acknowledge; the client does it in its own thread."""
        for message in receipts:
            message.ack()

    def close(self) -> None:
        """Give back what was not begun, and hang up once all is said."""
        while True:
            try:
                self._queue.get_nowait().nack()
            except queue.Empty:
                break
        self._pulling.cancel()
        with explained(FeedUnavailable):
            self._pulling.result(timeout=10)
        self._client.close()
