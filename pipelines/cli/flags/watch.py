"""The flag for the live page of a job."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.errors import UsageError
from pipelines.runners.runner import Options, Workers, workers

_MOST_PORT = 65_535


def add_watch_option(parser: Any) -> None:
    """Add --watch."""
    parser.add_argument(
        "--watch",
        nargs="?",
        type=port,
        const=0,
        metavar="PORT",
        help="serve the page of the job while it runs, with texts as they grow, on 127.0.0.1 and"
        " behind a token; the address is printed to stderr. Without PORT a free one is taken",
    )


def check_watch(known_args: argparse.Namespace, options: Options) -> None:
    """Raise UsageError for a job whose texts grow in other processes."""
    if known_args.watch is not None and workers(options) is not Workers.IN_PROCESS:
        raise UsageError(
            "--watch shows texts as they grow in this process, and this job runs in others; leave"
            " it out, and use python -m pipelines.watch FOLDER, which shows the rows as their files"
            " appear"
        )


def port(text: str) -> int:
    """Return a port; raises ArgumentTypeError for other texts."""
    if not text.isdecimal() or int(text) > _MOST_PORT:
        raise argparse.ArgumentTypeError(f"must be a port from 0 to {_MOST_PORT}, got {text!r}")
    return int(text)
