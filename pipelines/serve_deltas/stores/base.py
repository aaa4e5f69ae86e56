"""What the hub needs of a store of deltas."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from pipelines.serve_deltas.piece import Piece

# Called with an id and the next pieces of its stream.
Feed = Callable[[str, Iterable[Piece]], None]


class Begun(NamedTuple):
    """An answer that has begun. `mark` is another one whenever the id begins an answer again."""

    id: str
    mark: str


class StoreUnavailable(Exception):
    """The store cannot be used now; the message is one line."""


class Store(Protocol):
    """Streams of deltas, one for each id. All methods are called on one event loop."""

    async def start(self, feed: Feed, lost: Callable[[str], None]) -> None:
        """Begin to feed the ids that are opened. Raises StoreUnavailable.

        `lost` is called with an opened id whose stream has disappeared before its end.
        """

    async def open(self, id: str) -> None:
        """Feed what the stream has, then what it gains: all of it once. Raises StoreUnavailable."""

    def close(self, id: str) -> None:
        """Feed the id no longer."""

    async def stop(self, id: str) -> None:
        """Ask the worker that generates the answer to stop. Raises StoreUnavailable."""

    async def lately(self, most: int) -> Sequence[Begun]:
        """Return at most `most` of the answers that began last, the newest first.

        Raises StoreUnavailable.
        """

    async def aclose(self) -> None:
        """Feed nothing more, and close connections."""
