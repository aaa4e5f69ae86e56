"""The job of the batch program: its last checks, steps, run and summary. It imports Beam."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems

from pipelines import bigquery, spools
from pipelines.cli import checks, job_facts, journal_flags, model_checks
from pipelines.cli.input_flags import input_format, input_options
from pipelines.cli.job_options import JobOptions
from pipelines.cli.limit_flags import (
    budget,
    failure_limit,
    open_budget,
    prices,
    print_spending,
    too_many_failed,
    warn_of_separate_budgets,
)
from pipelines.cli.model_flags import (
    completion_options,
    model_params,
    settle_in_flight,
)
from pipelines.cli.output_flags import page_options, row_formats
from pipelines.cli.prompt_flags import row_form
from pipelines.errors import UsageError
from pipelines.filesystem import printable
from pipelines.inputs import stdin
from pipelines.inputs.prompts import ReadPrompts
from pipelines.inputs.rows import UnreadableFile
from pipelines.outputs import bigquery as outputs_bigquery
from pipelines.outputs import claims, folder
from pipelines.outputs.answer_columns import put_answers
from pipelines.outputs.files import WriteRows
from pipelines.outputs.formats.jsonl import JsonLines
from pipelines.outputs.kept_columns import keep_columns
from pipelines.outputs.ordered import WriteInOrder
from pipelines.outputs.report import WriteReport
from pipelines.pages.activity import Activity
from pipelines.pages.files import check_page
from pipelines.runners import dataflow, execution, pipeline
from pipelines.runners import runner as runners
from pipelines.terminal.progress import ProgressLine
from pipelines.terminal.summary import summary
from transforms import CompletePrompts
from transforms.budget.ledger import NewLedger
from transforms.elements import Completion, DeadLetter, Delta
from transforms.failure_limit import StopAbove
from transforms.journal import NewJournal, Spent

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
    completions = keep_columns(done.completions, form.columns, Completion)
    outcomes = {
        "Completions": put_answers(completions, known_args),
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
        "flags": job_facts.flags_of(known_args),
        "address": job_facts.address_of(known_args, os.environ),
    }
    if known_args.output_table:
        facts["output_table"] = known_args.output_table
    path = FileSystems.join(known_args.output, folder.REPORT)
    reported = {**outcomes, "UnusedColumns": read.unused_columns, "Pacing": done.pacing}
    reported | "WriteReport" >> WriteReport(path, facts, page_options(known_args))


def run(
    known_args: argparse.Namespace,
    options: JobOptions,
    new_journal: NewJournal | None,
    new_budget: NewLedger | None,
) -> int:
    """Run the job, whose flags `batch_complete` has checked, and return the exit status."""
    here = pipeline.runs_here(options)
    checks.check_temp(options, known_args)
    checks.check_input(known_args)
    if known_args.keep_order and (
        known_args.output_table or not input_format(known_args).has_order
    ):
        raise UsageError("--keep_order needs files as input and output; a table has no order")
    checks.check_columns(known_args)
    checks.check_apart(known_args)
    checks.check_output_table(known_args.output_table)
    checks.check_output(known_args.output, here)
    dataflow.check(options.beam)
    with claims.claimed(known_args.output):
        return _run_job(known_args, options, new_journal, new_budget)


def _run_job(
    known_args: argparse.Namespace,
    options: JobOptions,
    new_journal: NewJournal | None,
    new_budget: NewLedger | None,
) -> int:
    """Run the job in the claimed output folder, and print its summary."""
    here = pipeline.runs_here(options)
    earlier = folder.last_report(known_args.output)
    check_page(known_args.output)
    before = folder.Outputs(known_args.output, earlier)
    p = pipeline.new_pipeline(options.beam)
    spools.remove_left_behind()
    launched = settle_in_flight(known_args)
    # This process opens the journal before the first request and locks out other runs.
    journal = journal_flags.open_here(known_args) if here else None
    ledger = open_budget(new_budget, journal) if here else None
    # With spending in the journal, the first row that is not in it starts the model.
    if here and launched and (journal is None or journal.spent() == Spent()):
        model_checks.start_model(known_args.model)
    _warn_of_replaced(known_args, earlier)
    started = time.time()
    build(p, known_args, spread=not pipeline.shares_process(options))
    if not here:
        warn_of_separate_budgets("batch_complete", new_budget)
        execution.run(p, options)
        if runners.runner(options) not in runners.PORTABLE_RUNNERS:
            return 0  # the runner may only have submitted the job
        path = FileSystems.join(known_args.output, folder.REPORT)
        if not folder.is_written_since(path, started):
            print(f"The job is done; the workers wrote to {known_args.output} on their machines.")
            return 0
    else:
        with Activity(), ProgressLine(input_format(known_args).count(known_args.input)):
            execution.run(p, options)
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
