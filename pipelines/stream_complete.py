"""The streaming program: completes prompts as they arrive and publishes the deltas live.

    python -m pipelines.stream_complete --source kafka:localhost:9092/prompts \\
        --deltas_to redis://localhost/0 --completions_to jsonl:out/ --model openai/gpt-4o-mini

Each message has one outcome, a completion or a dead letter. The source receives the acknowledgement
once the outcome is published.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from pipelines.cli import checks, journal_flags, location_checks, locations
from pipelines.cli import parser as cli_parser
from pipelines.cli.model_flags import (
    add_journal_options,
    add_model_options,
    check_model,
    completion_options,
    settle_in_flight,
)
from pipelines.cli.parser import positive
from pipelines.errors import UsageError
from pipelines.runners import dataflow, pipeline
from pipelines.runners import runner as runners
from pipelines.shutdown import run_program
from pipelines.sources.acknowledgements import IntakeOf
from pipelines.sources.receive import Receive
from pipelines.sources.receive_native import ReceiveElsewhere
from pipelines.sources.receive_splittable import ReceiveByTurns
from pipelines.terminal import live_sink
from transforms import CompletePrompts, Publish, PublishDeltas
from transforms.elements import Completion, Delta, Prompt


def parser() -> cli_parser.Parser:
    """Return the command line."""
    made = cli_parser.Parser(
        prog="python -m pipelines.stream_complete",
        description="Complete prompts as they arrive from a source. Publish the deltas live and the"
        " completions once they are whole.",
        epilog="All options of Apache Beam are accepted too. Without --runner the job runs in this"
        " process.",
        allow_abbrev=False,
    )
    made.add_argument(
        "--source",
        required=True,
        metavar="WHERE",
        help=f"where to receive prompts from: {locations.SOURCES}",
    )
    made.add_argument(
        "--deltas_to",
        default="stdout",
        metavar="WHERE",
        help=f"where to publish deltas: {locations.DELTA_SINKS} (default: %(default)s)",
    )
    made.add_argument(
        "--completions_to",
        metavar="WHERE",
        help=f"where to publish completions: {locations.ROW_SINKS} (default: nowhere)",
    )
    made.add_argument(
        "--failed_to",
        metavar="WHERE",
        help="where to publish failed messages; takes the same values as --completions_to (default:"
        " the sink of the completions, or else of the deltas)",
    )
    add_model_options(made)
    add_journal_options(made)
    _add_stream_options(made)
    return made


def _add_stream_options(made: cli_parser.Parser) -> None:
    stream = made.add_argument_group("stream")
    stream.add_argument(
        "--flush_msec",
        type=positive,
        default=10,
        metavar="MSEC",
        help="the shortest time between two publish batches of deltas; the first delta after a"
        " pause is published at once (default: %(default)s)",
    )
    stream.add_argument(
        "--sink_patience",
        type=positive,
        default=60,
        metavar="SECONDS",
        help="how long to wait for an unavailable sink before failing the job (default:"
        " %(default)s)",
    )
    stream.add_argument(
        "--drain_seconds",
        type=positive,
        default=30,
        metavar="SECONDS",
        help="how long to wait for completions in flight after Ctrl-C or SIGTERM; the job receives"
        " no new messages meanwhile (default: %(default)s)",
    )
    stream.add_argument(
        "--turn_seconds",
        type=positive,
        default=10,
        metavar="SECONDS",
        help="on a runner with checkpoints: how long to receive messages before the job pauses,"
        " finishes their completions and allows a checkpoint (default: %(default)s)",
    )
    stream.add_argument(
        "--kafka_group",
        default="ritellm",
        metavar="NAME",
        help="the consumer group of a Kafka source (default: %(default)s)",
    )
    stream.add_argument(
        "--kafka_config",
        metavar="FILE",
        help="a file of name=value lines for librdkafka, for example with credentials",
    )
    stream.add_argument(
        "--max_message_bytes",
        type=positive,
        default=1 << 20,
        metavar="N",
        help="the largest message to send; a larger one fails (default: %(default)s)",
    )


def build(p: beam.Pipeline, known_args: argparse.Namespace, intake: IntakeOf | None) -> None:
    """Put the job together on `p`; one that runs elsewhere has no `intake` of known_args."""
    received = p | "Receive" >> _receive(known_args, p.options, intake)
    prompts = received.prompts
    if known_args.deltas_to == "stdout" and live_sink.is_live():
        prompts = prompts | "Show" >> beam.Map(live_sink.show_prompt).with_output_types(Prompt)
    done = prompts | "CompletePrompts" >> CompletePrompts(
        known_args.model,
        emit_deltas=True,
        journal=journal_flags.journal(known_args),
        **completion_options(known_args),
    )
    terms = {
        "flush_msec": known_args.flush_msec,
        "give_up_after": known_args.sink_patience,
        "on_published": intake and intake.published,
        "on_given_up": intake and intake.fail,
    }
    to = location_checks.sinks(known_args)
    done.deltas | "PublishDeltas" >> PublishDeltas(to["deltas"], **terms)
    if "completions" in to:
        done.completions | "PublishCompletions" >> Publish(to["completions"], **terms)
    received.dead_letters | "PublishFailedRows" >> Publish(to["failed-rows"], **terms)
    done.dead_letters | "PublishFailedCalls" >> Publish(to["failed-calls"], **terms)


def _receive(
    known_args: argparse.Namespace, options: PipelineOptions, intake: IntakeOf | None
) -> beam.PTransform:
    """Return what reads the source where the job runs."""
    feed, most_bytes = locations.source(known_args), known_args.max_message_bytes
    if intake is None:
        return ReceiveElsewhere(feed, most_bytes)
    if _reads_by_turns(options):
        slots = runners.slots(options) if locations.is_shared(feed) else 0
        return ReceiveByTurns(feed, intake, most_bytes, known_args.turn_seconds, slots)
    return Receive(feed, intake, most_bytes, known_args.drain_seconds)


def _reads_by_turns(options: PipelineOptions) -> bool:
    """Return whether the source is read in bundles that end: on Flink, and by workers elsewhere."""
    where = runners.runner(options)
    return where == "flinkrunner" or (
        where in runners.PORTABLE_RUNNERS and not pipeline.runs_here(options)
    )


def _parts(known_args: argparse.Namespace) -> frozenset[type]:
    """Return what must be out before a prompt is done."""
    return frozenset({Delta, Completion} if known_args.completions_to else {Delta})


def _settle_journal(known_args: argparse.Namespace, here: bool) -> None:
    """Find the place of the journal: beside the files that the job writes, if it writes any."""
    if known_args.journal == "auto" and not here:
        known_args.journal = "none"  # no file of this machine is there for the workers
    written = (known_args.completions_to, known_args.deltas_to, known_args.failed_to)
    folders = [to.removeprefix("jsonl:") for to in written if to and to.startswith("jsonl:")]
    if known_args.journal == "auto" and known_args.source == "stdin" and not folders:
        known_args.journal = "none"  # what was typed does not come again
    # One that is shared belongs to the source, wherever it is read.
    shared = "://" in known_args.journal
    known_args.output = f"stream://{known_args.source}" if shared else next(iter(folders), ".")


def _check_elsewhere(known_args: argparse.Namespace, options: PipelineOptions) -> None:
    """Raise UsageError for what only this machine has; and for what is not there, if that shows."""
    for name in ("deltas_to", "completions_to", "failed_to"):
        to = getattr(known_args, name) or ""
        if to == "stdout" or to.startswith("jsonl:"):
            raise UsageError(f"--{name} {to} is on this machine, and the job runs elsewhere")
    if known_args.source == "stdin":
        raise UsageError("--source stdin is on this machine, and the job runs elsewhere")
    if runners.workers(options) is runners.Workers.ON_MACHINE:
        location_checks.check_here(known_args)
    else:
        location_checks.check_elsewhere(known_args)


class Job:
    """One run of the program: it can be told to stop while it runs."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = argv
        self._intake: IntakeOf | None = None
        self._options: PipelineOptions | None = None

    def run(self) -> int:
        """Run until the source ends or `stop`; return the exit status."""
        known_args, self._options = cli_parser.parse(parser(), runners.with_defaults(self._argv))
        here = pipeline.runs_here(self._options)
        _settle_journal(known_args, here)
        known_args.journal = journal_flags.reachable_journal(
            known_args.journal, known_args.output, self._options
        )
        runners.check(self._options)
        dataflow.check(self._options)
        check_model(known_args, here)
        if not here:
            _check_elsewhere(known_args, self._options)
            settle_in_flight(known_args)
            return self._run(known_args, self._options)
        if runners.workers(self._options) is not runners.Workers.IN_PROCESS:
            raise UsageError("--direct_running_mode: a live source needs one process")
        location_checks.check_here(known_args)
        if known_args.deltas_to == "stdout" and (hint := live_sink.hint()):
            print(f"stream_complete: {hint}", file=sys.stderr)
        if settle_in_flight(known_args):
            checks.start_model(known_args.model)
        journal = journal_flags.open_here(known_args)
        status = self._run(known_args, self._options)
        del journal
        return status

    def _run(self, known_args: argparse.Namespace, options: PipelineOptions) -> int:
        here, by_turns = pipeline.runs_here(options), _reads_by_turns(options)
        if by_turns or not here:
            options.view_as(StandardOptions).streaming = True
        p = pipeline.new_pipeline(options)
        intake = IntakeOf(_parts(known_args)) if here or by_turns else None
        build(p, known_args, intake)
        # With checkpoints Flink never ends a job: to stop is to cancel.
        endless = by_turns and any("--checkpointing_interval" in flag for flag in self._argv)
        self._intake = intake if here and not endless else None
        runners.run(p, options)
        return 0

    def stop(self) -> bool:
        """Have the job take in nothing more and end; return False if that cannot be told it."""
        if self._intake is None:
            return False
        self._intake.stopping.set()
        # Called in a signal's handler, which may have interrupted who holds the terminal.
        threading.Thread(target=_announce_stop, daemon=True).start()
        return True

    def unfinished(self) -> str:
        """Return what is left when the job was stopped before its answers had ended."""
        if self._intake is None and self._options is not None:
            kept = "; the source has the messages without an outcome still"
            return runners.left_behind(self._options, kept)
        left = self._intake.open if self._intake else 0
        return f"{left:,} messages have no outcome yet; the source has them still"


def _announce_stop() -> None:
    note = "stopping: waiting for the completions in flight; press Ctrl-C again to stop now"
    if live_sink.is_live():
        live_sink.view().say(note)
    else:
        print(note, file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job and exit."""
    job = Job(sys.argv[1:] if argv is None else argv)
    run_program("stream_complete", job.run, job.unfinished, job.stop)


if __name__ == "__main__":
    main()
