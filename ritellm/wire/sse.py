"""Server-sent events: bytes in, events out. No I/O and no clock.

WHATWG HTML, section 9.2.6. Two deviations, both for clients of language models: an event without
data is dropped, also when its only `data:` line is empty, and a last event without its closing
blank line is handed out by `eof()` (servers forget it after `[DONE]`).
"""

from __future__ import annotations

from ritellm.wire.base import Event

_BOM = b"\xef\xbb\xbf"
_DATA = b"data: "
_BETWEEN = b"\n\ndata: "


class SSE:
    """Frames a byte stream into events, wherever the bytes are cut."""

    __slots__ = ("_bom_pending", "_data", "_inside", "_rest", "_skip_lf", "_type")

    def __init__(self) -> None:
        self._rest = b""
        self._inside = False  # an event has been read in part, line by line
        self._skip_lf = False  # the last byte was a CR: a LF that follows belongs to it
        self._bom_pending = True
        self._type = ""
        self._data: list[bytes] = []

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that `data` completes."""
        if not data:
            return []
        if self._rest:
            data = self._rest + data
        if self._bom_pending:
            if len(data) < 3 and _BOM.startswith(data):
                self._rest = data
                return []
            self._bom_pending = False
            data = data.removeprefix(_BOM)
        if self._skip_lf:
            self._skip_lf = False
            data = data.removeprefix(b"\n")
        if self._inside or b"\r" in data:
            return self._feed_any_newline(data)
        return self._feed_lf(data)

    def eof(self) -> list[Event]:
        """Return the event that the end of the body leaves open, if there is one."""
        rest, self._rest = self._rest, b""
        events: list[Event] = []
        for line in rest.split(b"\n"):
            self._line(line, events)
        self._line(b"", events)
        return events

    def _feed_lf(self, data: bytes) -> list[Event]:
        """Return the events before the last blank line; the rest waits for its own."""
        end = data.rfind(b"\n\n")
        if end < 0:
            self._rest = data
            return []
        self._rest = data[end + 2 :]
        if data.startswith(_DATA):
            # Nearly all streams are nothing but single `data: ` lines: one split finds them all,
            # if there are no other newlines than those between them.
            payloads = data[len(_DATA) : end].split(_BETWEEN)
            if data.count(b"\n", 0, end) == 2 * len(payloads) - 2:
                return [("", payload) for payload in payloads if payload]
        events: list[Event] = []
        for line in data[: end + 1].split(b"\n"):
            self._line(line, events)
        return events

    def _feed_any_newline(self, data: bytes) -> list[Event]:
        """Take whole lines, whatever ends them: CRLF, LF or a lone CR."""
        self._skip_lf = data.endswith(b"\r")
        *lines, self._rest = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        events: list[Event] = []
        for line in lines:
            self._line(line, events)
        return events

    def _line(self, line: bytes, events: list[Event]) -> None:
        if not line:
            self._dispatch(events)
            return
        self._inside = True
        name, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._type = value.decode("utf-8", "replace")
        elif name == b"error":
            # llama.cpp before September 2025 sent `error: {...}`, a field of its own.
            self._type, self._data = "error", [*self._data, value]

    def _dispatch(self, events: list[Event]) -> None:
        data = b"\n".join(self._data)
        if data:
            events.append((self._type, data))
        self._type, self._data, self._inside = "", [], False
