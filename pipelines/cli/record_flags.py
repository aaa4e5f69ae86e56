"""The flags about records: parts of JSON answers as rows of their own."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.errors import UsageError
from ritellm.structured.paths import parse_path


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


def check_records(known_args: argparse.Namespace) -> None:
    """Raise UsageError for flags that do not fit together."""
    if known_args.records is not None and known_args.output_format == "batch":
        raise UsageError(
            "--output_format batch has no records; write jsonl, parquet or csv with --records"
        )


def _path(text: str) -> str:
    try:
        return parse_path(text).text
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
