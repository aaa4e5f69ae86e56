"""The flags that limit what a job may spend and how many of its rows may fail."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

from pipelines.cli.parser import Parser, not_negative, positive
from pipelines.errors import UsageError
from pipelines.filesystem import read_whole, reason
from ritellm.errors import InvalidRequestError
from ritellm.prices import AS_OF, PRICES, Price, parse_prices
from transforms.connections.redis import RedisUnavailable
from transforms.failures import LEAST, MOST_REFUSED, reasons
from transforms.journal import Journal, JournalError, NewJournal
from transforms.journal.spec import job_name

if TYPE_CHECKING:
    from transforms.budget.ledger import Ledger, NewLedger
    from transforms.failure_limit import FailureLimit


def add_limits(made: Parser, endless: bool = False) -> None:
    """Add the flags; an `endless` job has no --most_refused, because its key may be repaired."""
    limits = made.add_argument_group("limits")
    limits.add_argument(
        "--max_cost_usd",
        type=dollars,
        metavar="USD",
        help="the most that all runs of the job may spend, by list prices. Rows beyond it are not"
        " sent; the same command with a larger budget resumes the job. The budget applies to all"
        " workers together with --journal redis://..., else to each process",
    )
    limits.add_argument(
        "--max_total_tokens",
        type=positive,
        metavar="N",
        help="the most tokens that all runs of the job may use; otherwise like --max_cost_usd",
    )
    limits.add_argument(
        "--prices",
        metavar="FILE",
        help="a JSON file of prices in USD per million tokens, for example"
        ' {"openai/m": {"input": 1, "output": 2}}. It takes precedence over the built-in table'
        f" of {AS_OF}",
    )
    limits.add_argument(
        "--fail_above",
        type=share,
        metavar="SHARE",
        help="stop when more than this share of the rows has failed, for example 0.2. The check"
        f" starts after {LEAST} rows; the same command resumes the job",
    )
    if endless:
        return
    limits.add_argument(
        "--most_refused",
        type=not_negative,
        default=MOST_REFUSED,
        metavar="N",
        help="stop after this many rows one after the other that the provider refused for the key,"
        " the account, the quota or the model; 0 never stops (default: %(default)s)",
    )


def dollars(text: str) -> float:
    """Return an amount above 0."""
    try:
        amount = float(text)
    except ValueError:
        amount = 0.0
    if not 0 < amount < float("inf"):
        raise argparse.ArgumentTypeError(f"must be an amount above 0, got {text!r}")
    return amount


def share(text: str) -> float:
    """Return a share from 0 to below 1; 0 means that no row may fail."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be a share from 0 to below 1, got {text!r}")
    return value


def prices(path: str | None) -> Mapping[str, Price]:
    """Return the built-in prices, overridden by the file at `path`; raises UsageError."""
    if path is None:
        return PRICES
    try:
        return parse_prices(read_whole(path), path)
    except InvalidRequestError as error:
        raise UsageError(f"--prices: {error.message}") from None
    except Exception as error:
        raise UsageError(f"cannot read --prices {path}: {reason(error)}") from None


def budget(known_args: argparse.Namespace, journal: NewJournal | None) -> NewLedger | None:
    """Return the factory of the ledger that enforces the caps, or None without caps.

    Raises UsageError for a model without a price.
    """
    if known_args.max_cost_usd is None and known_args.max_total_tokens is None:
        return None
    from transforms.budget.accounts import Caps
    from transforms.budget.ledger import NewLedger

    caps = Caps(known_args.max_cost_usd, known_args.max_total_tokens)
    if caps == Caps():
        return None
    table = prices(known_args.prices)
    redis = journal.redis if journal is not None else None
    new = NewLedger(caps, redis, job_name(known_args.output), table)
    try:
        new.check(known_args.model)
    except InvalidRequestError as error:
        raise UsageError(f"--max_cost_usd: {error.message}") from None
    return new


def open_budget(new: NewLedger | None, journal: Journal | None) -> Ledger | None:
    """Return the ledger of this process; raises UsageError if it cannot be opened."""
    try:
        return None if new is None else new(journal)
    except (JournalError, RedisUnavailable, ValueError) as error:
        raise UsageError(f"--max_cost_usd, --max_total_tokens: {error}") from None


def print_spending(
    new: NewLedger | None,
    ledger: Ledger | None,
    journal: Journal | None,
    file: TextIO | None = None,
) -> None:
    """Print how much of the budget all runs have spent, to stdout or to `file`."""
    if new is not None and ledger is not None:
        known = [ledger.spent()] + ([journal.spent()] if journal is not None else [])
        # Other processes write to the journal only.
        spent = max(known, key=lambda each: each.tokens)
        print(f"{'budget:':<13}{spent} of {new.caps} spent by all runs", file=file)


def warn_of_separate_budgets(program: str, new: NewLedger | None) -> None:
    """Warn that without Redis each worker process has the whole budget to itself."""
    if new is not None and new.redis is None:
        print(
            f"{program}: the budget applies to each worker process separately; with --journal"
            " redis://HOST/DB it applies to all together",
            file=sys.stderr,
        )


def too_many_failed(known_args: argparse.Namespace, report: Mapping[str, Any]) -> bool:
    """Return whether a finished job exceeds --fail_above, and print so; see FailureLimit."""
    errors = Counter(report["errors"])
    unsent = errors.pop("BudgetExceeded", 0)
    rows = report["rows"] - report["replayed"] - report["shared"] - unsent
    if known_args.fail_above is None or errors.total() <= known_args.fail_above * rows:
        return False
    print(
        f"batch_complete: {errors.total():,} of {rows:,} rows failed, more than"
        f" {known_args.fail_above:g}: {reasons(errors)}",
        file=sys.stderr,
    )
    return True


def failure_limit(known_args: argparse.Namespace) -> FailureLimit:
    """Return the limit that --fail_above and --most_refused set."""
    from transforms.failure_limit import FailureLimit

    most = getattr(known_args, "most_refused", MOST_REFUSED) or sys.maxsize
    return FailureLimit(known_args.fail_above, most_refused=most)
