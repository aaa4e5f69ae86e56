"""Makes the sinks of the streaming program, and checks that source and sinks exist."""

from __future__ import annotations

import argparse
from functools import partial

from pipelines.cli import locations
from pipelines.errors import UsageError
from pipelines.sources.base import SourceMissing, SourceUnavailable
from pipelines.sources.pubsub import PubSubSource
from transforms.sinks.base import NewPublisher, SinkMissing, SinkUnavailable
from transforms.sinks.bigquery import BigQueryTable
from transforms.sinks.pubsub import PubSubTopic


def sinks(known_args: argparse.Namespace) -> dict[str, NewPublisher]:
    """Return the factory of each sink: deltas, completions, failed-rows and failed-calls."""
    to = {"deltas": locations.sink(known_args, "--deltas_to", known_args.deltas_to, "deltas")}
    rows = known_args.completions_to
    if rows:
        to["completions"] = locations.sink(known_args, "--completions_to", rows, "completions")
    # A table of completions cannot hold failures.
    one_kind = not rows or rows.startswith("bigquery:")
    failed = known_args.failed_to or (known_args.deltas_to if one_kind else rows)
    for name in ("failed-rows", "failed-calls"):
        to[name] = locations.sink(known_args, "--failed_to", failed, name)
    return to


def check_here(known_args: argparse.Namespace) -> None:
    """Raise UsageError unless the source and each sink exist and can be reached."""
    try:
        locations.source(known_args).check()
        for new_publisher in sinks(known_args).values():
            _check_sink(new_publisher)
    except (SinkUnavailable, SourceUnavailable, ImportError, ValueError) as error:
        raise UsageError(str(error)) from None


def _check_sink(new_publisher: NewPublisher) -> None:
    publisher = new_publisher()
    try:
        publisher.check()
    finally:
        publisher.close()


def check_elsewhere(known_args: argparse.Namespace) -> None:
    """Raise UsageError if Google reports that a source or sink does not exist or does not fit.

    An unreachable or forbidden one is not an error here, because the workers may have access.
    """
    source = locations.source(known_args)
    checks = [source.check] if isinstance(source, PubSubSource) else []
    checks += [
        partial(_check_sink, new)
        for new in sinks(known_args).values()
        if isinstance(new, PubSubTopic | BigQueryTable)
    ]
    for check in checks:
        try:
            check()
        except (SinkMissing, SourceMissing, ImportError) as error:
            raise UsageError(str(error)) from None
        except (SinkUnavailable, SourceUnavailable):
            pass
