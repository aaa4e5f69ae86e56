"""The flag that serves the answers of a streaming job of this process."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.cli.flags.watch import port
from pipelines.errors import UsageError


def add_serve_option(parser: Any) -> None:
    """Add --serve and --serve_prompts."""
    parser.add_argument(
        "--serve",
        nargs="?",
        type=port,
        const=0,
        metavar="PORT",
        help="serve the answers while they grow, with a page that shows them and a button to stop"
        " each, on 127.0.0.1; the address is printed to stderr. Without PORT a free one is taken",
    )
    parser.add_argument(
        "--serve_prompts",
        action="store_true",
        help="let the page of --serve send prompts, too, beside those of --source; the job then"
        " runs until Ctrl-C (default: it takes none)",
    )


def check_serve(known_args: argparse.Namespace, here: bool) -> None:
    """Raise UsageError for a job whose answers grow in other processes, and without --serve."""
    if known_args.serve_prompts and known_args.serve is None:
        raise UsageError("--serve_prompts needs --serve")
    if known_args.serve is not None and not here:
        raise UsageError(
            "--serve serves the answers of this process, and this job runs in others; publish to"
            " Redis with per_id=true, and use python -m pipelines.serve_deltas"
        )
