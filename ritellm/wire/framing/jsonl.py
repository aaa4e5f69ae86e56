"""JSON lines: bytes in, one event for each line out. No I/O and no clock."""

from __future__ import annotations

from ritellm.wire.base import Event


class JSONLines:
    """Splits a byte stream into lines, wherever the bytes are cut; blank lines are skipped."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""  # an unfinished line

    def feed(self, data: bytes) -> list[Event]:
        """Return the lines that `data` completes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [("", line) for line in map(bytes.strip, lines) if line]

    def eof(self) -> list[Event]:
        """Return the last line, if it has no line end."""
        return self.feed(b"\n")
