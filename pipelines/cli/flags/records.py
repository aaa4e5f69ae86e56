"""The flags about records: parts of JSON answers as rows of their own."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.cli.flags.answer import named_schema
from pipelines.cli.parser import positive
from pipelines.errors import UsageError
from ritellm.structured.paths import parse_path
from transforms.worker.records.checking import Checking
from transforms.worker.stops.stop_conditions import StopWhen


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
        "--record_schema",
        metavar="FILE.json|MODULE:MODEL",
        help="with --records: the JSON schema of each record, or a pydantic model. A record that"
        " does not fit has valid=false, and message says what is wrong",
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


def record_checks(known_args: argparse.Namespace) -> Checking:
    """Return what each record must fit; raises UsageError for a schema that cannot be used."""
    if known_args.record_schema is None:
        return Checking()
    if known_args.records is None:
        raise UsageError("--record_schema checks records; name them with --records PATH")
    try:
        return Checking.of(named_schema("--record_schema", known_args.record_schema))
    except ValueError as error:
        raise UsageError(f"--record_schema: {error}") from None


def check_records(known_args: argparse.Namespace) -> None:
    """Raise UsageError for flags that do not fit together."""
    record_checks(known_args)
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
