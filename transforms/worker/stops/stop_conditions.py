"""When a stream may be left before its end. No Beam."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ritellm.answers.faults import Fault
from ritellm.errors import ABOUT_VALUES
from ritellm.structured.chunks import ChunkElements
from ritellm.structured.paths import parse_path
from ritellm.types import Chunk

# The finish reason of an answer that was left because it had enough records, or by a reader.
STOPPED = "stopped"
# Why a stream was left that had enough records.
ENOUGH = Fault("$", STOPPED, "the stream had enough records")
# Why a stream was left that a reader has stopped. The journal has this text.
BY_READER = Fault("$", STOPPED, "a reader has stopped the stream")


@dataclass(frozen=True)
class StopWhen:
    """Leave each stream once `count` parts of its JSON that `path` names have closed.

    Raises ValueError for a path that is not followed, and for a count that is not positive.
    """

    path: str
    count: int

    def __post_init__(self) -> None:
        parse_path(self.path)
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 1:
            raise ValueError(f"count must be a whole number from 1, got {self.count!r}")

    @property
    def key(self) -> dict[str, Any]:
        """What makes another answer of it: part of a completion's key in the journal."""
        return {"path": self.path, "count": self.count}


class RecordCount:
    """Counts the records in the chunks of one stream; another attempt counts anew."""

    def __init__(self, wanted: StopWhen) -> None:
        self._path, self._wanted = parse_path(wanted.path), wanted.count
        self._elements = ChunkElements(self._path)
        self._has_fault = False  # the rest of the attempt does not count

    def is_enough(self, chunks: Iterable[Chunk]) -> bool:
        """Return whether the stream has enough records after `chunks`."""
        for chunk in chunks:
            if chunk.attempt != self._elements.attempt:
                self._elements = ChunkElements(self._path, attempt=chunk.attempt)
                self._has_fault = False
            if self._has_fault:
                continue
            try:
                self._elements.elements(chunk)
            except ABOUT_VALUES:
                self._has_fault = True
            if self._elements.count >= self._wanted:
                return True
        return False
