"""Where prompts come from and outcomes go, as one writes it on the command line."""

from __future__ import annotations

import functools
from collections.abc import Callable

from pipelines import sinks
from pipelines.feeds import FolderFeed, NewFeed, StdinFeed
from pipelines.options import UsageError
from transforms.outgoing import NewPublisher

SOURCES = "pubsub:SUBSCRIPTION, kafka:BROKERS/TOPIC, dir:FOLDER, stdin"
DELTA_SINKS = "pubsub:TOPIC, kafka:BROKERS/TOPIC, redis:URL, jsonl:FOLDER, stdout"
ROW_SINKS = f"{DELTA_SINKS}, bigquery:PROJECT:DATASET.TABLE"


def source(spec: str) -> NewFeed:
    """Return what makes the feed that `spec` names; raises UsageError for one that names none."""
    if spec == "stdin":
        return StdinFeed
    kind, _, where = spec.partition(":")
    made = _FEEDS.get(kind)
    if made is None or not where:
        raise UsageError(f"--source {spec!r} is none of {SOURCES}")
    return made(where)


def sink(flag: str, spec: str, kind: str) -> NewPublisher:
    """Return what makes the sink for elements of `kind` (delta, completion, failed-rows, ...).

    Raises UsageError for a `spec` that names none.
    """
    forms = DELTA_SINKS if kind == "deltas" else ROW_SINKS
    scheme, _, where = spec.partition(":")
    named = spec == "stdout" or (where and scheme != "stdout" and f"{scheme}:" in forms)
    if not named:
        raise UsageError(f"{flag} {spec!r} is none of {forms}")
    return _SINKS[scheme](where, kind)


_FEEDS: dict[str, Callable[[str], NewFeed]] = {"dir": FolderFeed}
_SINKS: dict[str, Callable[[str, str], NewPublisher]] = {
    "stdout": lambda where, kind: sinks.Stdout,
    "jsonl": lambda where, kind: functools.partial(sinks.JsonLines, where, kind),
}
