"""Batch-complete a dataset: files of prompts become a folder of completions.

    python -m pipelines.batch_complete --input 'prompts/*.jsonl' --output out/

Rows are JSON objects with `prompt` or `messages`. Every row comes out once, as a completion in
completions-*.jsonl or as a dead letter in failed-*.jsonl.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems

from pipelines import bigquery, errors
from pipelines.cli import checks as cli
from pipelines.cli import journal_flags
from pipelines.cli import parser as cli_parser
from pipelines.cli.limit_flags import (
    add_limits,
    budget,
    failure_limit,
    open_budget,
    prices,
    say_what_is_spent,
    too_many_failed,
    warn_of_each_process,
)
from pipelines.cli.model_flags import (
    SWITCH,
    add_journal_options,
    add_model_options,
    asking,
    check_model,
    model_params,
    settle_in_flight,
)
from pipelines.inputs.formats import format_of
from pipelines.inputs.prompts import ReadPrompts
from pipelines.outputs import bigquery as outputs_bigquery
from pipelines.outputs import folder
from pipelines.outputs.jsonl import WriteLines
from pipelines.outputs.ordered_jsonl import WriteInOrder
from pipelines.outputs.report import WriteReport
from pipelines.runners import dataflow, pipeline
from pipelines.runners import runner as runners
from pipelines.shutdown import run_program
from pipelines.terminal.progress import ProgressLine
from pipelines.terminal.summary import read_report, summary
from transforms import CompletePrompts
from transforms.failure_limit import StopAbove
from transforms.journal import NewJournal, Spent


def parser() -> cli_parser.Parser:
    """Return the command line."""
    made = cli_parser.Parser(
        prog="python -m pipelines.batch_complete",
        description="Files of prompts become a folder of completions: one outcome for every row.",
        epilog="All options of Apache Beam pass through, for example --runner DataflowRunner"
        " --project P --region R --temp_location gs://B/tmp. Without --runner the job runs here.",
        allow_abbrev=False,
    )
    made.add_argument(
        "--input",
        required=True,
        metavar="PATTERN",
        help="JSON lines with 'prompt' or 'messages', and an optional 'id'; any Beam filesystem,"
        " globs, gzip; or a table with such columns, bigquery:PROJECT:DATASET.TABLE",
    )
    made.add_argument(
        "--output",
        required=True,
        metavar="FOLDER",
        help="gets completions-*.jsonl, failed-*.jsonl and report.json",
    )
    made.add_argument(
        "--output_table",
        type=_table,
        metavar="PROJECT:DATASET.TABLE",
        help="a table of BigQuery that gets the completions, in place of completions-*.jsonl and of"
        " what was in it",
    )
    add_model_options(made)
    add_journal_options(made)
    made.add_argument(
        "--dedupe",
        **SWITCH,
        help="pay once for equal requests: rows that ask the same get the same answer",
    )
    made.add_argument(
        "--keep_order",
        **SWITCH,
        help="write rows in the order of the input: files by name, then lines; on one machine",
    )
    made.add_argument(
        "--emit_deltas", **SWITCH, help="also write every streamed delta: deltas-*.jsonl"
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


def build(p: beam.Pipeline, ours: argparse.Namespace, *, spread: bool) -> None:
    """Put the job together on `p`; `spread` shuffles the rows over many workers."""
    journal = journal_flags.journal(ours.journal, ours.output, ours.journal_required)
    read = p | "ReadPrompts" >> ReadPrompts(ours.input, spread)
    done = read.prompts | "CompletePrompts" >> CompletePrompts(
        ours.model,
        emit_deltas=ours.emit_deltas,
        journal=journal,
        dedupe=ours.dedupe,
        budget=budget(ours, journal),
        prices=prices(ours.prices),
        **asking(ours),
    )
    outcomes = {
        "Completions": done.completions,
        "FailedRows": read.dead_letters,
        "FailedCalls": done.dead_letters,
    }
    if limit := failure_limit(ours):
        outcomes = {
            name: rows | f"Stop{name}" >> StopAbove(limit) for name, rows in outcomes.items()
        }
    write = WriteInOrder if ours.keep_order else WriteLines
    for name, rows in outcomes.items():
        if name == "Completions" and ours.output_table:
            rows | "WriteTable" >> outputs_bigquery.WriteTable(bigquery.parse(ours.output_table))
        else:
            rows | f"Write{name}" >> write(ours.output, _FILES[name])
    if ours.emit_deltas:
        done.deltas | "WriteDeltas" >> WriteLines(ours.output, "deltas")
    facts = {"model": ours.model, "input": ours.input, "params": model_params(ours)}
    if ours.output_table:
        facts["output_table"] = ours.output_table
    path = FileSystems.join(ours.output, "report.json")
    reported = {**outcomes, "UnusedColumns": read.unused_columns, "Pacing": done.pacing}
    reported | "WriteReport" >> WriteReport(path, facts)


def run(argv: Sequence[str]) -> int:
    """Run the job; return the exit status: 0 done, 1 nothing or too little completed, 2 usage."""
    ours, beam_options = cli_parser.parse(parser(), argv)
    here = pipeline.runs_here(beam_options)
    ours.journal = journal_flags.reachable_journal(ours.journal, ours.output, beam_options)
    check_model(ours, here)
    new_journal = _check_together(ours, here)
    new_budget = budget(ours, new_journal)
    prices(ours.prices)
    cli.check_temp(beam_options, ours)
    cli.check_input(ours.input)
    cli.check_apart(ours.input, ours.output)
    cli.check_output_table(ours.output_table)
    cli.check_output(ours.output)
    runners.check(beam_options)
    dataflow.check(beam_options)
    p = pipeline.new_pipeline(beam_options)
    launched = settle_in_flight(ours)
    # Held here, it is opened before anything is sent, and by this run alone.
    journal = (
        journal_flags.open_here(ours.journal, ours.output, ours.journal_required) if here else None
    )
    ledger = open_budget(new_budget, journal) if here else None
    if here and launched and (journal is None or journal.spent() == Spent()):
        cli.start_model(ours.model)  # else the first row that the journal has not starts it
    before = folder.written_before(ours.output)
    started = time.time()
    build(p, ours, spread=not pipeline.shares_process(beam_options))
    if not here:
        warn_of_each_process(new_budget)
        runners.run(p, beam_options)
        if runners.runner(beam_options) not in runners.PORTABLE_RUNNERS:
            return 0  # it may only have been submitted
        if not folder.is_written_since(FileSystems.join(ours.output, "report.json"), started):
            print(f"The job is done; its workers wrote to {ours.output}, where they are.")
            return 0
    else:
        with ProgressLine(format_of(ours.input).count(ours.input)):
            runners.run(p, beam_options)
    folder.remove_older(ours.output, before)
    folder.remove_unfinished(ours.output, before=started)
    report = read_report(ours.output)
    print(summary(ours.output, report))
    say_what_is_spent(new_budget, ledger, journal)
    failed = report["failed"] and not report["completed"]
    return 1 if too_many_failed(ours, report) or failed else 0


def _check_together(ours: argparse.Namespace, here: bool) -> NewJournal | None:
    """Return what opens the journal; raises UsageError for flags that do not go together."""
    if ours.keep_order and not here:
        raise errors.UsageError(
            "--keep_order puts rows in order on one machine's disk: many workers write many files,"
            " whose rows have ids to sort by"
        )
    if ours.keep_order and (ours.output_table or not format_of(ours.input).has_order):
        raise errors.UsageError("--keep_order is for files: a table has no order")
    if ours.dedupe and ours.journal == "none":
        raise errors.UsageError(
            "--dedupe looks equal requests up in the journal: not with --journal none"
        )
    return journal_flags.journal(ours.journal, ours.output, ours.journal_required)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job and exit."""
    arguments = sys.argv[1:] if argv is None else argv
    run_program("batch_complete", lambda: run(arguments), lambda: _tidy_up(arguments))


def _tidy_up(argv: Sequence[str]) -> str:
    """Remove the files that the job had begun, and say so; or what becomes of one elsewhere."""
    ours, beam_options = cli_parser.parse(parser(), argv)
    kept = "" if ours.journal == "none" else "; the same command goes on from the journal"
    if not pipeline.runs_here(beam_options):
        return runners.left_behind(beam_options, kept)
    folder.remove_unfinished(ours.output)
    return f"nothing was written to {ours.output}{kept}"


if __name__ == "__main__":
    main()
