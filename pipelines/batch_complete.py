"""The batch program: completes the prompts of a dataset and writes a folder of completions.

    python -m pipelines.batch_complete --input 'prompts/*.jsonl' --output out/

Rows are JSON objects with `prompt` or `messages`. Each row has one outcome: a completion in
completions-* or a dead letter in failed-*, as JSON lines or in another format.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pipelines.cli import facts
from pipelines.cli.batch_parser import parser
from pipelines.cli.flags import journal as journal_flags
from pipelines.cli.flags.answer import answer_of
from pipelines.cli.flags.input import input_options
from pipelines.cli.flags.limits import budget, prices
from pipelines.cli.flags.model import check_model
from pipelines.cli.flags.output import check_output_format
from pipelines.cli.flags.prompts import row_form
from pipelines.cli.flags.records import check_records
from pipelines.cli.flags.watch import check_watch
from pipelines.cli.parser import parse
from pipelines.errors import UsageError
from pipelines.filesystem import check_creatable, check_known_scheme, check_scheme, is_local
from pipelines.imports import importing
from pipelines.inputs import stdin
from pipelines.inputs.presence import check_present
from pipelines.outputs.shards.manifest import runs
from pipelines.runners import checks as runner_checks
from pipelines.runners import pipeline
from pipelines.runners.runner import left_behind
from pipelines.shutdown import run_program
from transforms.journal import NewJournal


def run(argv: Sequence[str]) -> int:
    """Run the job and return the exit status.

    0: done. 1: no row completed, too many failed, or a file could not be read to its end. 2: wrong
    usage.
    """
    known_args, options = parse(parser(), argv)
    check_present(known_args.input)
    for location in known_args.input:
        check_scheme("--input", location)
    check_known_scheme("--output", known_args.output)
    check_scheme("--journal", known_args.journal)
    here = pipeline.runs_here(options)
    known_args.journal = journal_flags.reachable_journal(
        known_args.journal, known_args.output, options
    )
    known_args.journal_alone = pipeline.shares_process(options)
    input_options(known_args)
    check_output_format(known_args)
    check_records(known_args)
    row_form(known_args)
    answer_of(known_args)
    check_watch(known_args, options)
    check_model(known_args, here)
    new_journal = _check_together(known_args, here)
    new_budget = budget(known_args, new_journal)
    prices(known_args.prices)
    check_creatable("--output", known_args.output)
    if is_local(known_args.output):
        facts.check_same_job(known_args, runs(known_args.output))
    runner_checks.check(options)
    with importing("batch_complete"):
        from pipelines import batch_job  # Beam, which no check above needs

    with stdin.spooled(known_args.input, here) as known_args.input:
        return batch_job.run(known_args, options, new_journal, new_budget)


def _check_together(known_args: argparse.Namespace, here: bool) -> NewJournal | None:
    """Return the factory of the journal; raises UsageError for flags that exclude each other."""
    if known_args.keep_order and not here:
        raise UsageError(
            "--keep_order needs a runner on one machine, because it sorts on the local disk; leave"
            " it out and sort the rows of the output by id"
        )
    return journal_flags.journal(known_args)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job and exit."""
    arguments = sys.argv[1:] if argv is None else argv
    run_program("batch_complete", lambda: run(arguments), lambda: _tidy_up(arguments))


def _tidy_up(argv: Sequence[str]) -> str:
    """Remove the unfinished files of a local job; return what is left of the job."""
    known_args, options = parse(parser(), argv)
    kept = "" if known_args.journal == "none" else "; the same command resumes from the journal"
    if "pipelines.batch_job" not in sys.modules:
        return "the job had not started yet"
    if not pipeline.runs_here(options):
        return left_behind(options, kept)
    from pipelines import batch_job  # the job has imported it

    return f"{batch_job.stopped(known_args)}{kept}"


if __name__ == "__main__":
    main()
