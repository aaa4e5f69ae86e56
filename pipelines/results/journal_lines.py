"""Makes the lines of rows from their entries in the journal; the other half of `journal_rows`.

A typical row needs no elements: see `input_rows` and `quick_lines`. All others are prompts, and the
job's own rules make their completions. This module imports Beam.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from pipelines.outputs.kept_columns import with_columns
from pipelines.results.input_rows import InputRow
from pipelines.results.job_flags import JobFlags
from pipelines.results.quick_lines import QuickLines
from pipelines.results.row import IsShown, Row, digest, entry_name
from pipelines.results.spool import Spool
from transforms.elements import Completion, Prompt
from transforms.journal.base import unpack
from transforms.journal.key import JournalKey
from transforms.serialization import to_bytes
from transforms.worker.recorded.entries import from_value


class JournalLines:
    """The rows of the input and their lines.

    `waiting` and `ahead` are those of `journal_rows`. `joined` gets the digests of entries of rows
    without an id. With `keeps` a row whose next entry is missing is put `ahead`.
    """

    def __init__(
        self,
        flags: JobFlags,
        is_shown: IsShown,
        waiting: Spool,
        ahead: Spool,
        joined: set[bytes],
        keeps: bool,
    ) -> None:
        self._flags = flags
        self._is_shown = is_shown
        self._waiting, self._ahead = waiting, ahead
        self._joined = joined
        self._keeps = keeps
        self._rows = flags.rows(is_shown)
        self._quick = QuickLines(flags.columns)
        self._may_ask_again = flags.may_ask_again
        self._outcome = flags.outcome()

    def keyed(self) -> Iterator[tuple[str, InputRow | Prompt]]:
        """Yield the rows of the input that have not come out, with the names of their entries."""
        return self._rows.keyed(self._flags.lines())

    def keep(
        self, at: str, row: InputRow | Prompt, earlier: Mapping[str, bytes] | None = None
    ) -> None:
        """Keep a row that waits for the entry `at`, with its entries so far."""
        if isinstance(row, InputRow):
            self._ahead.put(at, row.text.strip().encode())
        elif not self._is_shown(row.id):
            entries = {at: b64encode(stored).decode() for at, stored in (earlier or {}).items()}
            self._ahead.put(at, orjson.dumps([list(row), entries]))

    def restored(self, kept: bytes) -> tuple[InputRow | Prompt, dict[str, bytes]]:
        """Return what `keep` has kept."""
        row = self._rows.typical(kept.decode()) if kept.startswith(b"{") else None
        if row is not None:
            return row, {}
        fields, entries = orjson.loads(kept)
        earlier = {at: b64decode(stored) for at, stored in entries.items()}
        return Prompt(*fields), earlier

    def row(self, found: dict[str, bytes], at: str, row: InputRow | Prompt) -> Row | None:
        """Return the line of a row, of whose entries some are `found`; the newest is `at`.

        None for a row that has come out, that failed, or that is not complete yet.
        """
        if not isinstance(row, InputRow):
            return self._row_of(found, at, row)
        try:
            line = self._quick.line(unpack(found[at]), row.id, row.fields)
        except ValueError:
            return None
        if line is not None:
            row.is_out = True
            return Row(row.id, line)
        prompt = self._rows.prompt(row)
        made = None if prompt is None else self._row_of(found, at, prompt)
        row.is_out = made is not None
        return made

    def _row_of(self, found: dict[str, bytes], at: str, prompt: Prompt) -> Row | None:
        """Return the line of a prompt by the job's own rules; see `row`."""
        if prompt.key is not None:
            self._joined.add(digest(at))
        if self._is_shown(prompt.id):
            return None
        completion = self._ended(found, prompt)
        if not isinstance(completion, Completion):  # the job does not use it either
            return None
        columns = self._flags.columns
        kept = completion if columns is None else with_columns(completion, columns)
        return Row(prompt.id, to_bytes(kept))

    def _ended(self, found: dict[str, bytes], prompt: Prompt) -> Any:
        """Return the outcome of a prompt, None if it has none yet.

        A row whose answer is checked has an entry for each request. If the next one is missing, the
        prompt waits for it.
        """
        if not self._may_ask_again:
            [stored] = found.values()
            return _completion(stored, prompt)
        missing: list[str] = []

        def lookup(key: JournalKey) -> bytes | None:
            at = entry_name(key)
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
            self.keep(missing[-1], prompt, found)
        return outcome


def _completion(stored: bytes, prompt: Prompt) -> Completion | None:
    try:
        return from_value(unpack(stored), prompt)
    except ValueError:
        return None
