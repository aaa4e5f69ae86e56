"""Checks of the streaming program's locations: its journal, and what remote workers can reach."""

from __future__ import annotations

import argparse

from pipelines.errors import UsageError
from pipelines.runners import runner as runners
from pipelines.runners.runner import Options


def settle_journal(known_args: argparse.Namespace, here: bool) -> None:
    """Set the location of the journal: beside the files that the job writes, if it writes any."""
    if known_args.journal == "auto" and not here:
        known_args.journal = "none"  # the workers cannot open files of this machine
    written = (known_args.completions_to, known_args.deltas_to, known_args.failed_to)
    folders = [to.removeprefix("jsonl:") for to in written if to and to.startswith("jsonl:")]
    if known_args.journal == "auto" and known_args.source == "stdin" and not folders:
        known_args.journal = "none"  # typed lines are never delivered again
    # A shared journal belongs to the source, whichever machine reads it.
    shared = "://" in known_args.journal
    known_args.output = f"stream://{known_args.source}" if shared else next(iter(folders), ".")


def check_elsewhere(known_args: argparse.Namespace, options: Options) -> None:
    """Raise UsageError for sources and sinks that remote workers cannot reach."""
    from pipelines.cli import location_checks  # Beam, which `settle_journal` does not need

    for name in ("deltas_to", "completions_to", "failed_to"):
        to = getattr(known_args, name) or ""
        if to == "stdout" or to.startswith("jsonl:"):
            raise UsageError(f"--{name} must be reachable from workers on other machines, got {to}")
    if known_args.source == "stdin":
        raise UsageError("--source must be reachable from workers on other machines, got stdin")
    if runners.workers(options) is runners.Workers.ON_MACHINE:
        location_checks.check_here(known_args)
    else:
        location_checks.check_elsewhere(known_args)
