"""What a job may spend and how much of it may fail, as flags."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

from apache_beam.io.filesystems import FileSystems

from pipelines.cli.parser import Parser, positive
from pipelines.errors import UsageError
from pipelines.filesystem import reason
from ritellm.errors import InvalidRequestError
from ritellm.prices import AS_OF, PRICES, Price, parse_prices
from transforms.budget.accounts import Caps
from transforms.budget.ledger import Ledger, NewLedger
from transforms.connections.redis import RedisUnavailable
from transforms.failure_limit import LEAST, FailureLimit, reasons
from transforms.journal import Journal, JournalError, NewJournal
from transforms.journal.spec import job_name


def add_limits(made: Parser) -> None:
    """Add the flags."""
    limits = made.add_argument_group("limits")
    limits.add_argument(
        "--max_cost_usd",
        type=dollars,
        metavar="USD",
        help="the most that all runs of the job may spend, by list prices; rows beyond it are not"
        " asked, and the same command with more goes on (with --journal redis://... for all"
        " workers together, else for each process)",
    )
    limits.add_argument(
        "--max_total_tokens",
        type=positive,
        metavar="N",
        help="the most tokens that all runs of the job may take; else as --max_cost_usd",
    )
    limits.add_argument(
        "--prices",
        metavar="FILE",
        help='JSON of prices in USD per million tokens, {"openai/m": {"input": 1, "output": 2}};'
        f" goes before the package's own table of {AS_OF}",
    )
    limits.add_argument(
        "--fail_above",
        type=share,
        metavar="SHARE",
        help=f"stop as soon as more than this share of the rows has failed, for example 0.2 (of"
        f" {LEAST} rows at least); the same command goes on",
    )


def dollars(text: str) -> float:
    """Return an amount above 0."""
    try:
        amount = float(text)
    except ValueError:
        amount = 0.0
    if not 0 < amount < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount above 0")
    return amount


def share(text: str) -> float:
    """Return a share between 0 and 1; 0 means that no row may fail."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to below 1, like 0.2")
    return value


def prices(path: str | None) -> Mapping[str, Price]:
    """Return the package's prices, corrected by the file at `path`; raises UsageError."""
    if path is None:
        return PRICES
    try:
        with FileSystems.open(path) as file:
            return parse_prices(file.read(), path)
    except InvalidRequestError as error:
        raise UsageError(f"--prices: {error.message}") from None
    except Exception as error:
        raise UsageError(f"cannot read --prices {path}: {reason(error)}") from None


def budget(ours: argparse.Namespace, journal: NewJournal | None) -> NewLedger | None:
    """Return what keeps the job to its caps; raises UsageError for a model without a price."""
    caps = Caps(ours.max_cost_usd, ours.max_total_tokens)
    if caps == Caps():
        return None
    table = prices(ours.prices)
    redis = journal.redis if journal is not None else None
    new = NewLedger(caps, redis, job_name(ours.output), table)
    try:
        new.check(ours.model)
    except InvalidRequestError as error:
        raise UsageError(f"--max_cost_usd: {error.message}") from None
    return new


def open_budget(new: NewLedger | None, journal: Journal | None) -> Ledger | None:
    """Return this process's ledger, to be kept; raises UsageError if it cannot be had."""
    try:
        return None if new is None else new(journal)
    except (JournalError, RedisUnavailable, ValueError) as error:
        raise UsageError(f"--max_cost_usd, --max_total_tokens: {error}") from None


def say_what_is_spent(
    new: NewLedger | None, ledger: Ledger | None, journal: Journal | None
) -> None:
    """Print how much of the budget all runs have used."""
    if new is not None and ledger is not None:
        known = [ledger.spent()] + ([journal.spent()] if journal is not None else [])
        spent = max(known, key=lambda each: each.tokens)  # other processes tell the journal only
        print(f"{'budget:':<13}{spent} of {new.caps} spent by all runs")


def warn_of_each_process(new: NewLedger | None) -> None:
    """Say what a cap means on workers that do not know of each other."""
    if new is not None and new.redis is None:
        print(
            "batch_complete: the budget holds for each worker process by itself; with --journal"
            " redis://HOST/DB it holds for all together",
            file=sys.stderr,
        )


def too_many_failed(ours: argparse.Namespace, report: Mapping[str, Any]) -> bool:
    """Return whether a job that is done is beyond --fail_above, and say so; see FailureLimit."""
    errors = Counter(report["errors"])
    unasked = errors.pop("BudgetExceeded", 0)
    rows = report["rows"] - report["replayed"] - report["shared"] - unasked
    if ours.fail_above is None or errors.total() <= ours.fail_above * rows:
        return False
    print(
        f"batch_complete: {errors.total():,} of {rows:,} rows failed, more than"
        f" {ours.fail_above:g}: {reasons(errors)}",
        file=sys.stderr,
    )
    return True


def failure_limit(ours: argparse.Namespace) -> FailureLimit | None:
    """Return the limit of --fail_above, if there is one."""
    return None if ours.fail_above is None else FailureLimit(ours.fail_above)
