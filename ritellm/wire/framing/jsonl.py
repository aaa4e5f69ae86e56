"""JSON lines: bytes in, one event for each line out. No I/O and no clock.

An indented document, as which some servers write an error, is one event.
"""

from __future__ import annotations

from ritellm.wire.base import Event
from ritellm.wire.framing.document import Document, opens
from ritellm.wire.framing.rest import Rest

_WHOLE = (b"}", b"]")


class JSONLines:
    """Splits a byte stream into lines, wherever the bytes are cut; blank lines are skipped."""

    __slots__ = ("_document", "_rest")

    def __init__(self) -> None:
        self._rest = Rest("a line")  # unfinished
        self._document: Document | None = None  # unfinished, of many lines

    def feed(self, data: bytes) -> list[Event]:
        """Return the lines that `data` completes; raises if a line is too large."""
        end = data.rfind(b"\n")  # the rest has no line end, so only new bytes are searched
        if end < 0:
            self._rest.add(data)
            return []
        lines = (self._rest.take() + data[:end]).split(b"\n")
        self._rest.add(data[end + 1 :])
        events = [("", line) for line in map(bytes.strip, lines) if line]
        # Nearly all lines are whole documents, and their last byte tells.
        if self._document is None and all(line.endswith(_WHOLE) for _, line in events):
            return events
        return self._joined(events)

    def eof(self) -> list[Event]:
        """Return the last line, if it has no line end, or the unfinished document."""
        events = self.feed(b"\n")
        if (document := self._document) is not None:
            self._document = None
            events.append(("", document.data))
        return events

    def _joined(self, lines: list[Event]) -> list[Event]:
        """Return `lines`, with those of one document as one event."""
        events: list[Event] = []
        for kind, line in lines:
            document = self._document
            if document is not None and not document.takes(line):
                events.append((kind, document.data))
                document = self._document = None
            if document is None:
                if not opens(line):
                    events.append((kind, line))
                    continue
                document = self._document = Document(line)
            elif document.is_whole:
                events.append((kind, document.data))
                self._document = None
        return events
