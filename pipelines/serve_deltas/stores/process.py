"""Deltas of a job that runs in this process.

The job publishes from threads of its own, and the hub reads on its event loop. A lock guards the
texts, and a call on the loop delivers what is new. What is kept is bounded: above `most_chars` the
answers that have ended go first, the oldest of them before the others.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from pipelines.serve_deltas.piece import Piece
from pipelines.serve_deltas.position import Rank
from pipelines.serve_deltas.stores.base import Begun, Feed
from ritellm.chunks.submission import nonce_of, order_of
from transforms.connections.delta_streams import attempt_and_seq, entry_number
from transforms.elements import DeadLetter, Delta

MOST_STREAMS = 1_000
MOST_CHARS = 64_000_000
_BEFORE_ALL = ((-1, 0), -1)


class _Stream:
    """The newest text of one id."""

    def __init__(self, mark: int) -> None:
        self.mark = mark
        self.pieces: list[Piece] = []
        self.size = 0

    @property
    def has_ended(self) -> bool:
        """Whether it gains nothing more."""
        return bool(self.pieces) and self.pieces[-1].ends


class ProcessStore:
    """The answers of this process. `stop` asks it to stop the answer of an id."""

    def __init__(
        self,
        stop: Callable[[str], None],
        *,
        most_streams: int = MOST_STREAMS,
        most_chars: int = MOST_CHARS,
    ) -> None:
        self._stop = stop
        self._most_streams, self._most_chars = most_streams, most_chars
        self._lock = threading.Lock()
        self._streams: dict[str, _Stream] = {}  # in the order in which they began
        self._open: dict[str, tuple[Rank, int]] = {}  # the last piece that was fed
        self._marks = self._size = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def publish(self, batch: Iterable[object]) -> None:
        """Take what the job has published: deltas and failures. Any thread may call this."""
        news: dict[str, list[Piece]] = {}
        with self._lock:
            for outcome in batch:
                if isinstance(outcome, (Delta, DeadLetter)):
                    id = _sound(outcome.id)
                    if (piece := self._piece(id, outcome)) and self._keep(id, piece):
                        news.setdefault(id, []).append(piece)
            lost = self._make_room()
            if self._loop is not None and (news or lost):
                with suppress(RuntimeError):  # the loop is closed, and no reader is left
                    self._loop.call_soon_threadsafe(self._tell, news, lost)

    def has(self, id: str) -> bool:
        """Return whether the id has an answer."""
        with self._lock:
            return id in self._streams

    async def start(self, feed: Feed, lost: Callable[[str], None]) -> None:
        """Begin to feed the ids that are opened."""
        self._feed, self._lost = feed, lost
        self._loop = asyncio.get_running_loop()

    async def open(self, id: str) -> None:
        """Feed what the stream has, then what it gains."""
        with self._lock:
            stream = self._streams.get(id)
            pieces = list(stream.pieces) if stream else []
            self._open[id] = _BEFORE_ALL
        self._feed_new(id, pieces)

    def close(self, id: str) -> None:
        """Feed the id no longer."""
        self._open.pop(id, None)

    async def stop(self, id: str) -> None:
        """Stop the answer."""
        self._stop(id)

    async def lately(self, most: int) -> Sequence[Begun]:
        """Return the answers that began last, the newest first."""
        with self._lock:
            newest = list(self._streams.items())[: -most - 1 : -1]
            return [Begun(id, str(stream.mark)) for id, stream in newest]

    async def aclose(self) -> None:
        """Feed nothing more."""
        with self._lock:
            self._loop = None

    def _tell(self, news: dict[str, list[Piece]], lost: Sequence[str]) -> None:
        for id, pieces in news.items():
            if id in self._open:
                self._feed_new(id, pieces)
        for id in lost:
            if id in self._open:
                self._lost(id)

    def _feed_new(self, id: str, pieces: Sequence[Piece]) -> None:
        """Feed pieces, without those that `open` found while they were on their way here."""
        last = self._open[id]
        new = [piece for piece in pieces if (piece.rank, piece.seq) > last]
        if new:
            self._open[id] = new[-1].rank, new[-1].seq
            self._feed(id, new)

    def _piece(self, id: str, outcome: Delta | DeadLetter) -> Piece | None:
        if isinstance(outcome, DeadLetter):
            return self._failure(id, outcome.error_type)
        name = outcome.submission
        first, second = entry_number(order_of(name), nonce_of(name), outcome.attempt, outcome.seq)
        return Piece(
            rank=(first, attempt_and_seq(second)[0]),
            seq=outcome.seq,
            text=_sound(outcome.text),
            chunk=outcome.chunk.encode("utf-8", "replace"),
            final=outcome.final,
            outcome=(outcome.outcome or "").encode("utf-8", "replace"),
        )

    def _failure(self, id: str, error_type: str) -> Piece:
        """Return the piece that ends the text, or that is the text of a prompt that had none."""
        stream = self._streams.get(id)
        if stream is None or not stream.pieces:
            return Piece((0, 1), 0, "", b"", failed=error_type)
        order, attempt = stream.pieces[-1].rank
        if stream.has_ended:  # the failure is of a later submission
            return Piece((order + 1, 1), 0, "", b"", failed=error_type)
        return Piece((order, attempt), len(stream.pieces), "", b"", failed=error_type)

    def _keep(self, id: str, piece: Piece) -> bool:
        """Keep a piece of the newest text; return False for one that is void or known."""
        stream = self._streams.get(id)
        newest = stream.pieces[-1].rank if stream else (-1, 0)
        if piece.rank > newest:
            if piece.seq != 0:
                return False  # its beginning is not here
            self._remove(id)
            self._marks += 1
            stream = self._streams[id] = _Stream(self._marks)
        elif piece.rank < newest or stream is None or piece.seq != len(stream.pieces):
            return False
        stream.pieces.append(piece)
        size = len(piece.text) + len(piece.chunk) + len(piece.outcome)
        stream.size += size
        self._size += size
        return True

    def _make_room(self) -> list[str]:
        """Remove answers while there are too many; return the ids of those that still grew."""
        lost: list[str] = []
        while len(self._streams) > self._most_streams or self._size > self._most_chars:
            ended = (id for id, stream in self._streams.items() if stream.has_ended)
            if (id := next(ended, None)) is None:
                id = next(iter(self._streams))
                lost.append(id)
            self._remove(id)
        return lost

    def _remove(self, id: str) -> None:
        if (stream := self._streams.pop(id, None)) is not None:
            self._size -= stream.size


def _sound(text: str) -> str:
    """Return `text` without halves of surrogate pairs, which no response can have."""
    return text.encode("utf-8", "replace").decode()
