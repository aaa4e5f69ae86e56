"""The job of the batch program: its last checks, steps, run and summary. It imports Beam."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import closing, suppress
from typing import Any

import apache_beam as beam

from pipelines import bigquery, spools
from pipelines.cli import checks, facts, model_checks
from pipelines.cli.flags import journal as journal_flags
from pipelines.cli.flags.input import input_format, input_options, selection
from pipelines.cli.flags.limits import (
    budget,
    failure_limit,
    open_budget,
    prices,
    print_spending,
    too_many_failed,
    warn_of_separate_budgets,
)
from pipelines.cli.flags.model import (
    completion_options,
    settle_in_flight,
)
from pipelines.cli.flags.output import page_options, row_formats
from pipelines.cli.flags.prompts import row_form
from pipelines.cli.flags.records import record_checks, stop_when
from pipelines.cli.job_options import JobOptions
from pipelines.errors import UsageError
from pipelines.inputs.prompts import ReadPrompts
from pipelines.inputs.rows import UnreadableFile
from pipelines.outputs import bigquery as outputs_bigquery
from pipelines.outputs import claims, folder
from pipelines.outputs.answer_columns import put_answers
from pipelines.outputs.formats.jsonl import JsonLines
from pipelines.outputs.kept_columns import keep_columns
from pipelines.outputs.records import FindRecords
from pipelines.outputs.shards import manifest
from pipelines.outputs.shards.finish import About, Finish, begin_run
from pipelines.outputs.shards.names import new_run
from pipelines.outputs.shards.ordered import PutDown, Spooled
from pipelines.outputs.shards.publish import PublishShards
from pipelines.outputs.shards.settings import ShardSettings
from pipelines.outputs.shards.write import Accounts, SumUp, WriteShards
from pipelines.outputs.shards.writer import WRITERS
from pipelines.pages.activity import Activity
from pipelines.pages.files import check_page
from pipelines.runners import dataflow, execution, pipeline
from pipelines.runners import runner as runners
from pipelines.runners.runner import Workers, workers
from pipelines.terminal.summary import summary
from pipelines.watch.job import watched
from pipelines.watch.tap import Tap
from transforms import CompletePrompts
from transforms.budget.ledger import NewLedger
from transforms.elements import Completion, DeadLetter, Delta, Record
from transforms.journal import NewJournal, Spent
from transforms.progress.line import ProgressLine

_KINDS = {
    "Completions": "completions",
    "FailedRows": "failed-rows",
    "FailedCalls": "failed-calls",
}


def build(
    p: beam.Pipeline,
    known_args: argparse.Namespace,
    *,
    spread: bool,
    settings: ShardSettings | None = None,
) -> None:
    """Add the steps of the job to `p`; `spread` shuffles the rows over many workers.

    `settings` are those of its run; None are those of a new one on many workers.
    """
    settings = settings or shard_settings(known_args)
    journal = journal_flags.journal(known_args)
    form = row_form(known_args)
    options = input_options(known_args)
    read = p | "ReadPrompts" >> ReadPrompts(
        known_args.input, spread, options, form, selection(known_args)
    )
    done = read.prompts | "CompletePrompts" >> CompletePrompts(
        known_args.model,
        emit_deltas=known_args.emit_deltas,
        journal=journal,
        dedupe=known_args.dedupe,
        budget=budget(known_args, journal),
        prices=prices(known_args.prices),
        stop_when=stop_when(known_args),
        **completion_options(known_args),
    )
    completions = keep_columns(done.completions, form.columns, Completion)
    outcomes = {
        "Completions": put_answers(completions, known_args),
        "FailedRows": read.dead_letters,
        "FailedCalls": done.dead_letters,
    }
    if known_args.watch is not None:
        outcomes = {name: rows | f"Watch{name}" >> Tap() for name, rows in outcomes.items()}
    formats = row_formats(known_args, input_format(known_args), form)
    page = page_options(known_args)
    accounts = Accounts(page, failure_limit(known_args))
    told: dict[str, Any] = {"UnusedColumns": read.unused_columns, "Pacing": done.pacing}
    parts: dict[str, Any] = {}
    spooled: list[Spooled] = []
    for name, rows in outcomes.items():
        format = formats[Completion if name == "Completions" else DeadLetter]
        step: Any = WriteShards(settings, _KINDS[name], format, accounts)
        if name == "Completions" and known_args.output_table:
            table = outputs_bigquery.WriteTable(bigquery.parse(known_args.output_table))
            rows | "WriteTable" >> table
            step = SumUp(accounts)
        elif known_args.keep_order:
            step = PutDown(_KINDS[name], format, accounts)
            spooled.append(step.spooled)
        parts[name] = rows | f"Write{name}" >> step
    if known_args.records:
        found = completions | "FindRecords" >> FindRecords(
            known_args.records, record_checks(known_args)
        )
        write = WriteShards(settings, "records", formats[Record], None)
        parts["Records"] = found | "WriteRecords" >> write
    if known_args.emit_deltas:
        deltas = keep_columns(done.deltas, form.columns, Delta)
        write = WriteShards(settings, "deltas", JsonLines(), None)
        parts["Deltas"] = deltas | "WriteDeltas" >> write
    about = About(facts.report_facts(known_args), facts.run_facts(known_args), page)
    if settings.at_commit:
        parts = {"Published": parts | "PublishShards" >> PublishShards(settings)}
    {**told, **parts} | "WriteReport" >> Finish(settings, about, spooled)


def shard_settings(
    known_args: argparse.Namespace, options: JobOptions | None = None, after: str = ""
) -> ShardSettings:
    """Return the settings of a new run; its id sorts after that of the run `after`."""
    at_once = options is not None and pipeline.never_repeats(options)
    return ShardSettings(
        known_args.output,
        new_run(after),
        known_args.shard_rows,
        known_args.shard_seconds,
        at_once,
        at_commit=options is not None and not at_once and pipeline.keeps_commits(options),
        alone=options is not None and workers(options) is Workers.IN_PROCESS,
    )


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
    folder.last_report(known_args.output)  # which this job must be able to replace
    check_page(known_args.output)
    runs = manifest.runs(known_args.output)
    facts.check_same_job(known_args, runs)
    p = pipeline.new_pipeline(options.beam)
    spools.remove_left_behind()
    launched = settle_in_flight(known_args)
    # This process opens the journal before the first request and locks out other runs.
    journal = journal_flags.open_here(known_args) if here else None
    ledger = open_budget(new_budget, journal) if here else None
    # With spending in the journal, the first row that is not in it starts the model.
    if here and launched and (journal is None or journal.spent() == Spent()):
        model_checks.start_model(known_args.model)
    newest = runs[0].id if runs else ""
    settings = shard_settings(known_args, options, newest)
    build(p, known_args, spread=not pipeline.shares_process(options), settings=settings)
    begin_run(settings, facts.run_facts(known_args))
    if not here:
        warn_of_separate_budgets("batch_complete", new_budget)
        execution.run(p, options)
        if runners.runner(options) not in runners.PORTABLE_RUNNERS:
            return 0  # the runner may only have submitted the job
    else:
        total = selection(known_args).count(input_format(known_args), known_args.input)
        page, about = page_options(known_args), facts.report_facts(known_args)
        watch = watched(known_args.watch, known_args.output, page, about, total)
        with closing(WRITERS), Activity(), watch, ProgressLine(total):
            execution.run(p, options)
    report = folder.last_report(known_args.output) or {}
    if report.get("run") != settings.run:
        print(f"The job is done; the workers wrote to {known_args.output} on their machines.")
        return 0
    for name in folder.unlisted(known_args.output, report):
        print(f"batch_complete: {name} is not an output of this job, and stays", file=sys.stderr)
    print(summary(known_args.output, report))
    print_spending(new_budget, ledger, journal)
    failed = report["failed"] and not report["completed"]
    is_part = UnreadableFile.__name__ in report["errors"]
    return 1 if too_many_failed(known_args, report) or failed or is_part else 0


def stopped(known_args: argparse.Namespace) -> str:
    """Tidy up after a local job that has stopped early; return which rows are readable."""
    WRITERS.close()
    with suppress(UsageError, OSError), claims.claimed(known_args.output):
        folder.remove_unfinished(known_args.output)
    with suppress(OSError):
        for run in manifest.runs(known_args.output)[:1]:
            if run.facts.get("pid") == os.getpid() and not run.complete and run.shards:
                rows = sum(shard.rows for shard in run.shards if shard.kind != "deltas")
                return f"{rows:,} rows are in {known_args.output}"
    return f"nothing was written to {known_args.output}"
