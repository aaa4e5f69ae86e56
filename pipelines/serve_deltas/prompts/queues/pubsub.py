"""The Pub/Sub topic whose subscription `stream_complete --source pubsub:...` reads."""

from __future__ import annotations

import asyncio
import concurrent.futures

from pipelines.serve_deltas.prompts.queues.base import QueueUnavailable
from transforms.connections.pubsub import client, explained

_SECONDS = 15


class PubSubQueue:
    """A topic, projects/P/topics/T. Raises ImportError without the client."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        with explained(QueueUnavailable):
            self._client = client().PublisherClient()

    async def check(self) -> None:
        """Raise QueueUnavailable unless the topic exists and can be reached."""
        await asyncio.to_thread(self._check)

    def _check(self) -> None:
        with explained(QueueUnavailable):
            self._client.get_topic(topic=self._topic, timeout=_SECONDS, retry=None)

    async def put(self, id: str, row: bytes) -> None:
        """Publish a message. Raises QueueUnavailable."""
        await asyncio.to_thread(self._put, row)

    def _put(self, row: bytes) -> None:
        try:
            with explained(QueueUnavailable):
                self._client.publish(self._topic, row).result(_SECONDS)
        except (TimeoutError, concurrent.futures.TimeoutError):
            raise QueueUnavailable("Pub/Sub does not respond") from None

    async def aclose(self) -> None:
        """Close the connection."""
        await asyncio.to_thread(self._client.stop)
