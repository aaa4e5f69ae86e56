"""The flags of the journal."""

from __future__ import annotations

import re

from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.errors import UsageError
from pipelines.filesystem import check_writable
from pipelines.runners.runner import Workers, workers
from transforms.journal import Journal, JournalError, NewJournal


def reachable_journal(spec: str, output: str, options: PipelineOptions) -> str:
    """Return `spec` as workers of these options can share it; raises UsageError if they cannot.

    A file of one machine is none for workers on others: there `auto` is a folder beside the output.
    """
    if workers(options) is not Workers.ELSEWHERE:
        return spec
    if spec == "auto":
        return str(FileSystems.join(output, "journal"))
    here = re.match(r"rediss?://([^/@]*@)?(localhost|127\.[\d.]+|\[::1\])(:|/|$)", spec)
    if here or spec.startswith(("sqlite:", "unix:")):
        raise UsageError(
            f"--journal {'redis on ' + here[2] if here else spec} is of this machine alone, and the"
            " workers are elsewhere: use redis://HOST/DB, or a folder that all of them share"
        )
    if "://" in spec and not spec.startswith("redis"):
        check_writable("--journal", spec)
    return spec


def journal(spec: str, output: str, required: bool) -> NewJournal | None:
    """Return what opens the journal on a worker; raises UsageError for a `spec` that is none."""
    if spec == "none":
        return None
    try:
        return NewJournal(spec, output, required)
    except JournalError as error:
        raise UsageError(f"--journal: {error}") from None


def open_here(spec: str, output: str, required: bool) -> Journal | None:
    """Return this process's journal; raises UsageError if it is in use or cannot be had."""
    new = journal(spec, output, required)
    try:
        return new() if new is not None else None
    except JournalError as error:
        raise UsageError(f"--journal: {error}") from None
