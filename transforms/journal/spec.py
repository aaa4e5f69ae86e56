"""Opens the journal that `--journal` names, here or on a worker."""

from __future__ import annotations

import hashlib
import os
import threading
import weakref
from dataclasses import dataclass, field
from uuid import uuid4

from transforms.connections.redis import refuse_password
from transforms.journal.base import Journal, JournalError
from transforms.journal.tolerant import TolerantJournal

# The name of this run. It is pickled into the job, so that the workers of one run share a journal
# and other runs are refused.
_THIS_RUN = uuid4().hex
_REDIS = ("redis://", "rediss://", "unix://")


def open_journal(
    spec: str, output: str, *, required: bool, run: str = _THIS_RUN, alone: bool = False
) -> Journal | None:
    """Return the journal that `spec` names for the job that writes to `output`, or None for `none`.

    `auto` is `OUTPUT/journal.sqlite` for local output and the folder `OUTPUT/journal` for any
    other; else `sqlite:PATH`, `redis://...` or a folder. If a journal that is not `required`
    becomes unavailable, the job continues without it. `alone` says that the run has only this
    process. Raises JournalError if `spec` is wrong,
    another run uses the journal, or it cannot be opened.
    """
    name = resolved(spec, output)
    if name == "none":
        return None
    if name.startswith("sqlite:"):
        journal = _sqlite(name.removeprefix("sqlite:"), run, alone)
    elif name.startswith(_REDIS):
        journal = _redis(name, output, required)
    else:
        journal = _folder(name)
    return journal if required else TolerantJournal(journal)


def resolved(spec: str, output: str) -> str:
    """Return `spec` without `auto` and with absolute paths; raises JournalError for a bad spec."""
    if spec.startswith(_REDIS):
        try:
            refuse_password(spec)
        except ValueError as error:
            raise JournalError(str(error)) from None
        return spec
    if spec == "none":
        return spec
    if spec == "auto":
        local, folder = _is_local(output), _absolute(output)
        return f"sqlite:{folder}/journal.sqlite" if local else f"{folder}/journal"
    if spec.startswith("sqlite:"):
        return "sqlite:" + _local_file(spec.removeprefix("sqlite:"))
    if "/" in spec or os.path.isdir(spec):
        return _absolute(spec)
    raise JournalError(
        "the journal must be auto, none, sqlite:PATH, redis://HOST/DB or a folder (./NAME for a new"
        f" one), got {spec!r}"
    )


def _local_file(path: str) -> str:
    if not path or not _is_local(path):
        raise JournalError(
            "sqlite: must be followed by the path of a file on this machine: sqlite:PATH"
        )
    return _absolute(path)


def _sqlite(path: str, run: str, alone: bool) -> Journal:
    from transforms.journal.sqlite.journal import SqliteJournal

    return SqliteJournal(path, run, alone=alone)


def _redis(url: str, output: str, required: bool) -> Journal:
    from transforms.connections.redis import IMPATIENT, PATIENT
    from transforms.journal.redis import RedisJournal

    journal = RedisJournal(
        url, f"ritellm:{job_name(output)}", tries=PATIENT if required else IMPATIENT
    )
    if required:
        journal.check()
    return journal


def job_name(output: str) -> str:
    """Return a name for the job that writes to `output`: the same output is the same job."""
    return hashlib.blake2b(_absolute(output).encode(), digest_size=8).hexdigest()


def _folder(folder: str) -> Journal:
    from transforms.journal.folder.journal import FolderJournal

    return FolderJournal(folder)


def _absolute(path: str) -> str:
    """Return `path` as an absolute path, or a remote one without a closing slash."""
    path = path.removeprefix("file://")
    return os.path.abspath(path) if _is_local(path) else path.rstrip("/")


def _is_local(path: str) -> bool:
    return "://" not in path or path.startswith("file://")


_opened: weakref.WeakValueDictionary[NewJournal, Journal] = weakref.WeakValueDictionary()
_opening = threading.Lock()


@dataclass(frozen=True)
class NewJournal:
    """Opens the journal in the process that calls this; it is pickled into a job with its run.

    All calls in one process return the same journal. Garbage collection of the last reference
    closes it: keep it while you need it, and do not close it yourself. Relative paths start at the
    folder where the job was launched. `alone` promises that only this process runs the job: then a
    file of the journal that is cut off in mid-job cannot end the process.
    """

    spec: str
    output: str
    required: bool = False
    run: str = field(default=_THIS_RUN, repr=False)
    alone: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "spec", resolved(self.spec, self.output))
        object.__setattr__(self, "output", _absolute(self.output))

    @property
    def redis(self) -> str | None:
        """The address of the Redis server of the journal; None for other journals."""
        return self.spec if self.spec.startswith(_REDIS) else None

    def __call__(self) -> Journal | None:
        """Return this process's journal, or None for `none`; raises JournalError."""
        with _opening:
            journal = _opened.get(self)
            if journal is None:
                journal = open_journal(
                    self.spec,
                    self.output,
                    required=self.required,
                    run=self.run,
                    alone=self.alone,
                )
                if journal is not None:
                    _opened[self] = journal
            return journal
