"""Prints the rows of a batch job that runs, was stopped, or is done.

python -m pipelines.results out/
python -m pipelines.results out/ --follow
python -m pipelines.results out/ --failed --format jsonl > again.jsonl
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from pipelines.cli.parser import Parser, add_version, program
from pipelines.errors import UsageError
from pipelines.filesystem import is_local
from pipelines.results import output
from pipelines.results.errors import Unreadable
from pipelines.results.folder import State
from pipelines.results.outcomes import Outcomes
from pipelines.results.writers.base import Writer
from pipelines.shutdown import run_program
from ritellm.terminal import clean
from transforms.disks import DiskFull

# Seconds between two looks at the folder: locally a look is a few system calls, in a bucket each
# one is billed.
_LOCAL, _REMOTE = 0.25, 2.0


def parser() -> Parser:
    """Return the command line."""
    made = Parser(
        prog=program("pipelines.results"),
        description="Print the rows of a batch job: each row once, with its input. The job may be"
        " running, may have been stopped, or may be done.",
        epilog="On stdout are only rows; notes are on stderr. Nothing in the folder is changed.",
        allow_abbrev=False,
    )
    add_version(made)
    made.add_argument(
        "folder", metavar="FOLDER", help="the folder that --output of batch_complete names"
    )
    made.add_argument(
        "--follow",
        action="store_true",
        help="print rows as they become whole, until the job ends",
    )
    made.add_argument(
        "--failed",
        action="store_true",
        help="print the failed rows with their reasons, instead of the completions; as JSON lines"
        " they are input again",
    )
    made.add_argument(
        "--format",
        choices=output.FORMATS,
        help="the format (default: a table on a terminal, JSON lines elsewhere)",
    )
    made.add_argument(
        "--columns",
        metavar="NAMES",
        help="the columns, joined by commas: those of the input and those of the job, for example"
        " id,topic,text,cost_usd (default: all; in a table id,input,text)",
    )
    made.add_argument(
        "--output",
        metavar="FILE",
        help="a file to write to instead of stdout; it appears when it is whole",
    )
    return made


def run(argv: Sequence[str]) -> int:
    """Print the rows and return the exit status.

    0: done. 1: a file is not what the job wrote, or a followed job stopped before its end. 2: wrong
    usage, or a folder without a job.
    """
    args = parser().parse_args(list(argv))
    name = args.format or output.default_format(args.output)
    columns = None if args.columns is None else _names(args.columns)
    if name == "parquet":
        if args.follow:
            raise UsageError("--follow cannot write parquet, which is complete at its end only")
        if args.output is None and sys.stdout.isatty():
            raise UsageError("--format parquet needs --output FILE on a terminal")
    try:
        outcomes = Outcomes(args.folder, args.follow)
        _check_table(args, outcomes)
        _check_apart(args)
        with output.opened(args.output) as file:
            writer = output.writer(name, file, columns, args.failed)
            count = _print(outcomes, writer, args)
            writer.close()
    except (Unreadable, DiskFull) as error:
        sys.stdout.flush()
        print(clean(f"results: {error}"), file=sys.stderr)
        return 1
    return _ended(outcomes, count, args, is_table=name == "table")


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len({*names}) < len(names):
        raise UsageError(f"--columns must be different names joined by commas, got {text!r}")
    return names


def _check_table(args: argparse.Namespace, outcomes: Outcomes) -> None:
    """Raise UsageError for completions that are not in the folder."""
    table = outcomes.job.facts.get("output_table")
    if table and not args.failed:
        raise UsageError(
            f"the completions of this job are in the BigQuery table {table}; query them there. The"
            " failed rows are here: --failed"
        )


def _check_apart(args: argparse.Namespace) -> None:
    """Raise UsageError for a file in the folder of the job, whose files are not ours to replace."""
    if args.output is None or not is_local(args.folder):
        return
    parent = os.path.dirname(os.path.abspath(args.output))
    if os.path.realpath(parent) == os.path.realpath(args.folder):
        raise UsageError(f"--output {args.output} must be outside of {args.folder}")


def _print(outcomes: Outcomes, writer: Writer, args: argparse.Namespace) -> int:
    """Write the rows, and the next ones until the job ends; return how many."""
    count = 0
    found = outcomes.failures if args.failed else outcomes.completions
    while True:
        for row in found():
            writer.write(row)
            count += 1
        if not args.follow:
            return count
        writer.flush()
        if outcomes.job.state in (State.DONE, State.STOPPED):
            return count
        time.sleep(_LOCAL if is_local(args.folder) else _REMOTE)
        outcomes.look_again()


def _ended(outcomes: Outcomes, count: int, args: argparse.Namespace, is_table: bool) -> int:
    """Print what is to be said at the end; return the status."""
    sys.stdout.flush()
    state = outcomes.job.state
    outcomes.note_unknown()
    for note in outcomes.notes:
        print(clean(f"results: {note}"), file=sys.stderr)
    if outcomes.job.others:
        runs = "1 run" if outcomes.job.others == 1 else f"{outcomes.job.others:,} runs"
        print(f"results: rows of {runs} of another job are left out", file=sys.stderr)
    if is_table or state is not State.DONE:
        what = "failed row" if args.failed else "completion"
        rows = f"1 {what}" if count == 1 else f"{count:,} {what}s"
        print(f"results: {rows}; {state.value}", file=sys.stderr)
    return 1 if args.follow and state is State.STOPPED else 0


def main(argv: Sequence[str] | None = None) -> None:
    """Print the rows and exit."""
    arguments = sys.argv[1:] if argv is None else argv
    run_program("results", lambda: run(arguments), lambda: "the job is not touched")


if __name__ == "__main__":
    main()
