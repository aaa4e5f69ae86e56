"""Stream-complete: prompts arrive without end, deltas go out while the model still speaks.

    python -m pipelines.stream_complete --source kafka:localhost:9092/prompts \\
        --deltas_to redis://localhost/0 --completions_to jsonl:out/ --model openai/gpt-4o-mini

Every message comes out once, as a completion or as a dead letter, and only then is it done at its
source.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import apache_beam as beam

from pipelines import engines, places
from pipelines import options as cli
from pipelines.intake import Intake, IntakeOf
from pipelines.model_options import (
    add_journal_options,
    add_model_options,
    asking,
    check_model,
    positive,
    start_model,
)
from pipelines.receiving import Receive
from pipelines.stopping import run_program
from transforms import CompletePrompts, Publish, PublishDeltas, SinkUnavailable
from transforms.elements import Completion, Delta
from transforms.outgoing import NewPublisher


def parser() -> cli.Parser:
    """Return the command line."""
    made = cli.Parser(
        prog="python -m pipelines.stream_complete",
        description="Prompts that arrive become deltas, live, and whole completions.",
        epilog="All options of Apache Beam pass through. Without --runner the job runs here.",
        allow_abbrev=False,
    )
    made.add_argument("--source", required=True, metavar="WHERE", help=places.SOURCES)
    made.add_argument(
        "--deltas_to",
        default="stdout",
        metavar="WHERE",
        help=f"{places.DELTA_SINKS} (default: %(default)s)",
    )
    made.add_argument(
        "--completions_to", metavar="WHERE", help=f"{places.ROW_SINKS} (default: nowhere)"
    )
    made.add_argument(
        "--failed_to",
        metavar="WHERE",
        help="what cannot be answered; as --completions_to (default: where the completions go, or"
        " else the deltas)",
    )
    add_model_options(made)
    add_journal_options(made)
    _add_stream_options(made)
    return made


def _add_stream_options(made: cli.Parser) -> None:
    stream = made.add_argument_group("stream")
    stream.add_argument(
        "--flush_msec",
        type=positive,
        default=20,
        metavar="MSEC",
        help="the least time between two lots of deltas; after a pause one goes out at once"
        " (default: %(default)s)",
    )
    stream.add_argument(
        "--sink_patience",
        type=positive,
        default=60,
        metavar="SECONDS",
        help="a sink that is away for longer ends the job; until then all waits"
        " (default: %(default)s)",
    )
    stream.add_argument(
        "--drain_seconds",
        type=positive,
        default=30,
        metavar="SECONDS",
        help="after Ctrl-C or SIGTERM nothing new is taken in, and the answers under way have so"
        " long to end (default: %(default)s)",
    )
    stream.add_argument(
        "--max_message_bytes",
        type=positive,
        default=1 << 20,
        metavar="N",
        help="a larger message is a dead letter (default: %(default)s)",
    )


def build(p: beam.Pipeline, ours: argparse.Namespace, intake: IntakeOf) -> None:
    """Put the job together on `p`."""
    received = p | "Receive" >> Receive(
        places.source(ours.source), intake, ours.max_message_bytes, ours.drain_seconds
    )
    done = received.prompts | "CompletePrompts" >> CompletePrompts(
        ours.model,
        emit_deltas=True,
        journal=cli.journal(ours.journal, ours.output, ours.journal_required),
        **asking(ours),
    )
    terms = {
        "flush_msec": ours.flush_msec,
        "give_up_after": ours.sink_patience,
        "on_published": intake.published,
    }
    to = _sinks(ours)
    done.deltas | "PublishDeltas" >> PublishDeltas(to["deltas"], **terms)
    if "completions" in to:
        done.completions | "PublishCompletions" >> Publish(to["completions"], **terms)
    received.dead_letters | "PublishFailedRows" >> Publish(to["failed-rows"], **terms)
    done.dead_letters | "PublishFailedCalls" >> Publish(to["failed-calls"], **terms)


def _sinks(ours: argparse.Namespace) -> dict[str, NewPublisher]:
    """Return what makes each sink, by the name of what goes there."""
    to = {"deltas": places.sink("--deltas_to", ours.deltas_to, "deltas")}
    if ours.completions_to:
        to["completions"] = places.sink("--completions_to", ours.completions_to, "completions")
    failed = ours.failed_to or ours.completions_to or ours.deltas_to
    for name in ("failed-rows", "failed-calls"):
        to[name] = places.sink("--failed_to", failed, name)
    return to


def _parts(ours: argparse.Namespace) -> frozenset[type]:
    """Return what must be out before a prompt is done."""
    return frozenset({Delta, Completion} if ours.completions_to else {Delta})


def _settle_journal(ours: argparse.Namespace) -> None:
    """Find the place of the journal: beside the files that the job writes, if it writes any."""
    written = (ours.completions_to, ours.deltas_to, ours.failed_to)
    folders = [to.removeprefix("jsonl:") for to in written if to and to.startswith("jsonl:")]
    if ours.journal == "auto" and ours.source == "stdin" and not folders:
        ours.journal = "none"  # what was typed does not come again
    # One that is shared belongs to the source, wherever it is read.
    shared = "://" in ours.journal
    ours.output = f"stream://{ours.source}" if shared else next(iter(folders), ".")


def _check_sinks(ours: argparse.Namespace) -> None:
    """Raise UsageError unless each sink is there."""
    for new_publisher in _sinks(ours).values():
        publisher = new_publisher()
        try:
            publisher.check()
        except SinkUnavailable as error:
            raise cli.UsageError(str(error)) from None
        finally:
            publisher.close()


class Job:
    """One run of the program: it can be told to stop while it runs."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = argv
        self._intake: Intake | None = None

    def run(self) -> int:
        """Run until the source ends or `stop`; return the exit status."""
        ours, beam_options = cli.parse(parser(), self._argv)
        here = cli.runs_here(beam_options)
        _settle_journal(ours)
        ours.journal = cli.reachable_journal(ours.journal, ours.output, beam_options)
        check_model(ours, here)
        _check_sinks(ours)
        engines.check(beam_options)
        p = cli.new_pipeline(beam_options)
        start_model(ours, here)
        journal = cli.open_here(ours.journal, ours.output, ours.journal_required) if here else None
        intake = IntakeOf(_parts(ours))
        build(p, ours, intake)
        self._intake = intake()
        engines.run(p, beam_options)
        del journal
        return 0

    def stop(self) -> bool:
        """Have the job take in nothing more and end; return False if it has not begun."""
        if self._intake is None:
            return False
        self._intake.stopping.set()
        return True

    def unfinished(self) -> str:
        """Return what is left when the job was stopped before its answers had ended."""
        left = self._intake.open if self._intake is not None else 0
        return f"{left:,} messages have no outcome yet; the source has them still"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job and exit."""
    job = Job(sys.argv[1:] if argv is None else argv)
    run_program("stream_complete", job.run, job.unfinished, job.stop)


if __name__ == "__main__":
    main()
