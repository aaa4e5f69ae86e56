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

from pipelines import engines
from pipelines import options as cli
from pipelines.model_options import (
    SWITCH,
    add_journal_options,
    add_model_options,
    asking,
    check_model,
    model_params,
    start_model,
)
from pipelines.progress import ProgressLine
from pipelines.reading import ReadPrompts
from pipelines.report import WriteReport
from pipelines.stopping import run_program
from pipelines.summary import read_report, summary
from pipelines.writing import WriteLines
from transforms import CompletePrompts


def parser() -> cli.Parser:
    """Return the command line."""
    made = cli.Parser(
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
        " globs, gzip",
    )
    made.add_argument(
        "--output",
        required=True,
        metavar="FOLDER",
        help="gets completions-*.jsonl, failed-*.jsonl and report.json",
    )
    add_model_options(made)
    add_journal_options(made)
    made.add_argument(
        "--emit_deltas", **SWITCH, help="also write every streamed delta: deltas-*.jsonl"
    )
    return made


def build(p: beam.Pipeline, ours: argparse.Namespace, *, spread: bool) -> None:
    """Put the job together on `p`; `spread` shuffles the rows over many workers."""
    read = p | "ReadPrompts" >> ReadPrompts(ours.input, spread)
    done = read.prompts | "CompletePrompts" >> CompletePrompts(
        ours.model,
        emit_deltas=ours.emit_deltas,
        journal=cli.journal(ours.journal, ours.output, ours.journal_required),
        **asking(ours),
    )
    done.completions | "WriteCompletions" >> WriteLines(ours.output, "completions")
    read.dead_letters | "WriteFailedRows" >> WriteLines(ours.output, "failed-rows")
    done.dead_letters | "WriteFailedCalls" >> WriteLines(ours.output, "failed-calls")
    if ours.emit_deltas:
        done.deltas | "WriteDeltas" >> WriteLines(ours.output, "deltas")
    outcomes = {
        "Completions": done.completions,
        "FailedRows": read.dead_letters,
        "FailedCalls": done.dead_letters,
    }
    facts = {"model": ours.model, "input": ours.input, "params": model_params(ours)}
    path = FileSystems.join(ours.output, "report.json")
    outcomes | "WriteReport" >> WriteReport(path, facts)


def run(argv: Sequence[str]) -> int:
    """Run the job; return the exit status: 0 done, 1 nothing could be completed, 2 usage."""
    ours, beam_options = cli.parse(parser(), argv)
    here = cli.runs_here(beam_options)
    ours.journal = cli.reachable_journal(ours.journal, ours.output, beam_options)
    check_model(ours, here)
    cli.check_input(ours.input)
    cli.check_output(ours.output)
    engines.check(beam_options)
    p = cli.new_pipeline(beam_options)
    start_model(ours, here)
    # Held here, it is opened before anything is sent, and by this run alone.
    journal = cli.open_here(ours.journal, ours.output, ours.journal_required) if here else None
    started = time.time()
    build(p, ours, spread=not cli.shares_process(beam_options))
    if not here:
        engines.run(p, beam_options)
    else:
        with ProgressLine(cli.count_rows(ours.input)):
            engines.run(p, beam_options)
    del journal
    if not here and engines.runner(beam_options) not in engines.PORTABLE_RUNNERS:
        return 0  # it may only have been submitted
    return _end(ours.output, started)


def _end(folder: str, started: float) -> int:
    """Show what came of the job; return the exit status."""
    if not cli.is_written_since(FileSystems.join(folder, "report.json"), started):
        print(f"The job is done; its workers wrote to {folder}, where they are.")
        return 0
    cli.remove_older(folder, started)
    report = read_report(folder)
    print(summary(folder, report))
    return 1 if report["failed"] and not report["completed"] else 0


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job and exit."""
    arguments = sys.argv[1:] if argv is None else argv
    run_program("batch_complete", lambda: run(arguments), lambda: _tidy_up(arguments))


def _tidy_up(argv: Sequence[str]) -> str:
    """Remove the files that the job had begun, and say so; a job elsewhere goes on."""
    ours, beam_options = cli.parse(parser(), argv)
    if not cli.runs_here(beam_options):
        return "a job that was submitted goes on where it runs"
    cli.remove_unfinished(ours.output)
    kept = "" if ours.journal == "none" else "; the same command goes on from the journal"
    return f"nothing was written to {ours.output}{kept}"


if __name__ == "__main__":
    main()
