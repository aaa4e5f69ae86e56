"""The rows of a job, each once, from its shards and its journal.

The problem: a row may be in a shard of a killed run, in one of the run that repeats it, and in the
journal. A row that failed in the killed run may be complete by now.

The idea: the newest place wins. The shards of the newest run come first, then the journal, then the
shards of older runs. The digests of the ids that have come out are kept in memory, 110 MB for a
million rows; nothing else grows with them.

What holds:

- A completion comes out once, also if `completions` is called again while the job runs.
- A failed row counts if no run has completed it since.
- Each shard is read once, and only when it is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pipelines.errors import UsageError
from pipelines.results.folder import Job, Run, State, look
from pipelines.results.row import Row, digest
from pipelines.results.shard_rows import Missing, rows_of
from transforms.disks import DiskFull

if TYPE_CHECKING:
    from pipelines.results.journal_rows import JournalRows

COMPLETIONS = ("completions",)
FAILED = ("failed-rows", "failed-calls")


class Outcomes:
    """The rows of the newest job in `folder`; `job` is what the last look has found there.

    With `follows` the methods may be called again, for the rows that have come since. `notes` says
    what cannot be shown. Raises UsageError and Unreadable.
    """

    def __init__(self, folder: str, follows: bool = False) -> None:
        self._folder = folder
        self._follows = follows
        self._shown: set[bytes] = set()
        self._failures: set[bytes] = set()
        self._superseded: set[bytes] = set()  # failed in a run that is newer than the row's
        self._read: set[tuple[str, str]] = set()  # the shards, and why they were read
        self._journal: JournalRows | None = None
        self._opened = False
        self.job: Job = look(folder)
        self.notes: dict[str, None] = {}

    def look_again(self) -> None:
        """Find what the job has written since."""
        self.job = look(self._folder)

    def completions(self) -> Iterator[Row]:
        """Yield the completions that have not come out."""
        yield from self._while_replaced(self._completions_once)

    def failures(self) -> Iterator[Row]:
        """Yield the failed rows that have not come out, and that no run has completed since.

        While a job is followed, what failed in its older runs may still be completed.
        """
        yield from self._while_replaced(self._failures_once)

    def _while_replaced(self, once: Callable[[], Iterator[Row]]) -> Iterator[Row]:
        """Yield rows; look again if a job has ended meanwhile and removed shards of older runs."""
        while True:
            try:
                yield from once()
                return
            except Missing as error:
                self.look_again()
                if any(each.path == error.path for run in self.job.runs for each in run.shards):
                    raise

    def _completions_once(self) -> Iterator[Row]:
        newest, *older = self.job.runs or (None,)
        if newest is not None:
            if older:  # what failed in the newest run is not complete in older ones
                failed = self._rows(newest, FAILED, "superseded")
                self._superseded.update(digest(row.id) for row in failed)
            yield from self._completed(newest)
        yield from self._in_journal()
        for run in older:
            yield from self._completed(run)

    def _failures_once(self) -> Iterator[Row]:
        newest, *older = self.job.runs or (None,)
        if newest is not None:
            yield from self._failed(newest)
        if older and not (self._follows and self.job.state is State.RUNNING):
            for _ in self._completions_once():
                pass
            for run in older:
                yield from self._failed(run)

    def _completed(self, run: Run) -> Iterator[Row]:
        return _new(self._rows(run, COMPLETIONS), self._shown, self._superseded)

    def _failed(self, run: Run) -> Iterator[Row]:
        return _new(self._rows(run, FAILED), self._failures, self._shown)

    def _rows(self, run: Run, kinds: tuple[str, ...], why: str = "shown") -> Iterator[Row]:
        """Yield the rows of shards that were not read before for the same reason."""
        for shard in run.of(*kinds):
            if (shard.path, why) not in self._read:
                yield from rows_of(shard, kinds is FAILED)
                self._read.add((shard.path, why))

    def _in_journal(self) -> Iterator[Row]:
        """Yield the rows that only the journal has. A finished job has none."""
        if self.job.state is State.DONE:
            return
        try:
            if not self._opened and self.job.facts:
                self._opened = True
                self._journal = self._open_journal()
            if self._journal is not None:
                for row in self._journal.new(is_last=self.job.state is State.STOPPED):
                    self._shown.add(digest(row.id))
                    yield row
        except DiskFull:
            raise
        except UsageError as error:
            self._without_journal(str(error))
        except Exception as error:  # of the journal, the input, or of flags that were edited
            why = " ".join(str(error).split())[:200] or type(error).__name__
            self._without_journal(f"the journal cannot be joined with the input ({why})")

    def note_unknown(self) -> None:
        """Note the entries of the journal that belong to no row of the input."""
        if self._journal is not None and (count := self._journal.unknown):
            entries = "1 entry" if count == 1 else f"{count:,} entries"
            note = f"{entries} of the journal: no row of this job's input makes such a request"
            self.notes[note] = None

    def _open_journal(self) -> JournalRows | None:
        from pipelines.results.job_flags import JobFlags
        from pipelines.results.journal_rows import JournalRows
        from transforms.journal.readers import open_reader

        flags = JobFlags(self.job.facts, self._folder)
        reader = open_reader(flags.journal, flags.journal_name)
        if reader is None:
            return None
        return JournalRows(reader, flags, self._is_shown, self._follows)

    def _is_shown(self, id: str) -> bool:
        return digest(id) in self._shown

    def _without_journal(self, why: str) -> None:
        self._journal = None
        self.notes[f"{why}; rows that are in no shard yet are missing here"] = None


def _new(rows: Iterator[Row], seen: set[bytes], void: set[bytes]) -> Iterator[Row]:
    """Yield the rows that are not `seen`, which they become, and not `void`."""
    for row in rows:
        at = digest(row.id)
        if at not in seen and at not in void:
            seen.add(at)
            yield row
