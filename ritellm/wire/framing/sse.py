"""Server-sent events: bytes in, events out. No I/O and no clock.

WHATWG HTML, section 9.2.6. Two deviations, both for clients of language models: an event without
data is dropped, also when its only `data:` line is empty, and a last event without its closing
blank line is handed out by `eof()` (servers forget it after `[DONE]`).
"""

from __future__ import annotations

from ritellm.wire.base import Event

_BOM = b"\xef\xbb\xbf"
_DATA = b"data: "
_OVER = b"\n\n"  # what an event ends with
_BETWEEN = b"\n\ndata: "


class SSE:
    """Frames a byte stream into events, wherever the bytes are cut."""

    __slots__ = ("_bom_pending", "_rest", "_skip_lf")

    def __init__(self) -> None:
        self._rest = b""
        self._skip_lf = False  # the last byte was a CR: a LF that follows belongs to it
        self._bom_pending = True

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that `data` completes."""
        return events_of(self.block(data))

    def block(self, data: bytes) -> bytes:
        """Return the bytes of the events that `data` completes, for `events_of`.

        Every line in them ends in LF, whatever ended it, and the last one is blank.
        """
        if self._skip_lf and data:
            self._skip_lf = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            self._skip_lf = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if self._rest:
            data = self._rest + data
        if self._bom_pending:
            if len(data) < 3 and _BOM.startswith(data):
                self._rest = data
                return b""
            self._bom_pending = False
            data = data.removeprefix(_BOM)
        if data.endswith(b"\n\n"):
            self._rest = b""
            return data
        end = data.rfind(b"\n\n") + 2
        if end == 1:
            self._rest = data
            return b""
        self._rest = data[end:]
        return data[:end]

    def eof(self) -> list[Event]:
        """Return the event that the end of the body leaves open, if there is one."""
        rest, self._rest = self._rest, b""
        return events_of(rest + b"\n\n")


def end_of_event(block: bytes, at: int) -> int:
    """Return where the event ends that begins at `at` in a block of whole lines."""
    return block.index(_OVER, at) + len(_OVER)


def events_of(block: bytes) -> list[Event]:
    """Return the events in a block of whole lines."""
    if block.startswith(_DATA):
        # Nearly all streams are nothing but single `data: ` lines: one split finds them all,
        # if there are no other newlines than those between them.
        payloads = block[len(_DATA) : -2].split(_BETWEEN)
        if block.count(b"\n") == 2 * len(payloads):
            return [("", payload) for payload in payloads if payload]
    events: list[Event] = []
    kind, data = "", list[bytes]()
    for line in block.split(b"\n"):
        if not line:
            if payload := b"\n".join(data):
                events.append((kind, payload))
            kind, data = "", []
            continue
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"event":
            kind = value.decode("utf-8", "replace")
        elif name == b"error":
            # llama.cpp before September 2025 sent `error: {...}`, a field of its own.
            kind, data = "error", [*data, value]
    return events
