"""The flags that say how the input is to be read."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from pipelines.bigquery import PREFIX
from pipelines.cli.parser import positive
from pipelines.errors import UsageError
from pipelines.inputs.options import FORMAT_NAMES, InputOptions

if TYPE_CHECKING:
    from pipelines.inputs.base import InputFormat
    from pipelines.inputs.selection import Selection


def add_input_options(parser: Any) -> None:
    """Add the flags about the format and the part of the input to a parser, or a group of one."""
    parser.add_argument(
        "--input_format",
        choices=FORMAT_NAMES,
        help="the format of all input files; without it, the name of each file decides, and its"
        " first bytes if the name does not",
    )
    parser.add_argument(
        "--csv_header",
        metavar="NAMES",
        help="the names of the columns of CSV and TSV files without a header, joined by commas",
    )
    parser.add_argument(
        "--csv_delimiter",
        metavar="CHARACTER",
        help="the character between two fields of CSV files, instead of a comma; 'tab' for a tab",
    )
    parser.add_argument(
        "--encoding",
        metavar="NAME",
        help="the encoding of text files, such as latin-1 or utf-16; UTF-8 without it",
    )
    part = parser.add_mutually_exclusive_group()
    part.add_argument(
        "--limit",
        type=positive,
        metavar="N",
        help="only the first N rows of the files. Without the flag the same command does the rest",
    )
    part.add_argument(
        "--sample",
        type=positive,
        metavar="N",
        help="only N rows at random, always the same ones of the same files",
    )


def input_options(known_args: argparse.Namespace) -> InputOptions:
    """Return how to read the input; raises UsageError."""
    header, delimiter = known_args.csv_header, known_args.csv_delimiter
    try:
        return InputOptions(
            format=known_args.input_format,
            csv_header=None if header is None else tuple(header.split(",")),
            csv_delimiter={"tab": "\t", "\\t": "\t"}.get(delimiter, delimiter),
            encoding=known_args.encoding,
        )
    except ValueError as error:
        raise UsageError(f"--{error}") from None


def selection(known_args: argparse.Namespace) -> Selection:
    """Return the part of the input that the flags name; raises UsageError."""
    from pipelines.inputs.selection import Selection  # Beam, which the flags do not need

    if known_args.limit is not None and known_args.input[0].startswith(PREFIX):
        raise UsageError("--limit needs files, because a table has no order; use --sample")
    return Selection(known_args.limit, known_args.sample)


def input_format(known_args: argparse.Namespace) -> InputFormat:
    """Return the format of the input that the flags name; raises UsageError."""
    from pipelines.inputs.formats import format_of  # Beam, which the flags do not need

    return format_of(known_args.input, input_options(known_args))
