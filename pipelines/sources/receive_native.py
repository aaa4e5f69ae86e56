"""A live source for a job that runs elsewhere: Beam's own, which its runner knows how to hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam

from pipelines.errors import UsageError
from pipelines.sources.base import Message, NewFeed
from pipelines.sources.kafka import KafkaFeed
from pipelines.sources.pubsub import PubSubFeed
from pipelines.sources.receive import DEAD_LETTERS, PROMPTS, to_row
from transforms.connections.kafka import read_config
from transforms.elements import DeadLetter, Prompt


class ReceiveElsewhere(beam.PTransform):  # type: ignore[misc]
    """Read prompts by Beam's own source for what the feed names. Never ends.

    Returns `.prompts` and `.dead_letters`. A message is done when the runner has committed the
    bundle that its outcome was published in. Kafka's is a transform of Java's: the machine that
    submits the job needs Java. Raises UsageError for a source of one machine.
    """

    def __init__(self, new_feed: NewFeed, most_bytes: int) -> None:
        super().__init__()
        self._read, self._to_message = _source(new_feed)
        self._most_bytes = most_bytes

    def expand(self, root: Any) -> Any:
        """Read and sort out."""
        return (
            root
            | "Read" >> self._read
            | "ToMessage" >> beam.Map(self._to_message)
            | "Parse"
            >> beam.FlatMap(_sorted_out, self._most_bytes)
            .with_outputs(DEAD_LETTERS, main=PROMPTS)
            .with_output_types(Prompt)
        )


def _source(new_feed: NewFeed) -> tuple[Any, Callable[[Any], Message]]:
    if isinstance(new_feed, PubSubFeed):
        from apache_beam.io.gcp.pubsub import ReadFromPubSub

        path = new_feed.subscription
        try:
            read = ReadFromPubSub(subscription=path, with_attributes=True)
        except ValueError as error:
            raise UsageError(f"--source pubsub:{path}: {error}") from None
        return read, _FromPubSub(path)
    if isinstance(new_feed, KafkaFeed):
        from apache_beam.io.kafka import ReadFromKafka

        where = {"bootstrap.servers": new_feed.brokers, "group.id": new_feed.group}
        given = _without_secrets(new_feed.config_file)
        config = {**where, "auto.offset.reset": "earliest", **given}
        read = ReadFromKafka(
            config, [new_feed.topic], commit_offset_in_finalize=True, with_metadata=True
        )
        return read, _from_kafka
    raise UsageError("--source: a job that runs elsewhere reads from pubsub: or kafka:")


def _without_secrets(config_file: str | None) -> dict[str, str]:
    """Return what the file says; raises UsageError for what nobody but the workers may know."""
    try:
        config = read_config(config_file)
    except ValueError as error:
        raise UsageError(f"--kafka_config: {error}") from None
    for name in config:
        if re.search("password|secret|jaas|[.]pem", name):
            raise UsageError(
                f"--kafka_config {config_file}: {name} would be stored in the job, since Beam's own"
                " source reads Kafka there: use brokers that need none, or pubsub:"
            )
    return config


class _FromPubSub:
    def __init__(self, subscription: str) -> None:
        self._name = subscription.rpartition("/")[2]

    def __call__(self, message: Any) -> Message:
        id = message.message_id
        return Message(message.data, f"{self._name}:{id}", f"{self._name}, message {id}")


def _from_kafka(record: Any) -> Message:
    topic, partition, offset = record.topic, record.partition, record.offset
    location = f"{topic}, partition {partition}, offset {offset}"
    return Message(record.value or b"", f"{topic}/{partition}:{offset}", location)


def _sorted_out(message: Message, most_bytes: int) -> Iterator[Any]:
    row = to_row(message, most_bytes)
    yield beam.pvalue.TaggedOutput(DEAD_LETTERS, row) if isinstance(row, DeadLetter) else row
