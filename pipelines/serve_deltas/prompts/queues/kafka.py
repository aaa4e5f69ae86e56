"""The Kafka topic that `stream_complete --source kafka:...` reads."""

from __future__ import annotations

import asyncio
from typing import Any

from pipelines.serve_deltas.prompts.queues.base import QueueUnavailable
from transforms.connections.kafka import client, read_config, topic_problem

_SECONDS = 15


class KafkaQueue:
    """A topic. Raises ImportError without the client, ValueError for a bad `config_file`."""

    def __init__(self, brokers: str, topic: str, config_file: str | None = None) -> None:
        self._brokers, self._topic = brokers, topic
        settings = {
            "bootstrap.servers": brokers,
            "enable.idempotence": True,  # its own retries do not duplicate
            "linger.ms": 0,
            "delivery.timeout.ms": _SECONDS * 1000,
            "log_level": 0,
        }
        self._producer = client().Producer({**settings, **read_config(config_file)})

    async def check(self) -> None:
        """Raise QueueUnavailable unless a broker responds and has the topic."""
        problem = await asyncio.to_thread(topic_problem, self._producer, self._brokers, self._topic)
        if problem:
            raise QueueUnavailable(problem)

    async def put(self, id: str, row: bytes) -> None:
        """Produce a record with the id as its key. Raises QueueUnavailable."""
        await asyncio.to_thread(self._put, id, row)

    def _put(self, id: str, row: bytes) -> None:
        errors: list[Any] = []
        name = f"Kafka at {self._brokers}"
        try:
            self._producer.produce(
                self._topic, row, id.encode(), on_delivery=lambda error, _: errors.append(error)
            )
        except (BufferError, client().KafkaException) as error:
            raise QueueUnavailable(f"{name} takes no record: {error}") from None
        self._producer.flush(_SECONDS)
        if not errors:
            raise QueueUnavailable(f"{name} does not respond")
        if errors[0] is not None:
            raise QueueUnavailable(f"{name} takes no record: {errors[0].str()}")

    async def aclose(self) -> None:
        """Drop records that are not delivered yet: their senders were told so."""
        self._producer.purge()
        self._producer.flush(1)
