"""The rows that are in the journal and in no shard yet, joined with their input.

The problem: an entry has the completion and a key, but not the row. Only the input has the row, and
its key can be computed. Neither side fits in memory, and a running job adds entries all the time.

The idea: a join that keeps on the disk what waits for the other side:

    entries of the journal --> waiting: no row of the input has come for them yet
    rows of the input      --> ahead: no entry has come for them yet

The input is read on only while entries wait. A job completes rows about in the order of its input,
so the reader stays just ahead of the job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from pipelines.results.job_flags import JobFlags
from pipelines.results.row import Row, digest
from pipelines.results.spool import Spool
from transforms.journal.base import unpack
from transforms.journal.key import JournalKey
from transforms.journal.reading import JournalReader

# A larger value is a completion. A smaller one may be the order of a submission.
_LARGEST_ORDER = 100


class JournalRows:
    """The completions of a job that its journal has. `is_shown` tells of an id that has come out.

    With `keeps` later calls of `new` find the entries that have come since.
    """

    def __init__(
        self,
        journal: JournalReader,
        flags: JobFlags,
        is_shown: Callable[[str], bool],
        keeps: bool,
    ) -> None:
        self._journal = journal
        self._flags = flags
        self._is_shown = is_shown
        self._keeps = keeps
        self._waiting, self._ahead = Spool(), Spool()
        self._joined: set[bytes] = set()  # the entries of rows without an id that have come out
        self._input: Iterator[tuple[bytes, Any]] | None = None
        self._is_read = False

    @property
    def unknown(self) -> int:
        """The number of entries whose row is not in the input: they belong to other requests."""
        return len(self._waiting)

    def new(self) -> Iterator[Row]:
        """Yield the rows whose entry has come since the last call."""
        for key, stored in self._journal.new():
            at = _digest(key)
            is_named = not key.id.startswith("=")
            if self._is_shown(key.id) if is_named else at in self._joined:
                continue
            if _is_order(stored):
                continue
            row = self._ahead.take(at)
            if row is None:
                self._waiting.put(at, stored)
            elif (made := self._row(at, stored, _prompt(row))) is not None:
                yield made
        yield from self._from_input()

    def _from_input(self) -> Iterator[Row]:
        """Read the input on until no entry waits."""
        if not self._waiting or self._is_read:
            return
        if self._input is None:
            self._input = self._keyed()
        while self._waiting:
            found = next(self._input, None)
            if found is None:
                self._is_read = True
                return
            at, prompt = found
            stored = self._waiting.take(at)
            if stored is not None:
                if (made := self._row(at, stored, prompt)) is not None:
                    yield made
            elif self._keeps:
                self._ahead.put(at, orjson.dumps(list(prompt)))

    def _keyed(self) -> Iterator[tuple[bytes, Any]]:
        """Yield the prompts that have not come out, with the digests of their keys."""
        key_of = self._flags.key()
        for prompt in self._flags.prompts():
            if not self._is_shown(prompt.id) and (key := key_of(prompt)) is not None:
                yield _digest(key), prompt

    def _row(self, at: bytes, stored: bytes, prompt: Any) -> Row | None:
        from pipelines.outputs.kept_columns import with_columns
        from transforms.serialization import to_bytes
        from transforms.worker.journal_entries import from_value

        if self._is_shown(prompt.id):
            return None
        try:
            completion = from_value(unpack(stored), prompt)
        except ValueError:
            completion = None
        if completion is None:  # the job does not use it either
            return None
        self._joined.add(at)
        columns = self._flags.columns
        kept = completion if columns is None else with_columns(completion, columns)
        return Row(prompt.id, to_bytes(kept))


def _digest(key: JournalKey) -> bytes:
    return digest(f"{key.request}{key.id}")


def _is_order(stored: bytes) -> bool:
    try:
        return len(stored) < _LARGEST_ORDER and unpack(stored).startswith(b'{"asked"')
    except ValueError:
        return True  # damaged


def _prompt(stored: bytes) -> Any:
    from transforms.elements import Prompt

    return Prompt(*orjson.loads(stored))
