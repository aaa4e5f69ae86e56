"""The flags that say how the input is to be read."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pipelines.errors import UsageError
from pipelines.inputs.options import FORMAT_NAMES, InputOptions

if TYPE_CHECKING:
    from pipelines.inputs.base import InputFormat


def add_input_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags about the format of the input."""
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


def input_format(known_args: argparse.Namespace) -> InputFormat:
    """Return the format of the input that the flags name; raises UsageError."""
    from pipelines.inputs.formats import format_of  # Beam, which the flags do not need

    return format_of(known_args.input, input_options(known_args))
