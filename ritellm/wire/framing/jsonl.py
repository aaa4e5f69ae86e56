"""JSON lines: bytes in, one event for each line out. No I/O and no clock."""

from __future__ import annotations

from ritellm.wire.base import Event
from ritellm.wire.framing.rest import Rest


class JSONLines:
    """Splits a byte stream into lines, wherever the bytes are cut; blank lines are skipped."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = Rest("a line")  # unfinished

    def feed(self, data: bytes) -> list[Event]:
        """Return the lines that `data` completes; raises if a line is too large."""
        end = data.rfind(b"\n")  # the rest has no line end, so only new bytes are searched
        if end < 0:
            self._rest.add(data)
            return []
        lines = (self._rest.take() + data[:end]).split(b"\n")
        self._rest.add(data[end + 1 :])
        return [("", line) for line in map(bytes.strip, lines) if line]

    def eof(self) -> list[Event]:
        """Return the last line, if it has no line end."""
        return self.feed(b"\n")
