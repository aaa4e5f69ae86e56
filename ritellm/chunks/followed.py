"""The texts of one prompt whose deltas arrive, and which of them a reader is shown. Pure.

A prompt has a text for each attempt of each submission. The newest one is shown until one is whole;
a whole one is only replaced by a newer whole one. The other texts are summed without being shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from ritellm.chunks.delta_events import Event, Finished, Grown, Superseded, Unfinished
from ritellm.chunks.delta_rows import DeltaRow, PromptKey, Rank
from ritellm.chunks.sequenced import SequencedSum
from ritellm.types import Chunk

# The most texts of one prompt that are kept while it is open; the oldest is given up first.
_MOST_TEXTS = 8


@dataclass(frozen=True, slots=True)
class Shown:
    """Which text of a prompt is shown, and whether it is whole."""

    rank: Rank
    whole: bool = False

    def refuses(self, row: DeltaRow, *, is_open: bool) -> bool:
        """Return whether `row` cannot change what is shown."""
        if self.whole and row.submission and row.submission == self.rank[0]:
            return True  # another attempt of a whole submission is a replay of it
        return row.rank <= self.rank and (self.whole or not is_open)


class Followed:
    """The texts of one prompt, and the one that is shown."""

    __slots__ = ("_texts", "prompt", "shown")

    def __init__(self, prompt: PromptKey, shown: Shown | None) -> None:
        self.prompt, self.shown = prompt, shown
        self._texts: dict[Rank, _Text] = {}

    @property
    def is_settled(self) -> bool:
        """Whether the shown text is whole and no newer one is on its way."""
        return self.shown is not None and self.shown.whole and not self._texts

    def add(self, row: DeltaRow) -> list[Event]:
        """Add a delta; return the events about the shown text."""
        text = self._texts.get(row.rank) or self._begin(row.rank)
        grown = text.add(row)
        if not self._shows(text):
            return []
        events: list[Event] = []
        shown, self.shown = self.shown, Shown(text.rank, text.sum.is_whole)
        if shown is None or text.rank != shown.rank:
            events += [] if shown is None else [_superseded(row.id, shown.rank, text.rank)]
            grown = text.all_chunks(grown)
        if grown:
            events.append(text.grown(row.id, grown))
        if text.sum.is_whole:
            events.append(text.finished(row.id))
            self._texts = {rank: text for rank, text in self._texts.items() if rank > row.rank}
        return events

    def _shows(self, text: _Text) -> bool:
        """Return whether `text` is the one to show."""
        shown = self.shown
        if shown is None or text.sum.is_whole:
            return True
        return not shown.whole and text.rank >= shown.rank

    def unfinished(self) -> list[Event]:
        """Return the event of a completion that is given up, if its text is not whole."""
        if self.shown is None or self.shown.whole:
            return []
        id, _ = self.prompt
        text = self._texts[self.shown.rank]
        (submission, attempt), length = text.rank, text.sum.length
        return [Unfinished(id, attempt, text.sum.sum.completion(), length, submission)]

    def _begin(self, rank: Rank) -> _Text:
        made = self._texts[rank] = _Text(rank)
        if len(self._texts) > _MOST_TEXTS:
            kept = self.shown.rank if self.shown else rank
            del self._texts[min(each for each in self._texts if each != kept)]
        return made


class _Text:
    """One text of a prompt: an attempt of a submission."""

    __slots__ = ("_final", "_pieces", "rank", "sum")

    def __init__(self, rank: Rank) -> None:
        self.rank = rank
        self.sum = SequencedSum()
        self._pieces: list[str] = []  # the shown text; events share it and remember its length
        self._final: DeltaRow | None = None

    def add(self, row: DeltaRow) -> list[Chunk]:
        """Add a delta; return the chunks that are no longer after a gap."""
        _, attempt = self.rank
        start = self.sum.length
        if row.final:
            self._final = self._final or row
        summed = self.sum.add(row.seq, row.chunk, final=row.final)
        # The final one adds no text.
        return [
            Chunk(chunk).number(attempt, seq)
            for seq, chunk in enumerate(summed, start)
            if seq != self.sum.end
        ]

    def all_chunks(self, newest: list[Chunk]) -> list[Chunk]:
        """Return the chunks of a text that is shown from its beginning: one, if they are gone."""
        self._pieces = []
        end = self.sum.end
        summed = min(self.sum.length, self.sum.length if end is None else end)
        if summed == len(newest):
            return newest
        return [self.sum.sum.chunk().number(self.rank[1], 0)]

    def grown(self, id: str, chunks: list[Chunk]) -> Grown:
        """Return the event of new chunks."""
        submission, attempt = self.rank
        added = "".join(map(_added, chunks))
        self._pieces.append(added)
        pieces = self._pieces
        return Grown(id, attempt, added, tuple(chunks), pieces, len(pieces), submission)

    def finished(self, id: str) -> Finished:
        """Return the event of a whole text."""
        assert self._final is not None
        submission, attempt = self.rank
        outcome, input = _parsed(self._final.outcome) or {}, _parsed(self._final.input)
        completion = self.sum.sum.completion()
        return Finished(id, attempt, completion, outcome, input, submission)


def _superseded(id: str, shown: Rank, by: Rank) -> Superseded:
    return Superseded(id, shown[1], by[1], shown[0], by[0])


def _parsed(value: Any) -> Any:
    """Return the value of JSON text; a delta that was parsed as a whole has the value itself."""
    if isinstance(value, (str, bytes)):
        return orjson.loads(value) if value else None
    return value


def _added(chunk: Chunk) -> str:
    """Return the text that `chunk` adds to the first choice."""
    for choice in chunk.get("choices") or ():
        if not choice.get("index"):
            content = (choice.get("delta") or {}).get("content")
            return content if isinstance(content, str) else ""
    return ""
