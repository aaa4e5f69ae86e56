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

import math
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import orjson

from pipelines.results.job_flags import JobFlags
from pipelines.results.row import Row, digest
from pipelines.results.spool import Spool
from transforms.journal.base import unpack
from transforms.journal.key import JournalKey
from transforms.journal.reading import Entry, JournalReader

# A larger value is a completion. A smaller one may be the order of a submission.
_LARGEST_ORDER = 100
# Seconds for which a follower reads the journal before it looks for new shards again.
_SLICE = 0.5


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
        self._input: Iterator[tuple[bytes, Any]] | None = None
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
        for entry in self._entries:
            yield from self._of_entry(entry)
            if time.monotonic() > until:
                return
        self._entries = None
        yield from self._from_input(until)

    def _of_entry(self, entry: Entry) -> Iterator[Row]:
        """Yield the row of an entry, or let the entry wait for it."""
        at = _digest(entry.key)
        if self._has_come_out(entry, at) or _is_order(entry.stored):
            return
        row = self._ahead.take(at)
        if row is None:
            self._waiting.put(at, entry.stored)
            return
        prompt, earlier = _of_ahead(row)
        if (made := self._row({**earlier, at: entry.stored}, at, prompt)) is not None:
            yield made

    def _has_come_out(self, entry: Entry, at: bytes) -> bool:
        """Return whether the row of an entry is known to have come out.

        The key of a row without an id does not tell the row. Its completion has an id, which is a
        place in the input. In the newest run that is the place in this input.
        """
        if not entry.key.id.startswith("="):
            return self._is_shown(entry.key.id)
        if at in self._joined:
            return True
        try:
            row = orjson.loads(unpack(entry.stored))
            is_new = (row.get("ended_at") or 0.0) >= self._flags.started_at
            return is_new and self._is_shown(str(row["id"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            return False

    def _from_input(self, until: float) -> Iterator[Row]:
        """Read the input on until no entry waits."""
        if self._input is None and self._waiting:
            self._input = self._keyed()
        while self._input is not None and self._waiting and not self._is_read:
            found = next(self._input, None)
            if found is None:
                self._is_read = True
                return
            at, prompt = found
            stored = self._waiting.take(at)
            if stored is not None:
                if (made := self._row({at: stored}, at, prompt)) is not None:
                    yield made
            elif self._keeps and not self._is_shown(prompt.id):
                self._ahead.put(at, _ahead(prompt))
            if time.monotonic() > until:
                return

    def _keyed(self) -> Iterator[tuple[bytes, Any]]:
        """Yield prompts with the digests of their keys.

        A prompt with an id that has come out is left out, as its entry is. The entry of one without
        an id is not known by the id, so its prompt must take it from those that wait.
        """
        key_of = self._flags.key()
        for prompt in self._flags.prompts(self._is_shown):
            is_done = prompt.key is None and self._is_shown(prompt.id)
            if not is_done and (key := key_of(prompt)) is not None:
                yield _digest(key), prompt

    def _row(self, found: dict[bytes, bytes], at: bytes, prompt: Any) -> Row | None:
        """Return the row of a prompt, of whose entries some are `found`; the newest is `at`.

        None for a row that has come out, that failed, or that is not complete yet.
        """
        from pipelines.outputs.kept_columns import with_columns
        from transforms.elements import Completion
        from transforms.serialization import to_bytes

        if prompt.key is not None:
            self._joined.add(at)
        if self._is_shown(prompt.id):
            return None
        completion = self._ended(found, prompt)
        if not isinstance(completion, Completion):  # the job does not use it either
            return None
        columns = self._flags.columns
        kept = completion if columns is None else with_columns(completion, columns)
        return Row(prompt.id, to_bytes(kept))

    def _ended(self, found: dict[bytes, bytes], prompt: Any) -> Any:
        """Return the outcome of a prompt, None if it has none yet.

        A row whose answer is checked has an entry for each request. If the next one is missing, the
        prompt waits for it.
        """
        if not self._flags.may_ask_again:
            [stored] = found.values()
            return _completion(stored, prompt)
        missing: list[bytes] = []

        def lookup(key: JournalKey) -> bytes | None:
            at = _digest(key)
            stored = found.get(at) or self._waiting.take(at)
            if stored is None:
                missing.append(at)
                return None
            found[at] = stored
            try:
                return unpack(stored)
            except ValueError:
                return None

        outcome = self._outcome(prompt, lookup)
        if outcome is None and missing and self._keeps:
            self._ahead.put(missing[-1], _ahead(prompt, found))
        return outcome

    @cached_property
    def _outcome(self) -> Callable[[Any, Callable[[JournalKey], bytes | None]], Any]:
        return self._flags.outcome()


def _digest(key: JournalKey) -> bytes:
    return digest(f"{key.request}{key.id}")


def _completion(stored: bytes, prompt: Any) -> Any:
    from transforms.worker.recorded.entries import from_value

    try:
        return from_value(unpack(stored), prompt)
    except ValueError:
        return None


def _is_order(stored: bytes) -> bool:
    try:
        return len(stored) < _LARGEST_ORDER and unpack(stored).startswith(b'{"asked"')
    except ValueError:
        return True  # damaged


def _ahead(prompt: Any, earlier: Mapping[bytes, bytes] | None = None) -> bytes:
    """Return a prompt that waits for an entry, with its entries so far, as the spool keeps them."""
    entries = {at.hex(): b64encode(stored).decode() for at, stored in (earlier or {}).items()}
    return orjson.dumps([list(prompt), entries])


def _of_ahead(kept: bytes) -> tuple[Any, dict[bytes, bytes]]:
    from transforms.elements import Prompt

    fields, entries = orjson.loads(kept)
    earlier = {bytes.fromhex(at): b64decode(stored) for at, stored in entries.items()}
    return Prompt(*fields), earlier
