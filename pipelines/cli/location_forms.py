"""The forms of sources and sinks on the command line of the streaming program; needs no Beam."""

from __future__ import annotations

import argparse

from pipelines.errors import UsageError

SOURCES = "pubsub:SUBSCRIPTION, kafka:BROKERS/TOPIC, redis:URL, dir:FOLDER, stdin"
DELTA_SINKS = "pubsub:TOPIC, kafka:BROKERS/TOPIC, redis:URL, jsonl:FOLDER, stdout"
ROW_SINKS = f"{DELTA_SINKS}, bigquery:PROJECT:DATASET.TABLE"
# The usual form of a URL, redis://..., works as well as redis:redis://...
URL_SCHEMES = {"rediss": "redis", "unix": "redis"}


def check_forms(known_args: argparse.Namespace) -> None:
    """Raise UsageError for a source or a sink of an unknown kind.

    `pipelines.cli.locations` checks what follows the kind.
    """
    flags = [
        ("--source", known_args.source, SOURCES),
        ("--deltas_to", known_args.deltas_to, DELTA_SINKS),
        ("--completions_to", known_args.completions_to, ROW_SINKS),
        ("--failed_to", known_args.failed_to, ROW_SINKS),
    ]
    for flag, spec, forms in flags:
        if spec is not None and not _is_of(spec, forms):
            raise UsageError(f"{flag} must be one of {forms}; got {spec!r}")


def _is_of(spec: str, forms: str) -> bool:
    scheme, colon, where = spec.partition(":")
    if not colon:
        return spec in forms.split(", ")
    return bool(where) and f"{URL_SCHEMES.get(scheme, scheme)}:" in forms
