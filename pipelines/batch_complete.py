"""The batch program: completes the prompts of a dataset and writes a folder of completions.

    python -m pipelines.batch_complete --input 'prompts/*.jsonl' --output out/

Rows are JSON objects with `prompt` or `messages`. Each row has one outcome: a completion in
completions-* or a dead letter in failed-*, as JSON lines or in another format.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import bigquery
from pipelines.cli import checks, journal_flags
from pipelines.cli import parser as cli_parser
from pipelines.cli.input_flags import add_input_options, input_format, input_options
from pipelines.cli.limit_flags import (
    add_limits,
    budget,
    failure_limit,
    open_budget,
    prices,
    print_spending,
    too_many_failed,
    warn_of_separate_budgets,
)
from pipelines.cli.model_flags import (
    SWITCH,
    add_journal_options,
    add_model_options,
    check_model,
    completion_options,
    model_params,
    settle_in_flight,
)
from pipelines.cli.output_flags import add_output_options, check_output_format, row_formats
from pipelines.cli.prompt_flags import add_column_option, add_prompt_options, row_form
from pipelines.errors import UsageError
from pipelines.filesystem import printable
from pipelines.inputs import stdin
from pipelines.inputs.prompts import ReadPrompts
from pipelines.inputs.rows import UnreadableFile
from pipelines.outputs import bigquery as outputs_bigquery
from pipelines.outputs import folder, spools
from pipelines.outputs.files import WriteRows
from pipelines.outputs.formats.jsonl import JsonLines
from pipelines.outputs.kept_columns import keep_columns
from pipelines.outputs.ordered import WriteInOrder
from pipelines.outputs.report import WriteReport
from pipelines.runners import checks as runner_checks
from pipelines.runners import dataflow, execution, pipeline
from pipelines.runners import runner as runners
from pipelines.shutdown import run_program
from pipelines.terminal.progress import ProgressLine
from pipelines.terminal.summary import summary
from transforms import CompletePrompts
from transforms.budget.ledger import NewLedger
from transforms.elements import Completion, DeadLetter, Delta
from transforms.failure_limit import StopAbove
from transforms.journal import NewJournal, Spent


def parser() -> cli_parser.Parser:
    """Return the command line."""
    made = cli_parser.Parser(
        prog="python -m pipelines.batch_complete",
        description="Complete the prompts of a dataset. Each row has one outcome: a completion or a"
        " failed row.",
        epilog="All options of Apache Beam are accepted too, for example --runner DataflowRunner"
        " --project P --region R --temp_location gs://B/tmp. Without --runner the job runs in this"
        " process.",
        allow_abbrev=False,
    )
    made.add_argument(
        "--input",
        required=True,
        nargs="+",
        action="extend",
        metavar="PATTERN",
        help="files of JSON lines with 'prompt' or 'messages', and optionally 'id', or of another"
        " format (--input_format); paths on any Beam filesystem, with wildcards, compressed or not."
        " Or a table with such columns, bigquery:PROJECT:DATASET.TABLE",
    )
    add_input_options(made)
    add_column_option(made)
    add_prompt_options(made)
    made.add_argument(
        "--output",
        required=True,
        metavar="FOLDER",
        help="the folder to write completions-*, failed-* and report.json to",
    )
    made.add_argument(
        "--output_table",
        type=_table,
        metavar="PROJECT:DATASET.TABLE",
        help="a BigQuery table to write the completions to, instead of completions-*; its"
        " previous rows are replaced",
    )
    add_output_options(made)
    add_model_options(made)
    add_journal_options(made)
    made.add_argument(
        "--keep_order",
        **SWITCH,
        help="write rows in the order of the input: by file name, then by line. Needs a runner on"
        " one machine",
    )
    made.add_argument(
        "--emit_deltas", **SWITCH, help="also write each streamed delta to deltas-*.jsonl"
    )
    add_limits(made)
    return made


def _table(text: str) -> str:
    try:
        return str(bigquery.parse(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


_FILES = {
    "Completions": "completions",
    "FailedRows": "failed-rows",
    "FailedCalls": "failed-calls",
}


def build(p: beam.Pipeline, known_args: argparse.Namespace, *, spread: bool) -> None:
    """Add the steps of the job to `p`; `spread` shuffles the rows over many workers."""
    journal = journal_flags.journal(known_args)
    form = row_form(known_args)
    options = input_options(known_args)
    read = p | "ReadPrompts" >> ReadPrompts(known_args.input, spread, options, form)
    done = read.prompts | "CompletePrompts" >> CompletePrompts(
        known_args.model,
        emit_deltas=known_args.emit_deltas,
        journal=journal,
        dedupe=known_args.dedupe,
        budget=budget(known_args, journal),
        prices=prices(known_args.prices),
        **completion_options(known_args),
    )
    outcomes = {
        "Completions": keep_columns(done.completions, form.columns, Completion),
        "FailedRows": read.dead_letters,
        "FailedCalls": done.dead_letters,
    }
    limit = failure_limit(known_args)
    outcomes = {name: rows | f"Stop{name}" >> StopAbove(limit) for name, rows in outcomes.items()}
    write = WriteInOrder if known_args.keep_order else WriteRows
    formats = row_formats(known_args, input_format(known_args), form)
    for name, rows in outcomes.items():
        if name == "Completions" and known_args.output_table:
            rows | "WriteTable" >> outputs_bigquery.WriteTable(
                bigquery.parse(known_args.output_table)
            )
        else:
            kind = Completion if name == "Completions" else DeadLetter
            rows | f"Write{name}" >> write(known_args.output, _FILES[name], formats[kind])
    if known_args.emit_deltas:
        deltas = keep_columns(done.deltas, form.columns, Delta)
        deltas | "WriteDeltas" >> WriteRows(known_args.output, "deltas", JsonLines())
    facts = {
        "model": known_args.model,
        "input": [printable(stdin.shown(location)) for location in known_args.input],
        "params": model_params(known_args),
        "output_format": known_args.output_format,
    }
    if known_args.output_table:
        facts["output_table"] = known_args.output_table
    path = FileSystems.join(known_args.output, folder.REPORT)
    reported = {**outcomes, "UnusedColumns": read.unused_columns, "Pacing": done.pacing}
    reported | "WriteReport" >> WriteReport(path, facts)


def run(argv: Sequence[str]) -> int:
    """Run the job and return the exit status.

    0: done. 1: no row completed, too many failed, or a file could not be read to its end. 2: wrong
    usage.
    """
    known_args, beam_options = cli_parser.parse(parser(), argv)
    here = pipeline.runs_here(beam_options)
    with stdin.spooled(known_args.input, here) as known_args.input:
        return _run(known_args, beam_options, here)


def _run(known_args: argparse.Namespace, beam_options: PipelineOptions, here: bool) -> int:
    """Check what the flags name, and run the job."""
    known_args.journal = journal_flags.reachable_journal(
        known_args.journal, known_args.output, beam_options
    )
    known_args.journal_alone = pipeline.shares_process(beam_options)
    check_output_format(known_args)
    check_model(known_args, here)
    new_journal = _check_together(known_args, here)
    new_budget = budget(known_args, new_journal)
    prices(known_args.prices)
    checks.check_temp(beam_options, known_args)
    checks.check_input(known_args)
    checks.check_columns(known_args)
    checks.check_apart(known_args)
    checks.check_output_table(known_args.output_table)
    checks.check_output(known_args.output, here)
    runner_checks.check(beam_options)
    dataflow.check(beam_options)
    with folder.claimed(known_args.output):
        return _run_job(known_args, beam_options, new_journal, new_budget)


def _run_job(
    known_args: argparse.Namespace,
    beam_options: PipelineOptions,
    new_journal: NewJournal | None,
    new_budget: NewLedger | None,
) -> int:
    """Run the job in the claimed output folder, and print its summary."""
    here = pipeline.runs_here(beam_options)
    earlier = folder.last_report(known_args.output)
    before = folder.Outputs(known_args.output, earlier)
    p = pipeline.new_pipeline(beam_options)
    spools.remove_left_behind()
    launched = settle_in_flight(known_args)
    # This process opens the journal before the first request and locks out other runs.
    journal = journal_flags.open_here(known_args) if here else None
    ledger = open_budget(new_budget, journal) if here else None
    # With spending in the journal, the first row that is not in it starts the model.
    if here and launched and (journal is None or journal.spent() == Spent()):
        checks.start_model(known_args.model)
    _warn_of_replaced(known_args, earlier)
    started = time.time()
    build(p, known_args, spread=not pipeline.shares_process(beam_options))
    if not here:
        warn_of_separate_budgets("batch_complete", new_budget)
        execution.run(p, beam_options)
        if runners.runner(beam_options) not in runners.PORTABLE_RUNNERS:
            return 0  # the runner may only have submitted the job
        path = FileSystems.join(known_args.output, folder.REPORT)
        if not folder.is_written_since(path, started):
            print(f"The job is done; the workers wrote to {known_args.output} on their machines.")
            return 0
    else:
        with ProgressLine(input_format(known_args).count(known_args.input)):
            execution.run(p, beam_options)
    report = folder.last_report(known_args.output) or {}
    for name in before.settle(report):
        print(f"batch_complete: {name} is not an output of this job, and stays", file=sys.stderr)
    folder.remove_unfinished(known_args.output)
    print(summary(known_args.output, report))
    print_spending(new_budget, ledger, journal)
    failed = report["failed"] and not report["completed"]
    is_part = UnreadableFile.__name__ in report["errors"]
    return 1 if too_many_failed(known_args, report) or failed or is_part else 0


def _warn_of_replaced(known_args: argparse.Namespace, earlier: Mapping[str, Any] | None) -> None:
    """Warn that the job replaces the completions of another model."""
    if earlier is None or not earlier.get("completed") or earlier["model"] == known_args.model:
        return
    print(
        f"batch_complete: this job replaces {earlier['completed']:,} completions of"
        f" {earlier['model']} in {known_args.output}; use another --output to keep both",
        file=sys.stderr,
    )


def _check_together(known_args: argparse.Namespace, here: bool) -> NewJournal | None:
    """Return the factory of the journal; raises UsageError for flags that exclude each other."""
    if known_args.keep_order and not here:
        raise UsageError(
            "--keep_order needs a runner on one machine, because it sorts on the local disk; leave"
            " it out and sort the rows of the output by id"
        )
    if known_args.keep_order and (
        known_args.output_table or not input_format(known_args).has_order
    ):
        raise UsageError("--keep_order needs files as input and output; a table has no order")
    return journal_flags.journal(known_args)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job and exit."""
    arguments = sys.argv[1:] if argv is None else argv
    run_program("batch_complete", lambda: run(arguments), lambda: _tidy_up(arguments))


def _tidy_up(argv: Sequence[str]) -> str:
    """Remove the unfinished files of a local job; return what is left of the job."""
    known_args, beam_options = cli_parser.parse(parser(), argv)
    kept = "" if known_args.journal == "none" else "; the same command resumes from the journal"
    if not pipeline.runs_here(beam_options):
        return runners.left_behind(beam_options, kept)
    with suppress(UsageError), folder.claimed(known_args.output):
        folder.remove_unfinished(known_args.output)
    return f"nothing was written to {known_args.output}{kept}"


if __name__ == "__main__":
    main()
