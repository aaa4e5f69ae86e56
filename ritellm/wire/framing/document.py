"""Collects a JSON document that stands in a stream in many lines. No I/O and no clock.

The problem: a server or a proxy may write an error into a stream as a document of its own, and may
indent it. Each of its lines alone is not JSON.

The idea: JSON has no line breaks inside texts, so brackets outside of texts can be counted line by
line. The document ends where all are closed. A line that breaks where JSON has no break is not the
beginning of a document: it is a damaged line.

The invariant: the cost is linear, and no more than `MAX_DOCUMENT_BYTES` are held.
"""

from __future__ import annotations

import re

from ritellm.wire import limits

# Errors have far fewer bytes.
MAX_DOCUMENT_BYTES = 64 * limits.KIB
# A text, whole or cut off by the end of the line.
_TEXTS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_BREAK_AFTER = (b"{", b"[", b",", b":")
_BREAK_BEFORE = (b"}", b"]", b",")


class Document:
    """The lines of one document, or of something that only begins like one."""

    def __init__(self, line: bytes) -> None:
        self._lines = [line]
        self._bytes = len(line)
        self._depth = depth_of(line)

    @property
    def is_whole(self) -> bool:
        """Whether all brackets are closed."""
        return self._depth <= 0

    @property
    def data(self) -> bytes:
        """The lines so far."""
        return b"\n".join(self._lines)

    def takes(self, line: bytes) -> bool:
        """Append `line` if it continues the document; return whether it does."""
        breaks = self._lines[-1].endswith(_BREAK_AFTER) or line.startswith(_BREAK_BEFORE)
        self._bytes += len(line)
        if self.is_whole or not breaks or self._bytes > MAX_DOCUMENT_BYTES:
            return False
        self._lines.append(line)
        self._depth += depth_of(line)
        return True


def depth_of(line: bytes) -> int:
    """Return how many more brackets `line` opens than it closes, outside of texts."""
    bare = _TEXTS.sub(b"", line)
    opened = sum(map(bare.count, (b"{", b"[")))
    return opened - sum(map(bare.count, (b"}", b"]")))


def opens(line: bytes) -> bool:
    """Return whether `line` begins a document that goes on in the next line."""
    return line.startswith((b"{", b"[")) and depth_of(line) > 0
