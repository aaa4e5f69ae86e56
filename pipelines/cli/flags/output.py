"""The flags that say in which format the job writes its rows."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.cli.flags.answer import answer_of
from pipelines.cli.flags.model import SWITCH
from pipelines.cli.parser import not_negative, positive
from pipelines.errors import UsageError
from pipelines.outputs.formats.names import NAMES, WITH_COLUMNS
from pipelines.pages.options import MOST_ROWS, TEXT_MODES, PageOptions

if TYPE_CHECKING:
    from pipelines.inputs.base import InputFormat
    from pipelines.inputs.row_form import RowForm
    from pipelines.outputs.formats.base import RowFormat


def add_output_options(parser: Any) -> None:
    """Add the flags about the format of the output."""
    parser.add_argument(
        "--output_format",
        choices=NAMES,
        default="jsonl",
        help="the format of completions-* and failed-*: JSON lines; Parquet or CSV, with the"
        " columns of the input; or the lines of OpenAI's batch output files (default: %(default)s)",
    )
    parser.add_argument(
        "--csv_raw",
        **SWITCH,
        help="with --output_format csv: write texts as they are; without it, a text that a"
        " spreadsheet could take for a formula gets an apostrophe before it",
    )
    parser.add_argument(
        "--report_rows",
        type=not_negative,
        default=MOST_ROWS,
        metavar="N",
        help="the most rows in the browser of report.html; of more rows it has a random sample"
        " (default: %(default)s)",
    )
    parser.add_argument(
        "--report_text",
        choices=TEXT_MODES,
        default="sample",
        help="the texts of these rows in report.html: none of prompts, answers, ids and messages;"
        " or their beginnings; or all of them (default: %(default)s)",
    )
    parser.add_argument(
        "--shard_rows",
        type=positive,
        default=10_000,
        metavar="N",
        help="rows of a file of output; a file appears when it is full (default: %(default)s)",
    )
    parser.add_argument(
        "--shard_seconds",
        type=_seconds,
        default=30.0,
        metavar="SECONDS",
        help="a file of output appears after this time at the latest, if the job runs in this"
        " process (default: %(default)g)",
    )
    parser.add_argument(
        "--overwrite",
        **SWITCH,
        help="replace the completions of another model or input in the output folder, when this job"
        " is complete; without it such a job is refused",
    )


def page_options(known_args: argparse.Namespace) -> PageOptions:
    """Return what the page of the job shows."""
    return PageOptions(known_args.report_rows, known_args.report_text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"must be positive seconds, got {text!r}")
    return seconds


def check_output_format(known_args: argparse.Namespace) -> None:
    """Raise UsageError for flags that do not fit together."""
    if known_args.csv_raw and known_args.output_format != "csv":
        raise UsageError("--csv_raw needs --output_format csv; leave it out, or write CSV")


def row_formats(
    known_args: argparse.Namespace, input: InputFormat, form: RowForm
) -> dict[type, RowFormat]:
    """Return the formats of completions and of failed rows of the job.

    Formats with columns need those of the input. An input without a schema gets one from its first
    rows. `form` says which columns completions and failed rows have.
    """
    from pipelines.outputs.formats.choice import row_format  # Beam, which the flags do not need
    from transforms.elements import Completion, DeadLetter, Record

    name, raw = known_args.output_format, known_args.csv_raw
    schema = _columns(input, known_args.input) if name in WITH_COLUMNS else None
    answer = answer_of(known_args)
    kept: dict[type, Collection[str] | None] = {
        Completion: form.columns,
        DeadLetter: form.needed,
        Record: form.columns,
    }
    schemas = {kind: _chosen(schema, columns) for kind, columns in kept.items()}
    if schema is not None and answer is not None:
        from pipelines.outputs.answer_columns import with_columns

        schemas[Completion] = with_columns(schemas[Completion], answer)
    return {kind: row_format(name, kind, each, raw) for kind, each in schemas.items()}


def _chosen(schema: Any, columns: Collection[str] | None) -> Any:
    """Return the fields of `schema` that are among `columns`, None for all."""
    if schema is None or columns is None:
        return schema
    import pyarrow

    ordered = columns if isinstance(columns, tuple) else schema.names
    return pyarrow.schema([schema.field(n) for n in ordered if n in columns and n in schema.names])


def _columns(input: InputFormat, locations: Sequence[str]) -> Any:
    schema = input.schema(locations)
    if schema is not None:
        return schema
    from pipelines.inputs.base import SAMPLE_ROWS
    from pipelines.inputs.rows import parse
    from pipelines.tables.inference import infer_schema

    rows = (parse(line).input for line in input.head(locations, SAMPLE_ROWS))
    return infer_schema(row for row in rows if row is not None)
