"""Opens the journal that `--journal` names, and finds one that all workers can share."""

from __future__ import annotations

import argparse
import re

from pipelines.errors import UsageError
from pipelines.filesystem import check_writable
from pipelines.runners.runner import Options, Workers, workers
from transforms.journal import Journal, JournalError, NewJournal


def reachable_journal(spec: str, output: str, options: Options) -> str:
    """Return a spec that all workers of the job can share; raises UsageError if there is none.

    Workers on other machines cannot open a local file. For them `auto` is a folder beside the
    output.
    """
    if workers(options) is not Workers.ELSEWHERE:
        return spec
    if spec == "auto":
        from apache_beam.io.filesystems import FileSystems

        return str(FileSystems.join(output, "journal"))
    here = re.match(r"rediss?://([^/@]*@)?(localhost|127\.[\d.]+|\[::1\])(:|/|$)", spec)
    if here or spec.startswith(("sqlite:", "unix:")):
        raise UsageError(
            f"--journal must be reachable from workers on other machines, got"
            f" {'redis on ' + here[2] if here else spec}; use redis://HOST/DB, or a folder that all"
            " workers share"
        )
    if "://" in spec and not spec.startswith("redis"):
        check_writable("--journal", spec)
    return spec


def journal(known_args: argparse.Namespace) -> NewJournal | None:
    """Return the factory that opens the journal on a worker, or None for `--journal none`.

    Raises UsageError for a journal of an unknown kind, and for --dedupe without a journal.
    """
    if known_args.journal == "none":
        if known_args.dedupe:
            raise UsageError(
                "--dedupe finds equal requests in the journal; name one with --journal"
            )
        return None
    try:
        return NewJournal(
            known_args.journal,
            known_args.output,
            known_args.journal_required,
            alone=known_args.journal_alone,
        )
    except JournalError as error:
        raise UsageError(f"--journal: {error}") from None


def open_here(known_args: argparse.Namespace) -> Journal | None:
    """Return the journal of this process; raises UsageError if it is in use or cannot be opened."""
    new = journal(known_args)
    try:
        return new() if new is not None else None
    except JournalError as error:
        raise UsageError(f"--journal: {error}") from None
