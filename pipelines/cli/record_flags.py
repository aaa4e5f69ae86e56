"""The flags about records: parts of JSON answers as rows of their own."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.cli.parser import positive
from pipelines.errors import UsageError
from ritellm.structured.paths import parse_path
from transforms.worker.stopping import StopWhen


def add_record_options(parser: Any) -> None:
    """Add the flags to a parser."""
    made = parser.add_argument_group("records")
    made.add_argument(
        "--records",
        type=_path,
        metavar="PATH",
        help="also write records-*, with a row for each part of a JSON answer that PATH names, such"
        " as '$.items[*]', '$[*]' for a list or JSON lines, or '$.answer'",
    )
    made.add_argument(
        "--stop_when",
        type=positive,
        metavar="COUNT",
        help="with --records: leave a stream once it has this many records, which ends the request"
        " at the provider. The finish_reason is 'stopped', and the usage is estimated",
    )


def stop_when(known_args: argparse.Namespace) -> StopWhen | None:
    """Return when each stream is left, None for never; imports nothing of Beam."""
    if known_args.stop_when is None:
        return None
    return StopWhen(known_args.records, known_args.stop_when)


def check_records(known_args: argparse.Namespace) -> None:
    """Raise UsageError for flags that do not fit together."""
    if known_args.stop_when is not None:
        if known_args.records is None:
            raise UsageError("--stop_when counts records; name them with --records PATH")
        if known_args.answer_columns is not None or known_args.answer_schema is not None:
            raise UsageError(
                "--stop_when leaves an answer before its end; leave out --answer_columns and"
                " --answer_schema, which check whole answers"
            )
    if known_args.records is not None and known_args.output_format == "batch":
        raise UsageError(
            "--output_format batch has no records; write jsonl, parquet or csv with --records"
        )


def _path(text: str) -> str:
    try:
        return parse_path(text).text
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
