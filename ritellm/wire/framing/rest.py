"""Keeps the beginning of an event until its end arrives: of a bounded size, in linear time."""

from __future__ import annotations

from ritellm.wire import limits


class Rest:
    """The bytes of an unfinished event. Adding a piece costs time for the piece only."""

    __slots__ = ("_what", "data")

    def __init__(self, what: str) -> None:
        self._what = what  # for the error: "an event"
        self.data = bytearray()

    def add(self, piece: bytes) -> None:
        """Append `piece`; raises if the event is larger than the limit."""
        self.data += piece
        if len(self.data) > limits.MAX_EVENT_BYTES:
            self.data = bytearray()
            raise limits.exceeded(self._what, limits.MAX_EVENT_BYTES)

    def take(self) -> bytes:
        """Return all bytes, and begin anew."""
        taken = bytes(self.data)
        if taken:
            self.data = bytearray()
        return taken
