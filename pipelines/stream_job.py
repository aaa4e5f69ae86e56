"""The job of the streaming program: its steps, and its run. Imports Beam."""

from __future__ import annotations

import argparse
import sys
import threading

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from pipelines.cli import location_checks, locations, model_checks, stream_checks
from pipelines.cli.flags import commit as commit_flags
from pipelines.cli.flags import journal as journal_flags
from pipelines.cli.flags.limits import (
    budget,
    failure_limit,
    open_budget,
    prices,
    print_spending,
    warn_of_separate_budgets,
)
from pipelines.cli.flags.model import completion_options, settle_in_flight
from pipelines.cli.flags.prompts import row_form
from pipelines.cli.job_options import JobOptions
from pipelines.runners import dataflow, execution, pipeline
from pipelines.runners import runner as runners
from pipelines.serve_deltas.embedded import Served, served
from pipelines.sources.acknowledgements import JobAcknowledger
from pipelines.sources.inbox import WithInbox
from pipelines.sources.receive import Receive
from pipelines.sources.receive_native import ReceiveNative
from pipelines.sources.receive_splittable import ReceiveSplittable
from pipelines.terminal import live_sink
from transforms import CompletePrompts, Publish, PublishDeltas, StopAbove
from transforms.budget.ledger import NewLedger
from transforms.elements import Completion, Delta, Prompt

_KINDS = {
    "Completions": "completions",
    "FailedRows": "failed-rows",
    "FailedCalls": "failed-calls",
    "Incomplete": "failed-calls",
}


def build(
    p: beam.Pipeline, known_args: argparse.Namespace, acknowledger: JobAcknowledger | None
) -> None:
    """Add the steps of the job to `p`; Beam's own sources need no `acknowledger`."""
    received = p | "Receive" >> _receive(known_args, p.options, acknowledger)
    prompts = received.prompts
    if known_args.deltas_to == "stdout" and live_sink.is_live():
        prompts = prompts | "Show" >> beam.Map(live_sink.show_prompt).with_output_types(Prompt)
    journal = journal_flags.journal(known_args)
    done = prompts | "CompletePrompts" >> CompletePrompts(
        known_args.model,
        emit_deltas=True,
        journal=journal,
        dedupe=known_args.dedupe,
        budget=budget(known_args, journal),
        prices=prices(known_args.prices),
        stops=locations.stops(known_args),
        **completion_options(known_args),
        **commit_flags.commit_options(known_args),
    )
    publish_options = {
        "flush_msec": known_args.flush_msec,
        "give_up_after": known_args.sink_patience,
        "on_published": acknowledger and acknowledger.published,
        "on_given_up": acknowledger and acknowledger.fail,
    }
    to = location_checks.sinks(known_args)
    if known_args.serve is not None:
        shown = ("deltas", "failed-rows", "failed-calls")
        to |= {name: Served(to[name]) for name in shown}
    done.deltas | "PublishDeltas" >> PublishDeltas(to["deltas"], **publish_options)
    outcomes = {
        "Completions": done.completions,
        "FailedRows": received.dead_letters,
        "FailedCalls": done.dead_letters,
    }
    if known_args.commit_every:
        outcomes["Incomplete"] = done.incomplete
    if known_args.fail_above is not None:
        # Before the sinks: the outcome that stops the job is not published, so the source keeps it.
        limit = failure_limit(known_args)
        outcomes = {
            name: rows | f"Stop{name}" >> StopAbove(limit) for name, rows in outcomes.items()
        }
    for name, rows in outcomes.items():
        if (kind := _KINDS[name]) in to:
            rows | f"Publish{name}" >> Publish(to[kind], **publish_options)


def _receive(
    known_args: argparse.Namespace, options: PipelineOptions, acknowledger: JobAcknowledger | None
) -> beam.PTransform:
    """Return the transform that reads the source on the runner of the job."""
    source, most_bytes = locations.source(known_args), known_args.max_message_bytes
    if known_args.serve_prompts:
        source = WithInbox(source)
    rows = row_form(known_args)
    if acknowledger is None:
        return ReceiveNative(source, most_bytes, rows)
    if _reads_in_turns(options):
        slots = runners.slots(options) if locations.is_shared(source) else 0
        seconds = known_args.turn_seconds
        return ReceiveSplittable(source, acknowledger, most_bytes, seconds, slots, rows)
    return Receive(source, acknowledger, most_bytes, known_args.drain_seconds, rows)


def _reads_in_turns(options: runners.Options) -> bool:
    """Return whether bundles have to end: on Flink, and on portable runners elsewhere."""
    where = runners.runner(options)
    return where == "flinkrunner" or (
        where in runners.PORTABLE_RUNNERS and not pipeline.runs_here(options)
    )


def _parts(known_args: argparse.Namespace) -> frozenset[type]:
    """Return the types of outcomes that must be published before a prompt is done."""
    return frozenset({Delta, Completion} if known_args.completions_to else {Delta})


class Job:
    """One run of a job whose flags `stream_complete` has checked.

    `endless` means that the runner never ends a job that reads in turns.
    """

    def __init__(
        self,
        known_args: argparse.Namespace,
        options: JobOptions,
        new_budget: NewLedger | None,
        endless: bool,
    ) -> None:
        self._known_args = known_args
        self._options = options
        self._new_budget = new_budget
        self._endless = endless
        self._acknowledger: JobAcknowledger | None = None

    def run(self) -> int:
        """Run until the source ends or `stop`; return the exit status."""
        known_args, new_budget = self._known_args, self._new_budget
        dataflow.check(self._options.beam)
        if not pipeline.runs_here(self._options):
            stream_checks.check_elsewhere(known_args, self._options)
            warn_of_separate_budgets("stream_complete", new_budget)
            settle_in_flight(known_args)
            return self._run()
        location_checks.check_here(known_args)
        if known_args.deltas_to == "stdout" and (hint := live_sink.hint()):
            print(f"stream_complete: {hint}", file=sys.stderr)
        if settle_in_flight(known_args):
            model_checks.start_model(known_args.model)
        journal = journal_flags.open_here(known_args)
        ledger = open_budget(new_budget, journal)
        rows = row_form(known_args) if known_args.serve_prompts else None
        with served(known_args.serve, locations.stops(known_args), rows):
            status = self._run()
        print_spending(new_budget, ledger, journal, file=sys.stderr)
        del journal
        return status

    def _run(self) -> int:
        options = self._options
        here, in_turns = pipeline.runs_here(options), _reads_in_turns(options)
        if in_turns or not here:
            options.beam.view_as(StandardOptions).streaming = True
        p = pipeline.new_pipeline(options.beam)
        acknowledger = JobAcknowledger(_parts(self._known_args)) if here or in_turns else None
        build(p, self._known_args, acknowledger)
        # With checkpoints Flink never ends a job, so Ctrl-C cancels it.
        endless = in_turns and self._endless
        self._acknowledger = acknowledger if here and not endless else None
        execution.run(p, options)
        return 0

    def stop(self) -> bool:
        """Stop receiving and let the job end; return False if only cancelling can end it."""
        if self._acknowledger is None:
            return False
        self._acknowledger.stopping.set()
        # A signal handler runs this. The code that it interrupts may hold the lock of the terminal.
        threading.Thread(target=_announce_stop, daemon=True).start()
        return True

    def unfinished(self) -> str:
        """Return what is left of a job that stopped before its completions had finished."""
        if self._acknowledger is None:
            kept = "; the source keeps the messages without an outcome"
            return runners.left_behind(self._options, kept)
        return f"{self._acknowledger.open:,} messages have no outcome yet; the source keeps them"


def _announce_stop() -> None:
    note = "stopping: waiting for the completions in flight; press Ctrl-C again to stop now"
    if live_sink.is_live():
        live_sink.view().say(note)
    else:
        print(note, file=sys.stderr, flush=True)
