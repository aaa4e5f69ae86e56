"""Where the outcomes of the streaming program go, and whether source and sinks are there."""

from __future__ import annotations

import argparse
from functools import partial

from pipelines.cli import locations
from pipelines.errors import UsageError
from pipelines.sources.base import FeedMissing, FeedUnavailable
from pipelines.sources.pubsub import PubSubFeed
from transforms.sinks.base import NewPublisher, SinkMissing, SinkUnavailable
from transforms.sinks.bigquery import BigQueryTable
from transforms.sinks.pubsub import PubSubTopic


def sinks(ours: argparse.Namespace) -> dict[str, NewPublisher]:
    """Return what makes each sink, by the name of what goes there."""
    to = {"deltas": locations.sink(ours, "--deltas_to", ours.deltas_to, "deltas")}
    rows = ours.completions_to
    if rows:
        to["completions"] = locations.sink(ours, "--completions_to", rows, "completions")
    one_kind = not rows or rows.startswith("bigquery:")  # a table of completions has no place
    failed = ours.failed_to or (ours.deltas_to if one_kind else rows)
    for name in ("failed-rows", "failed-calls"):
        to[name] = locations.sink(ours, "--failed_to", failed, name)
    return to


def check_here(ours: argparse.Namespace) -> None:
    """Raise UsageError unless the source and each sink are there."""
    try:
        locations.source(ours).check()
        for new_publisher in sinks(ours).values():
            _check_sink(new_publisher)
    except (SinkUnavailable, FeedUnavailable, ImportError, ValueError) as error:
        raise UsageError(str(error)) from None


def _check_sink(new_publisher: NewPublisher) -> None:
    publisher = new_publisher()
    try:
        publisher.check()
    finally:
        publisher.close()


def check_elsewhere(ours: argparse.Namespace) -> None:
    """Raise UsageError if Google says that a source or sink is not there, or not fit.

    What this machine cannot reach, or may not look at, the workers may.
    """
    new_feed = locations.source(ours)
    looks = [new_feed.check] if isinstance(new_feed, PubSubFeed) else []
    looks += [
        partial(_check_sink, new)
        for new in sinks(ours).values()
        if isinstance(new, PubSubTopic | BigQueryTable)
    ]
    for look in looks:
        try:
            look()
        except (SinkMissing, FeedMissing, ImportError) as error:
            raise UsageError(str(error)) from None
        except (SinkUnavailable, FeedUnavailable):
            pass
