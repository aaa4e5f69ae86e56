"""Checks the input and the output that the flags name, before the first request."""

from __future__ import annotations

import argparse
import os

from pipelines import bigquery
from pipelines.cli.flags import answer as answer_flags
from pipelines.cli.flags import prompts as prompt_flags
from pipelines.cli.flags.input import input_format
from pipelines.errors import UsageError
from pipelines.filesystem import check_writable, is_local
from pipelines.inputs.known_columns import check_columns as check_known
from pipelines.inputs.known_columns import known_columns
from pipelines.inputs.paths import has_wildcard
from pipelines.outputs import bigquery as outputs_bigquery
from pipelines.outputs.folder import is_output
from pipelines.runners.pipeline import runs_here
from pipelines.runners.runner import Options


def check_input(known_args: argparse.Namespace) -> None:
    """Raise UsageError unless `--input` names an input that can be read."""
    input_format(known_args).check(known_args.input)


def check_columns(known_args: argparse.Namespace) -> None:
    """Raise UsageError for a wrong flag about prompts, or a column that no row has."""
    rows = prompt_flags.row_form(known_args)
    answer = answer_flags.answer_of(known_args)
    input = input_format(known_args)
    known = known_columns(input, known_args.input, rows, needed=answer is not None)
    check_known(known, prompt_flags.columns_by_flag(rows), rows)
    if known is not None:
        kept = known.names if rows.columns is None else rows.columns
        answer_flags.check_apart(answer, kept)


def check_output_table(table: str | None) -> None:
    """Raise UsageError if completions cannot be written to `table`."""
    if table is None:
        return
    try:
        outputs_bigquery.check_output(bigquery.parse(table))
    except (bigquery.TableError, ValueError) as error:
        raise UsageError(f"--output_table {table}: {error}") from None


def check_temp(options: Options, known_args: argparse.Namespace) -> None:
    """Raise UsageError if the job uses a table and has no bucket for temporary files."""
    needs_bucket = known_args.output_table or input_format(known_args).needs_bucket
    location = str(options.get_all_options().get("temp_location") or "")
    if needs_bucket and runs_here(options) and not location.startswith("gs://"):
        raise UsageError(
            "BigQuery is read and written through files in a bucket; add"
            " --temp_location gs://BUCKET/tmp"
        )


def check_apart(known_args: argparse.Namespace) -> None:
    """Raise UsageError if the input contains outputs of earlier runs to the output folder."""
    folder = known_args.output
    for file in input_format(known_args).files(known_args.input):
        path, name = _absolute(file).rsplit("/", 1)
        if is_output(name) and path == _absolute(folder).rstrip("/"):
            raise UsageError(
                f"{file} is an output of --output {folder}, which this run would replace;"
                " choose another --output (the first command also retries failed rows)"
            )


def _absolute(path: str) -> str:
    return os.path.abspath(path) if is_local(path) else path


def check_output(folder: str, here: bool) -> None:
    """Create the output folder; raise UsageError if workers cannot write to it."""
    if has_wildcard(folder) and not (here and is_local(folder)):
        raise UsageError(f"--output must not have *, ? or brackets on other machines, got {folder}")
    check_writable("--output", folder)
