"""Server-sent events: bytes in, events out. No I/O and no clock.

The problem: bytes arrive cut at any place, lines may end in CR, LF or CRLF, and each chunk of a
completion is one event, so the cost of an event is a cost of every chunk.

The idea: `block` returns the bytes up to the last blank line, with all line ends turned into LF,
and keeps the rest for the next call. `events_of` splits such a block. Nearly all blocks consist of
single `data: ` lines, or of pairs of `event: ` and `data: `, which `bytes.split` separates. Other
blocks are read line by line.
An event that arrives in many pieces costs time that grows with its size: only new bytes are
searched for its end.

The invariants:
- The events do not depend on where the bytes are cut.
- A block consists of whole events: each line ends in LF and the last line is blank.

The format is that of WHATWG HTML, section 9.2.6, with some deviations that model servers need. An
event without data is dropped, also if its only `data:` line is empty. `eof()` returns a last event
that lacks its closing blank line, which some servers omit after `[DONE]`. JSON in lines of its own,
without `data:`, becomes an event of the type `BARE`: servers and proxies send errors like that. A
JSON document whose first line alone has `data:` is taken whole. A byte order mark may be before any
line.
Events of the types in `_IDLE` are dropped.
"""

from __future__ import annotations

from ritellm.wire import limits
from ritellm.wire.base import Event
from ritellm.wire.framing.document import MAX_DOCUMENT_BYTES, depth_of

_BOM = b"\xef\xbb\xbf"
_DATA = b"data: "
_OVER = b"\n\n"  # the end of an event
_BETWEEN = b"\n\ndata: "
_EVENT = b"event: "
_NAMED = b"\ndata: "
BARE = "bare"  # the type of an event that is JSON without a field name
_BARE_BEGINS = (b"{", b"[")
_FIELDS = (b"", b"id", b"retry")  # a comment, and fields without a meaning here
_IDLE = frozenset({"heartbeat", "keep-alive", "keepalive", "ping"})
_MOST_LINES = 1000  # of an error that only its first line marks as data
# An unfinished event of more bytes is not joined with each piece that arrives.
_LARGE = 8 * limits.KIB


class SSE:
    """Splits a byte stream into events, wherever the bytes are cut."""

    __slots__ = ("_bom_pending", "_rest", "_skip_lf")

    def __init__(self) -> None:
        self._rest: bytes | bytearray = b""  # an unfinished event; a bytearray if it is large
        self._skip_lf = False  # the last byte was a CR, so a LF that follows belongs to it
        self._bom_pending = True  # the body may still begin with a byte order mark

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that `data` completes."""
        return events_of(self.block(data))

    def block(self, data: bytes) -> bytes:
        """Return the bytes of the events that `data` completes, for `events_of`.

        Every line in them ends in LF, and the last line is blank. Raises if an event is too large.
        """
        if self._skip_lf and data:
            self._skip_lf = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            self._skip_lf = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        rest = self._rest
        if rest:
            if len(rest) > _LARGE:
                return self._block_of_large(data)
            data = rest + data  # type: ignore[assignment]  # a bytearray is always large
        if self._bom_pending:
            # Fewer than three bytes may be the beginning of the mark: wait for more.
            if len(data) < 3 and _BOM.startswith(data):
                self._rest = data
                return b""
            self._bom_pending = False
            data = data.removeprefix(_BOM)
        # Servers usually send whole events, so this saves a search and two copies.
        if data.endswith(_OVER):
            self._rest = b""
            return data
        end = data.rfind(_OVER) + 2
        if end == 1:
            self._rest = data
            return b""
        self._rest = data[end:]
        return data[:end]

    def _block_of_large(self, data: bytes) -> bytes:
        """Return the block that `data` completes after a large beginning: without joining it."""
        rest = self._rest
        if isinstance(rest, bytes):
            rest = self._rest = bytearray(rest)
        end = data.rfind(_OVER) + 2
        if end == 1 and not (data.startswith(b"\n") and rest.endswith(b"\n")):
            rest += data
            if len(rest) > limits.MAX_EVENT_BYTES:
                self._rest = b""
                raise limits.exceeded("an event", limits.MAX_EVENT_BYTES)
            return b""
        rest += data[:end]
        self._rest = data[end:]
        return bytes(rest)

    def eof(self) -> list[Event]:
        """Return the unfinished event at the end of the body, if there is one."""
        rest, self._rest = bytes(self._rest), b""
        return events_of(rest + _OVER)


def end_of_event(block: bytes, at: int) -> int:
    """Return the end of the event that begins at `at` in a block; a blank line may be left."""
    end = block.find(_OVER, at)
    return len(block) if end < 0 else end + len(_OVER)


def events_of(block: bytes) -> list[Event]:
    """Return the events in a block."""
    if block.startswith(_DATA):
        # The short way: one split finds all events, provided that the block has no line ends other
        # than the two after each event.
        payloads = block[len(_DATA) : -2].split(_BETWEEN)
        if block.count(b"\n") == 2 * len(payloads):
            return [("", payload) for payload in payloads if payload]
    elif block.startswith(_EVENT) and (named := _named_events(block)) is not None:
        return named
    # The long way: line by line, as the standard describes it.
    events: list[Event] = []
    kind = ""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        if not line:
            if data:
                _end(events, kind, data)
                data = []
            kind = ""
            continue
        if line.startswith(_BOM) and line != _BOM:
            line = line.removeprefix(_BOM)
        name, _, value = line.partition(b":")
        if name == b"data":
            if kind == BARE:
                _end(events, kind, data)
                kind, data = "", []
            data.append(value.removeprefix(b" "))
        elif name == b"event":
            kind = value.removeprefix(b" ").decode("utf-8", "replace")
        elif name == b"error":
            # llama.cpp before September 2025 sent `error: {...}`, a field of its own.
            if kind == BARE:
                _end(events, kind, data)
                data = []
            kind = "error"
            data.append(value.removeprefix(b" "))
        elif data and (kind == BARE or (name not in _FIELDS and _is_open(data))):
            data.append(line)
        elif line.startswith(_BARE_BEGINS):
            _end(events, kind, data)
            kind, data = BARE, [line]
    return events


def _is_open(data: list[bytes]) -> bool:
    """Return whether `data` is the beginning of a JSON document, of a size that errors have."""
    if not data[0].startswith(_BARE_BEGINS) or len(data) > _MOST_LINES:
        return False
    return sum(map(len, data)) <= MAX_DOCUMENT_BYTES and sum(map(depth_of, data)) > 0


def _named_events(block: bytes) -> list[Event] | None:
    """Return the events of a block in which each has a name and one line of data; else None."""
    parts = block[:-2].split(_OVER)
    # Each part has the line end in `_NAMED`, so none has another one if the sum is this.
    if block.count(b"\n") != 3 * len(parts):
        return None
    events: list[Event] = []
    last, kind = b"", ""
    for part in parts:
        name, between, payload = part.partition(_NAMED)
        if name != last:  # nearly all events of a stream have one name
            last, kind = name, name[len(_EVENT) :].decode("utf-8", "replace")
            if not name.startswith(_EVENT) or kind == BARE:
                return None
        if not between:
            return None
        if payload and kind not in _IDLE:
            events.append((kind, payload))
    return events


def _end(events: list[Event], kind: str, data: list[bytes]) -> None:
    payload = data[0] if len(data) == 1 else b"\n".join(data)
    if payload and kind not in _IDLE:
        events.append((kind, payload))
