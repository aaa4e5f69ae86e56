"""Reads a live source with Beam's own connector, for a runner on other machines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam

from pipelines.errors import UsageError
from pipelines.inputs.row_form import PLAIN, RowForm
from pipelines.sources.base import Message, Source
from pipelines.sources.kafka import KafkaSource
from pipelines.sources.pubsub import PubSubSource
from pipelines.sources.receive import to_row
from transforms.connections.kafka import read_config
from transforms.elements import DeadLetter, Prompt
from transforms.graph.element_types import with_types
from transforms.graph.tags import DEAD_LETTERS, PROMPTS


class ReceiveNative(beam.PTransform):  # type: ignore[misc]
    """Read prompts with Beam's connector for `source`. Never ends.

    Returns `.prompts` and `.dead_letters`. The connector acknowledges a message once the runner has
    committed the bundle that published its outcome. The Kafka connector is a Java transform, so
    the machine that submits the job needs Java. Raises UsageError for a source of one machine.
    """

    def __init__(self, source: Source, most_bytes: int, rows: RowForm = PLAIN) -> None:
        super().__init__()
        self._read, self._to_message = _source(source)
        self._most_bytes = most_bytes
        self._rows = rows

    def expand(self, root: Any) -> Any:
        """Read, parse and separate the dead letters."""
        parse = beam.FlatMap(_sorted_out, self._most_bytes, self._rows)
        rows = (
            root
            | "Read" >> self._read
            | "ToMessage" >> beam.Map(self._to_message)
            | "Parse" >> parse.with_outputs(DEAD_LETTERS, main=PROMPTS)
        )
        return with_types(rows, {PROMPTS: Prompt, DEAD_LETTERS: DeadLetter})


def _source(source: Source) -> tuple[Any, Callable[[Any], Message]]:
    if isinstance(source, PubSubSource):
        from apache_beam.io.gcp.pubsub import ReadFromPubSub

        path = source.subscription
        try:
            read = ReadFromPubSub(subscription=path, with_attributes=True)
        except ValueError as error:
            raise UsageError(f"--source pubsub:{path}: {error}") from None
        return read, _FromPubSub(path)
    if isinstance(source, KafkaSource):
        from apache_beam.io.kafka import ReadFromKafka

        where = {"bootstrap.servers": source.brokers, "group.id": source.group}
        given = _without_secrets(source.config_file)
        config = {**where, "auto.offset.reset": "earliest", **given}
        read = ReadFromKafka(
            config, [source.topic], commit_offset_in_finalize=True, with_metadata=True
        )
        return read, _from_kafka
    raise UsageError("--source must be pubsub: or kafka: for a runner on other machines")


def _without_secrets(config_file: str | None) -> dict[str, str]:
    """Return the settings in the file; raises UsageError for secrets, which the job would store."""
    try:
        config = read_config(config_file)
    except ValueError as error:
        raise UsageError(f"--kafka_config: {error}") from None
    for name in config:
        if re.search("password|secret|jaas|[.]pem", name):
            raise UsageError(
                f"--kafka_config {config_file}: Beam's Kafka source would store {name} in the job;"
                " use brokers without passwords, or pubsub:"
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


def _sorted_out(message: Message, most_bytes: int, rows: RowForm) -> Iterator[Any]:
    row = to_row(message, most_bytes, rows)
    yield beam.pvalue.TaggedOutput(DEAD_LETTERS, row) if isinstance(row, DeadLetter) else row
