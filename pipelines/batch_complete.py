"""Batch-complete a dataset: files of prompts become a folder of completions.

    python -m pipelines.batch_complete --input 'prompts/*.jsonl' --output out/

Rows are JSON objects with `prompt` or `messages`. Every row comes out once, as a completion in
completions-*.jsonl or as a dead letter in failed-*.jsonl.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems

from pipelines import bigquery
from pipelines import options as cli
from pipelines.limits import (
    add_limits,
    budget,
    failure_limit,
    open_budget,
    prices,
    say_what_is_spent,
    too_many_failed,
    warn_of_each_process,
)
from pipelines.options import positive
from pipelines.ordering import WriteInOrder
from pipelines.progress import ProgressLine
from pipelines.reading import ReadPrompts
from pipelines.report import WriteReport
from pipelines.stopping import run_program
from pipelines.summary import read_report, summary
from pipelines.writing import WriteLines
from transforms import CompletePrompts, hedging
from transforms.failing import StopAbove
from transforms.journal import NewJournal, Spent

DEFAULT_MODEL = "local/gemma-3-270m"


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


# On the command line a bare flag; a template's launcher writes --emit_deltas=true.
_SWITCH: dict[str, Any] = {
    "nargs": "?",
    "type": _boolean,
    "const": True,
    "default": False,
    "metavar": "true|false",
}


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
    _add_model_options(made)
    made.add_argument(
        "--journal",
        default="auto",
        metavar="WHERE",
        help="keeps each answer as soon as it is whole, so that the same command goes on where it"
        " was stopped and pays nothing twice: auto (beside the output), none, sqlite:PATH,"
        " redis://HOST/DB, or a folder",
    )
    made.add_argument(
        "--journal_required",
        **_SWITCH,
        help="stop when the journal cannot be written, rather than go on without it",
    )
    made.add_argument(
        "--dedupe",
        **_SWITCH,
        help="pay once for equal requests: rows that ask the same get the same answer",
    )
    made.add_argument(
        "--keep_order",
        **_SWITCH,
        help="write rows in the order of the input: files by name, then lines; on one machine",
    )
    made.add_argument(
        "--emit_deltas", **_SWITCH, help="also write every streamed delta: deltas-*.jsonl"
    )
    add_limits(made)
    return made


def _add_model_options(made: cli.Parser) -> None:
    model = made.add_argument_group("model")
    model.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="PROVIDER/MODEL",
        help="who answers, for example openai/gpt-4o-mini (default: %(default)s, on this machine)",
    )
    model.add_argument(
        "--base_url", metavar="URL", help="the API's root, if not the provider's own"
    )
    key = model.add_mutually_exclusive_group()
    key.add_argument(
        "--api_key_env",
        metavar="NAME",
        help="the environment variable that holds the key (default: the provider's usual one)",
    )
    key.add_argument(
        "--api_key_secret",
        type=_secret_version,
        metavar="VERSION",
        help="the version in Google's Secret Manager that holds the key, as"
        " projects/P/secrets/S/versions/V; the workers read it",
    )
    key.add_argument(
        "--api_key_file",
        metavar="PATH",
        help="the file that holds the key and nothing else; the workers read it",
    )
    model.add_argument(
        "--max_in_flight",
        type=positive,
        metavar="N",
        help="prompts under way at once in each process (default: 64; the local model: 4)",
    )
    model.add_argument("--rpm", type=positive, metavar="N", help="requests a minute, each process")
    model.add_argument("--tpm", type=positive, metavar="N", help="tokens a minute, each process")
    model.add_argument(
        "--give_up_after",
        type=positive,
        default=600,
        metavar="SECONDS",
        help="nothing but throttling for so long ends the waiting (default: %(default)s)",
    )
    model.add_argument(
        "--hedge_after",
        type=_hedge,
        metavar="SECONDS|PERCENTILE",
        help="ask a second time for an answer that is later than this, for example 20 or p95; the"
        " first to answer counts (5 %% extra requests at most)",
    )
    model.add_argument(
        "--on_interrupt",
        choices=("restart", "continue", "fail"),
        default="restart",
        help="an answer that breaks off in the middle is asked for again from the start, goes on"
        " where it broke off (where the provider documents a way), or is a failed row with its"
        " partial text (default: %(default)s)",
    )
    model.add_argument("--max_tokens", type=positive, metavar="N", help="the longest answer")
    model.add_argument("--temperature", type=float, metavar="T")


def _table(text: str) -> str:
    try:
        return str(bigquery.parse(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _secret_version(text: str) -> str:
    if not re.fullmatch(r"projects/[^/\s]+/secrets/[\w-]+/versions/[\w-]+", text):
        form = "projects/P/secrets/S/versions/V"
        raise argparse.ArgumentTypeError(f"write {form}; a key itself is never an argument")
    return text


def _hedge(text: str) -> str:
    try:
        hedging.parse(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither seconds nor like p95") from None
    return text


_FILES = {
    "Completions": "completions",
    "FailedRows": "failed-rows",
    "FailedCalls": "failed-calls",
}
# The client's words for what the flag says.
_ON_INTERRUPT = {"restart": "restart", "continue": "continue", "fail": "raise"}


def build(p: beam.Pipeline, ours: argparse.Namespace, *, spread: bool) -> None:
    """Put the job together on `p`; `spread` shuffles the rows over many workers."""
    journal = cli.journal(ours.journal, ours.output, ours.journal_required)
    read = p | "ReadPrompts" >> ReadPrompts(ours.input, spread)
    done = read.prompts | "CompletePrompts" >> CompletePrompts(
        ours.model,
        emit_deltas=ours.emit_deltas,
        max_in_flight=ours.max_in_flight,
        rpm=ours.rpm,
        tpm=ours.tpm,
        give_up_after=ours.give_up_after,
        hedge_after=ours.hedge_after,
        journal=journal,
        dedupe=ours.dedupe,
        budget=budget(ours, journal),
        prices=prices(ours.prices),
        api_key_env=ours.api_key_env,
        api_key_secret=ours.api_key_secret,
        api_key_file=ours.api_key_file,
        base_url=ours.base_url,
        on_interrupt=_ON_INTERRUPT[ours.on_interrupt],
        **model_params(ours),
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
            rows | "WriteTable" >> bigquery.WriteTable(bigquery.parse(ours.output_table))
        else:
            rows | f"Write{name}" >> write(ours.output, _FILES[name])
    if ours.emit_deltas:
        done.deltas | "WriteDeltas" >> WriteLines(ours.output, "deltas")
    facts = {"model": ours.model, "input": ours.input, "params": model_params(ours)}
    if ours.output_table:
        facts["output_table"] = ours.output_table
    path = FileSystems.join(ours.output, "report.json")
    outcomes | "WriteReport" >> WriteReport(path, facts)


def model_params(ours: argparse.Namespace) -> dict[str, Any]:
    """Return the chat parameters that were given on the command line."""
    given = {"max_tokens": ours.max_tokens, "temperature": ours.temperature}
    return {name: value for name, value in given.items() if value is not None}


def run(argv: Sequence[str]) -> int:
    """Run the job; return the exit status: 0 done, 1 nothing or too little completed, 2 usage."""
    ours, beam_options = cli.parse(parser(), argv)
    here = cli.runs_here(beam_options)
    cli.check_model(
        ours.model,
        here=here,
        api_key_env=ours.api_key_env,
        api_key_secret=ours.api_key_secret,
        api_key_file=ours.api_key_file,
        base_url=ours.base_url,
        on_interrupt=_ON_INTERRUPT[ours.on_interrupt],
        **model_params(ours),
    )
    new_journal = _check_together(ours, here)
    new_budget = budget(ours, new_journal)
    prices(ours.prices)
    cli.check_temp(beam_options, ours)
    cli.check_input(ours.input)
    cli.check_apart(ours.input, ours.output)
    cli.check_output_table(ours.output_table)
    cli.check_output(ours.output)
    p = cli.new_pipeline(beam_options)
    launched = cli.is_launched_here(ours.model)
    ours.max_in_flight = ours.max_in_flight or (4 if launched else 64)
    # Held here, it is opened before anything is sent, and by this run alone.
    journal = cli.open_here(ours.journal, ours.output, ours.journal_required) if here else None
    ledger = open_budget(new_budget, journal) if here else None
    if here and launched and (journal is None or journal.spent() == Spent()):
        cli.start_model(ours.model)  # else the first row that the journal has not starts it
    started = time.time()
    build(p, ours, spread=not cli.shares_process(beam_options))
    if not here:
        warn_of_each_process(new_budget)
        p.run().wait_until_finish()
        return 0
    with ProgressLine(cli.count_rows(ours.input)):
        p.run().wait_until_finish()
    cli.remove_older(ours.output, started)
    report = read_report(ours.output)
    print(summary(ours.output, report))
    say_what_is_spent(new_budget, ledger, journal)
    failed = report["failed"] and not report["completed"]
    return 1 if too_many_failed(ours, report) or failed else 0


def _check_together(ours: argparse.Namespace, here: bool) -> NewJournal | None:
    """Return what opens the journal; raises UsageError for flags that do not go together."""
    if ours.keep_order and not here:
        raise cli.UsageError(
            "--keep_order puts rows in order on one machine's disk: many workers write many files,"
            " whose rows have ids to sort by"
        )
    if ours.keep_order and (ours.output_table or ours.input.startswith(bigquery.PREFIX)):
        raise cli.UsageError("--keep_order is for files: a table has no order")
    if ours.dedupe and ours.journal == "none":
        raise cli.UsageError(
            "--dedupe looks equal requests up in the journal: not with --journal none"
        )
    return cli.journal(ours.journal, ours.output, ours.journal_required)


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
