"""Google's server-sent events, and the bare JSON error that may follow them. No I/O, no clock."""

from __future__ import annotations

from ritellm.wire.base import Event
from ritellm.wire.framing.rest import Rest
from ritellm.wire.framing.sse import SSE


class GoogleSSE:
    """Server-sent events, after which an error may follow as bare JSON in lines of its own.

    The standard drops such lines. This framing keeps them and returns them as an event in `eof()`.
    """

    __slots__ = ("_bare", "_new_line", "_sse")

    def __init__(self) -> None:
        self._sse = SSE()
        self._bare = Rest("an error")  # the bare JSON; once it begins, nothing else follows
        self._new_line = True  # the next byte begins a line

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that `data` completes."""
        if not data:
            return []
        if self._bare.data:
            self._bare.add(data)
            return []
        begin = self._bare_json(data)
        self._new_line = data.endswith(b"\n")
        if begin is None:
            return self._sse.feed(data)
        self._bare.add(data[begin:])
        return self._sse.feed(data[:begin])

    def eof(self) -> list[Event]:
        """Return the unfinished event at the end of the body, and the bare error after it."""
        bare = self._bare.take()
        return self._sse.eof() + ([("error", bare)] if bare else [])

    def _bare_json(self, data: bytes) -> int | None:
        """Return the start of the first line that is JSON and not a field, or None."""
        if self._new_line and data[:1] in (b"{", b"["):
            return 0
        # Two searches for bytes cost a tenth of a regular expression.
        found = [at for at in (data.find(b"\n{"), data.find(b"\n[")) if at >= 0]
        return min(found) + 1 if found else None
