"""Google's server-sent events, and the bare JSON error that may follow them. No I/O, no clock."""

from __future__ import annotations

from ritellm.wire.base import Event
from ritellm.wire.framing.sse import SSE


class GoogleSSE:
    """Server-sent events, behind which an error may come as bare JSON, in lines of its own.

    The standard has such lines dropped; here they are kept for `eof()`.
    """

    __slots__ = ("_bare", "_new_line", "_sse")

    def __init__(self) -> None:
        self._sse = SSE()
        self._bare: list[bytes] = []
        self._new_line = True

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that `data` completes."""
        if not data:
            return []
        if self._bare:
            self._bare.append(data)
            return []
        begin = self._bare_json(data)
        self._new_line = data.endswith(b"\n")
        if begin is None:
            return self._sse.feed(data)
        self._bare.append(data[begin:])
        return self._sse.feed(data[:begin])

    def eof(self) -> list[Event]:
        """Return the event that the end of the body leaves open, and the bare error behind it."""
        bare = [("error", b"".join(self._bare))] if self._bare else []
        return self._sse.eof() + bare

    def _bare_json(self, data: bytes) -> int | None:
        """Return where the first line begins that is JSON rather than a field."""
        if self._new_line and data[:1] in (b"{", b"["):
            return 0
        # Two searches for bytes cost a tenth of one for a pattern.
        found = [at for at in (data.find(b"\n{"), data.find(b"\n[")) if at >= 0]
        return min(found) + 1 if found else None
