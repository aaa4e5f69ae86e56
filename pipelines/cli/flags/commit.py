"""The flags `--commit_every` and `--shards`: deltas as committed elements, where the runner can."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.cli.parser import positive
from pipelines.errors import UsageError
from pipelines.runners import runner as runners
from pipelines.runners.runner import Options
from transforms.committed.commits import LEAST_SECONDS, MOST_SECONDS, SHARDS

_USUAL_SECONDS = 0.2


def add_commit_options(made: Any) -> None:
    """Add the flags to a parser, or to a group of one."""
    made.add_argument(
        "--commit_every",
        type=_seconds,
        metavar="SECONDS",
        help="on Dataflow: commit deltas this often, in bundles of milliseconds, so that a slow"
        f" answer delays no other; 0 commits each bundle when its answers have ended (default on"
        f" Dataflow: {_USUAL_SECONDS}; other runners accept only 0)",
    )
    made.add_argument(
        "--shards",
        type=positive,
        default=SHARDS,
        metavar="N",
        help="with --commit_every: the number of keys; at most this many processes send requests"
        " (default: %(default)s)",
    )


def settle_commits(known_args: argparse.Namespace, options: Options) -> None:
    """Set `commit_every` to the default of the runner; raises UsageError where it cannot work.

    On other runners a source is acknowledged by the process that reads it, once the outcome is
    published there. Committed streams go to the process of their shard, so it would never be.
    """
    on_dataflow = runners.runner(options) == "dataflowrunner"
    if known_args.commit_every is None:
        known_args.commit_every = _USUAL_SECONDS if on_dataflow else 0.0
    elif known_args.commit_every and not on_dataflow:
        raise UsageError(
            "--commit_every must be 0 or omitted on this runner: its sources acknowledge a message"
            " in the process that reads it; use --runner=DataflowRunner, or"
            " StreamCompletions(commit_every=...) in a pipeline of your own"
        )


def commit_options(known_args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `CompletePrompts` that these flags set."""
    if not known_args.commit_every:
        return {}
    return {
        "commit_every": known_args.commit_every,
        "shards": known_args.shards,
        "drain_seconds": float(known_args.drain_seconds),
    }


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if seconds and not LEAST_SECONDS <= seconds <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(
            f"must be 0, or {LEAST_SECONDS} to {MOST_SECONDS:g} seconds, got {text!r}"
        )
    return seconds
