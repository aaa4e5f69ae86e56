"""The command line of the batch program."""

from __future__ import annotations

import argparse

from pipelines import bigquery
from pipelines.cli import parser as cli_parser
from pipelines.cli.flags.answer import add_answer_options
from pipelines.cli.flags.input import add_input_options
from pipelines.cli.flags.limits import add_limits
from pipelines.cli.flags.model import SWITCH, add_journal_options, add_model_options
from pipelines.cli.flags.output import add_output_options
from pipelines.cli.flags.prompts import add_column_option, add_prompt_options
from pipelines.cli.flags.records import add_record_options
from pipelines.cli.flags.watch import add_watch_option


def parser() -> cli_parser.Parser:
    """Return the command line."""
    made = cli_parser.Parser(
        prog=cli_parser.program("pipelines.batch_complete"),
        usage="%(prog)s --input PATTERN ... --output FOLDER [--model PROVIDER/MODEL] [options]",
        description="Complete the prompts of a dataset. Each row has one outcome: a completion or a"
        " failed row.",
        epilog="All options of Apache Beam are accepted too, for example --runner DataflowRunner"
        " --project P --region R --temp_location gs://B/tmp. Without --runner the job runs in this"
        " process.",
        allow_abbrev=False,
    )
    cli_parser.add_version(made)
    source = made.add_argument_group("input")
    source.add_argument(
        "--input",
        required=True,
        nargs="+",
        action="extend",
        metavar="PATTERN",
        help="files of JSON lines with 'prompt' or 'messages', and optionally 'id', or of another"
        " format (--input_format); paths on any Beam filesystem, with wildcards, compressed or not."
        " Or a table with such columns, bigquery:PROJECT:DATASET.TABLE",
    )
    add_input_options(source)
    add_column_option(source)
    add_prompt_options(made)
    output = made.add_argument_group("output")
    output.add_argument(
        "--output",
        required=True,
        metavar="FOLDER",
        help="the folder to write completions-*, failed-* and report.json to",
    )
    output.add_argument(
        "--output_table",
        type=_table,
        metavar="PROJECT:DATASET.TABLE",
        help="a BigQuery table to write the completions to, instead of completions-*; its"
        " previous rows are replaced",
    )
    add_output_options(output)
    output.add_argument(
        "--keep_order",
        **SWITCH,
        help="write rows in the order of the input: by file name, then by line. Needs a runner on"
        " one machine",
    )
    output.add_argument(
        "--emit_deltas", **SWITCH, help="also write each streamed delta to deltas-*.jsonl"
    )
    add_watch_option(output)
    add_model_options(made)
    add_answer_options(made)
    add_record_options(made)
    add_journal_options(made)
    add_limits(made)
    return made


def _table(text: str) -> str:
    try:
        return str(bigquery.parse(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
