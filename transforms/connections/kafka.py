"""Kafka's client: its settings from a file, and a check of a topic."""

from __future__ import annotations

import importlib
from typing import Any

CHECK_SECONDS = 10


def read_config(path: str | None) -> dict[str, str]:
    """Return the settings in the file at `path`, none without a path; raises ValueError.

    A line is name=value, blank, or a comment that begins with #.
    """
    if path is None:
        return {}
    from apache_beam.io.filesystems import FileSystems

    try:
        with FileSystems.open(path) as file:
            lines = [line.strip() for line in file.read().decode().splitlines()]
    except Exception as error:  # Beam's filesystems raise errors of any type
        said = getattr(error, "strerror", None) or " ".join(str(error).split())[:300]
        raise ValueError(f"cannot read {path} here: {said}") from None
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise ValueError(f"{path}: a line must be name=value, got {wrong[0]!r}")
    return {name.strip(): value.strip() for name, _, value in pairs}


def topic_problem(kafka_client: Any, brokers: str, topic: str) -> str | None:
    """Return why `topic` cannot be used, in one line, or None if it can."""
    try:
        found = kafka_client.list_topics(topic, timeout=CHECK_SECONDS).topics[topic]
    except client().KafkaException as error:
        return f"Kafka at {brokers} does not respond: {error.args[0].str()}"
    if found.error is not None:
        return f"Kafka at {brokers} has no topic {topic!r} for this client: {found.error.str()}"
    return None


def client() -> Any:
    """Return the client library; raises ImportError that says how to get it."""
    try:
        return importlib.import_module("confluent_kafka")
    except ImportError:
        raise ImportError(
            "Kafka needs its client: pip install 'ritellm-beam[kafka]' (confluent-kafka)"
        ) from None
