"""The rows that are in the journal and in no shard yet, joined with their input.

The problem: an entry has the completion and a key, but not the row. Only the input has the row, and
its key can be computed. Neither side fits in memory, and a running job adds entries all the time.

The idea: a join that keeps on the disk what waits for the other side:

    entries of the journal --> waiting: no row of the input has come for them yet
    rows of the input      --> ahead: no entry has come for them yet

Both sides are read in turns. The input is read on only while entries wait. A job completes rows
about in the order of its input, so few rows wait on either side, and they are in memory.

`input_rows` makes the keys, and `journal_lines` the lines.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import orjson

from pipelines.results.job_flags import JobFlags
from pipelines.results.row import Row, digest, entry_name
from pipelines.results.spool import Spool
from transforms.journal.base import unpack
from transforms.journal.reading import Entry, JournalReader

if TYPE_CHECKING:
    from pipelines.results.journal_lines import JournalLines

# A larger value is a completion. A smaller one may be the order of a submission.
_LARGEST_ORDER = 100
# Seconds for which a follower reads the journal before it looks for new shards again.
_SLICE = 0.5
# New objects before the collector looks for garbage.
_YOUNG = 50_000
# Entries between two looks at the input.
_TURN = 1_000


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
        self._joined: set[bytes] = set()  # entries of rows without an id: they may come again
        self._entries: Iterator[Entry] | None = None
        self._input: Iterator[tuple[str, Any]] | None = None
        self._is_read = False

    @property
    def unknown(self) -> int:
        """The number of entries whose row is not in the input: they belong to other requests."""
        return len(self._waiting)

    def new(self, is_last: bool = False) -> Iterator[Row]:
        """Yield the rows whose entry has come since the last call.

        While the job is followed, a call ends after `_SLICE` seconds, and the next one continues:
        the caller looks for new shards in between. The last call yields all.
        """
        is_slice = self._keeps and not is_last
        until = time.monotonic() + _SLICE if is_slice else math.inf
        if self._entries is None:
            self._entries = self._journal.new()
        for count, entry in enumerate(self._entries, 1):
            if (row := self._of_entry(entry)) is not None:
                yield row
            if count % _TURN == 0:
                yield from self._from_input(until, 2 * _TURN)
            if time.monotonic() > until:
                return
        self._entries = None
        yield from self._from_input(until)

    def _of_entry(self, entry: Entry) -> Row | None:
        """Return the row of an entry, or let the entry wait for it."""
        at = entry_name(entry.key)
        if self._has_come_out(entry, at) or _is_order(entry.stored):
            return None
        kept = self._ahead.take(at)
        if kept is None:
            self._waiting.put(at, entry.stored)
            return None
        row, earlier = self._lines.restored(kept)
        return self._lines.row({**earlier, at: entry.stored}, at, row)

    def _has_come_out(self, entry: Entry, at: str) -> bool:
        """Return whether the row of an entry is known to have come out.

        The key of a row without an id does not tell the row. Its completion has an id, which is a
        place in the input. In the newest run that is the place in this input.
        """
        if not entry.key.id.startswith("="):
            return self._is_shown(entry.key.id)
        if digest(at) in self._joined:
            return True
        try:
            row = orjson.loads(unpack(entry.stored))
            is_new = (row.get("ended_at") or 0.0) >= self._flags.started_at
            return is_new and self._is_shown(str(row["id"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            return False

    def _from_input(self, until: float, most: float = math.inf) -> Iterator[Row]:
        """Read up to `most` rows of the input, until no entry waits."""
        if self._input is None and self._waiting:
            self._input = self._lines.keyed()
        keeps = self._keeps or self._entries is not None
        count = 0
        while self._input is not None and self._waiting and not self._is_read and count < most:
            found = next(self._input, None)
            if found is None:
                self._is_read = True
                return
            at, row = found
            count += 1
            stored = self._waiting.take(at)
            if stored is not None:
                if (made := self._lines.row({at: stored}, at, row)) is not None:
                    yield made
            elif keeps:
                self._lines.keep(at, row)
            if time.monotonic() > until:
                return

    @cached_property
    def _lines(self) -> JournalLines:
        """What makes lines of entries. It imports Beam, so it waits for the first entry."""
        from pipelines.results.journal_lines import JournalLines

        made = JournalLines(
            self._flags, self._is_shown, self._waiting, self._ahead, self._joined, self._keeps
        )
        # Rows make no cycles, and the modules stay: a search for garbage in them finds nothing.
        gc.freeze()
        young, *older = gc.get_threshold()
        if 0 < young < _YOUNG:
            gc.set_threshold(_YOUNG, *older)
        return made


def _is_order(stored: bytes) -> bool:
    try:
        return len(stored) < _LARGEST_ORDER and unpack(stored).startswith(b'{"asked"')
    except ValueError:
        return True  # damaged
