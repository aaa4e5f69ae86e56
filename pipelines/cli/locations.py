"""Makes the source and the sinks that the command line of the streaming program names."""

from __future__ import annotations

import argparse
import functools
import os
import re
from collections.abc import Callable

from pipelines import bigquery
from pipelines.cli.location_forms import DELTA_SINKS, ROW_SINKS, SOURCES, URL_SCHEMES
from pipelines.errors import UsageError
from pipelines.outputs import live
from pipelines.serve_deltas.embedded import ProcessStops
from pipelines.sources.base import Source
from pipelines.sources.folder import FolderSource
from pipelines.sources.kafka import KafkaSource
from pipelines.sources.pubsub import PubSubSource
from pipelines.sources.redis import RedisSource
from pipelines.sources.stdin import Stdin
from pipelines.terminal.live_sink import LiveSink, is_live
from transforms.connections.delta_streams import has_streams_of_ids
from transforms.connections.prompt_streams import split_source
from transforms.connections.redis import RedisUnavailable, refuse_password
from transforms.elements import Completion, DeadLetter
from transforms.sinks.base import NewPublisher
from transforms.sinks.bigquery import BigQueryTable
from transforms.sinks.kafka import KafkaTopic
from transforms.sinks.pubsub import PubSubTopic
from transforms.sinks.redis import RedisStreams
from transforms.sinks.redis_stops import RedisStops
from transforms.worker.stops.stop_requests import NewStops

# `redis:` may stand before an address that has a scheme of its own.
_URL_PREFIX = re.compile(r"^redis:(?=\w+://)")


def source(known_args: argparse.Namespace) -> Source:
    """Return the factory of the source that `--source` names; raises UsageError."""
    spec: str = known_args.source
    scheme, _, where = spec.partition(":")
    if spec == "stdin":
        return Stdin()
    if scheme == "dir" and where:
        return FolderSource(os.path.abspath(where))  # a worker may run in another folder
    if scheme == "pubsub":
        leased = 2 * (known_args.max_in_flight or 64)
        return PubSubSource(_resource(where, "subscriptions", "--source"), leased)
    if scheme == "kafka":
        return KafkaSource(
            *_topic(where, "--source"), known_args.kafka_group, known_args.kafka_config
        )
    if URL_SCHEMES.get(scheme, scheme) == "redis" and where:
        return _redis_source(_URL_PREFIX.sub("", spec))
    raise UsageError(f"--source must be one of {SOURCES}; got {spec!r}")


def _redis_source(url: str) -> Source:
    try:
        refuse_password(url)
        split_source(url)
    except ValueError as error:
        raise UsageError(f"--source {error}") from None
    return RedisSource(url)


def is_shared(source: Source) -> bool:
    """Return whether several readers can share the messages of the source."""
    return isinstance(source, (KafkaSource, PubSubSource, RedisSource))


def sink(known_args: argparse.Namespace, flag: str, spec: str, name: str) -> NewPublisher:
    """Return the factory of the sink for `name`: deltas, completions, failed-rows or failed-calls.

    Raises UsageError for a `spec` that names no sink.
    """
    scheme, _, where = spec.partition(":")
    forms = DELTA_SINKS if name == "deltas" else ROW_SINKS
    made = _SINKS.get(scheme)
    if spec == "stdout":
        return LiveSink if is_live() else live.Stdout
    if scheme == "jsonl" and where:
        return functools.partial(live.JsonLines, where, name)
    if scheme == "kafka":
        return KafkaTopic(*_topic(where, flag), known_args.kafka_config)
    if scheme == "bigquery" and name != "deltas":
        return _bigquery(spec, flag, Completion if name == "completions" else DeadLetter)
    if made is None or f"{URL_SCHEMES.get(scheme, scheme)}:" not in forms:
        raise UsageError(f"{flag} must be one of {forms}; got {spec!r}")
    return made(spec, flag)


def _topic(where: str, flag: str) -> tuple[str, str]:
    brokers, _, topic = where.rpartition("/")
    if not brokers or not re.fullmatch(r"[\w.-]{1,249}", topic):
        raise UsageError(f"{flag} must be kafka:HOST:PORT,HOST:PORT/TOPIC, got kafka:{where}")
    return brokers, topic


def _resource(where: str, kind: str, flag: str) -> str:
    if not re.fullmatch(rf"projects/[^/\s]+/{kind}/[^/\s]+", where):
        raise UsageError(f"{flag} must be pubsub:projects/P/{kind}/NAME, got pubsub:{where}")
    return where


def _redis(spec: str, flag: str) -> NewPublisher:
    url = _URL_PREFIX.sub("", spec)
    new = RedisStreams(url)
    try:
        refuse_password(url)
        # The variable of the password may be set on the workers only.
        RedisStreams(re.sub(r"(?<=[?&])password_env=[^&]*&?", "", url))().close()
    except (ValueError, RedisUnavailable) as error:
        raise UsageError(f"{flag} {error}") from None
    return new


def stops(known_args: argparse.Namespace) -> NewStops | None:
    """Return what makes the requests of readers to stop, None where readers cannot ask for it.

    They can if each id has a stream of its own in Redis, or with --serve.
    """
    url = _URL_PREFIX.sub("", known_args.deltas_to)
    in_redis = known_args.deltas_to.partition(":")[0] in ("redis", "rediss", "unix")
    if in_redis and has_streams_of_ids(url):
        return RedisStops(url)
    return ProcessStops() if known_args.serve is not None else None


def _pubsub(spec: str, flag: str) -> NewPublisher:
    return PubSubTopic(_resource(spec.removeprefix("pubsub:"), "topics", flag))


def _bigquery(spec: str, flag: str, element: type) -> NewPublisher:
    try:
        return BigQueryTable(".".join(bigquery.parse(spec)), element)
    except ValueError as error:
        raise UsageError(f"{flag} {error}") from None


_SINKS: dict[str, Callable[[str, str], NewPublisher]] = {
    "redis": _redis,
    "rediss": _redis,
    "unix": _redis,
    "pubsub": _pubsub,
}
