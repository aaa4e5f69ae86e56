"""One answer as it grows, and what a reader of it lacks. No I/O, no clock.

The problem: deltas arrive more than once, and those of an attempt that failed, or of a submission
whose worker died, are void. Readers come late, leave, and come back with a position. Each must get
each byte of one text once, and must learn when that text is void.

The idea: keep the pieces of the newest text, and count. A reader is a position. `since` returns
what lies between that position and the end. The text of a reader whose position is in another text
is void, so it gets a reset and the new text from its beginning. A server keeps nothing for readers.

The invariants:
- `pieces[n]` is the delta with number n: no gap, none twice.
- All pieces belong to one attempt of one submission, the newest that has begun.
- A whole answer stays as it is until a newer submission begins.
- The pieces from any position to the end do not depend on when a reader asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.serve_deltas.piece import Piece
from pipelines.serve_deltas.position import Position, Rank

# The finish reason of an answer that a reader has stopped
# (`transforms.worker.stops.stop_conditions`).
_STOPPED = "stopped"


@dataclass(frozen=True)
class Ending:
    """How an answer has ended: "finished", "stopped" or "failed"."""

    outcome: str
    finish_reason: str | None = None
    usage: Mapping[str, Any] | None = None
    error_type: str | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """What is known of it, for readers."""
        known = {"finish_reason": self.finish_reason, "usage": self.usage}
        known["error_type"] = self.error_type
        return {"outcome": self.outcome, **{k: v for k, v in known.items() if v is not None}}


@dataclass(frozen=True)
class News:
    """What a reader lacks: `pieces` from number `start` of the text `rank`, and how it ended.

    `is_reset` says that what the reader has is void: the pieces are of another text, from its
    beginning. `ending` is None while the answer grows.
    """

    rank: Rank
    start: int
    pieces: Sequence[Piece]
    ending: Ending | None = None
    is_reset: bool = False

    @property
    def position(self) -> Position:
        """Where the reader is when it has the pieces."""
        return Position(*self.rank, self.start + len(self.pieces))

    @property
    def text(self) -> str:
        """What the pieces add to the text."""
        return "".join([piece.text for piece in self.pieces])


class GrowingText:
    """The newest text of one prompt, so far."""

    def __init__(self) -> None:
        self._rank: Rank | None = None
        self._pieces: list[Piece] = []
        self.ending: Ending | None = None
        # The beginning of the newest text was trimmed before it was read: no reader can have it.
        self.is_beheaded = False

    @property
    def has_begun(self) -> bool:
        """Whether there is a text, if only an empty one."""
        return self._rank is not None

    @property
    def tail(self) -> Position | None:
        """The position after the last piece, None before the first one."""
        return Position(*self._rank, len(self._pieces)) if self._rank is not None else None

    @property
    def pieces(self) -> Sequence[Piece]:
        """All pieces of the text."""
        return self._pieces

    def add(self, pieces: Iterable[Piece]) -> bool:
        """Add pieces, in the order in which the stream has them; return whether any was new."""
        has_grown = False
        for piece in pieces:
            has_grown = self._add(piece) or has_grown
        return has_grown

    def _add(self, piece: Piece) -> bool:
        if self._rank is None or piece.rank > self._rank:
            return self._begin(piece)
        if piece.rank < self._rank or piece.seq != len(self._pieces) or self.ending is not None:
            return False  # of a void text, a repetition, or after a gap
        self._append(piece)
        return True

    def _begin(self, piece: Piece) -> bool:
        is_whole = self.ending is not None and self.ending.error_type is None
        if is_whole and self._rank is not None and self._rank[0] == piece.rank[0]:
            return False  # the same submission again, replayed from the journal
        self._rank, self._pieces, self.ending = piece.rank, [], None
        self.is_beheaded = piece.seq != 0
        if not self.is_beheaded:
            self._append(piece)
        return True

    def _append(self, piece: Piece) -> None:
        self._pieces.append(piece)
        if piece.ends:
            self.ending = self._ending(piece)

    def _ending(self, last: Piece) -> Ending:
        pieces = self._pieces[::-1]
        reason = next((piece.finish_reason for piece in pieces if piece.finish_reason), None)
        usage = next((piece.usage for piece in pieces if piece.usage), None)
        if last.failed is not None:
            return Ending("failed", reason, usage, last.failed)
        return Ending("stopped" if reason == _STOPPED else "finished", reason, usage)

    def since(self, position: Position | None) -> News | None:
        """Return what a reader at `position` lacks, None if that is nothing.

        None as the position is that of a reader which has nothing. A reader that is ahead, because
        another server told it more than this one has read, lacks nothing yet.
        """
        if self._rank is None or (position is not None and position.rank > self._rank):
            return None
        start = 0 if position is None or position.rank != self._rank else position.next
        is_reset = position is not None and position.rank != self._rank
        pieces = self._pieces[start:]
        return News(self._rank, start, pieces, self.ending, is_reset) if pieces else None

    def is_behind(self, position: Position | None) -> bool:
        """Return whether a reader at `position` has more than this."""
        return position is not None and (self.tail is None or position > self.tail)
