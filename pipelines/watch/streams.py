"""The growing texts of the prompts in flight, in a fixed number of slots.

The problem: a thousand streams grow at once, some viewers are slow, and the job must not notice.

The idea: the job's streams keep the sum of what they received. A look copies what is new since the
last look, into the slot of the stream, which keeps the end of the text only. A viewer says what it
has; it gets the difference, or the whole slot if it missed too much. So a slow viewer gets fewer
and larger updates, and what is kept for all of them does not grow.

Invariants:
- A slot keeps at most `_MOST_TEXT` characters, and there are at most `slots` of them.
- `total` counts the characters of a stream so far, so `total - len(text)` were dropped.
- A stream keeps its slot to its end, and its last text stands there until another one takes it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import orjson

from pipelines.pages.data import printable
from ritellm.errors import ABOUT_VALUES
from transforms.elements import Prompt
from transforms.worker.capacity import in_flight

SLOTS = 1_000
_MOST_TEXT = 2_000
_MOST_LABEL = 120
# The fields of a delta that are shown. Models think before they answer.
_FIELDS = ("reasoning_content", "content")

# What a viewer has of a slot: the number of the stream, its total, and whether it has ended.
Known = tuple[int, int, bool]


class Slot:
    """The end of the text of one stream."""

    __slots__ = ("attempts", "ended", "label", "number", "seen", "text", "total")

    def __init__(self, number: int, label: str) -> None:
        self.number = number
        self.label = label
        self.text = ""
        self.total = 0
        self.attempts = 1
        self.seen = dict.fromkeys(_FIELDS, 0)
        self.ended = False

    @property
    def state(self) -> Known:
        """What a viewer has after it got all of this slot."""
        return self.number, self.total, self.ended

    def look(self, run: in_flight.Run) -> None:
        """Copy what the stream of `run` has gained."""
        stream = run.newest
        if stream is None:
            return
        if stream.attempts > self.attempts:  # the text begins anew
            self.attempts = stream.attempts
            self.seen = dict.fromkeys(_FIELDS, 0)
            self._add("\n[another attempt]\n")
        for field in _FIELDS:
            pieces = stream.pieces(field, self.seen[field])
            if pieces:
                self.seen[field] += len(pieces)
                self._add("".join(piece for piece in pieces if isinstance(piece, str)))

    def _add(self, text: str) -> None:
        shown = printable(text[-_MOST_TEXT:])
        self.total += len(shown)
        self.text = (self.text + shown)[-_MOST_TEXT:]

    def since(self, known: Known | None) -> list[Any] | None:
        """Return what a viewer lacks that has `known`: [text, label if it is new, ended]; or None.

        A label says that the text replaces what the slot showed.
        """
        if known == self.state:
            return None
        missing = self.total - known[1] if known and known[0] == self.number else None
        if missing is None or missing > len(self.text):
            return [self.text, self.label, self.ended]
        return [self.text[len(self.text) - missing :], None, self.ended]


class Streams:
    """The slots. Usable from any thread."""

    def __init__(self, slots: int = SLOTS) -> None:
        self._most = slots
        self._slots: list[Slot] = []
        # The streams in flight that have a slot, by their numbers.
        self._shown: dict[int, tuple[Slot, in_flight.Run]] = {}
        self._lock = threading.Lock()

    def look(self) -> None:
        """Copy what the streams have gained, and give slots to new ones."""
        runs = in_flight.runs()
        with self._lock:
            for number in self._shown.keys() - runs.keys():
                slot, run = self._shown.pop(number)
                slot.look(run)  # what came since the last look
                slot.ended = True
            free = iter([place for place, slot in enumerate(self._slots) if slot.ended])
            for number, run in runs.items():
                if number not in self._shown:
                    place = self._place(free)
                    if place is None:
                        continue
                    slot = self._slots[place] = Slot(number, _label(run.request.prompt))
                    self._shown[number] = slot, run
                self._shown[number][0].look(run)

    def _place(self, free: Iterator[int]) -> int | None:
        """Return a place for a new stream, None if there is none."""
        place = next(free, None)
        if place is None and len(self._slots) < self._most:
            self._slots.append(Slot(-1, ""))
            return len(self._slots) - 1
        return place

    def since(self, known: dict[int, Known]) -> dict[str, list[Any]]:
        """Return what a viewer lacks by place, and note in `known` that it has it."""
        found = {}
        with self._lock:
            for place, slot in enumerate(self._slots):
                lacking = slot.since(known.get(place))
                if lacking is not None:
                    found[str(place)] = lacking
                    known[place] = slot.state
        return found


def _label(prompt: Prompt) -> str:
    """Return the beginning of the last message, or the id."""
    try:
        content = orjson.loads(prompt.request)["messages"][-1]["content"]
    except ABOUT_VALUES:
        content = None
    text = content if isinstance(content, str) else prompt.id
    return str(printable(" ".join(text[: 4 * _MOST_LABEL].split())[:_MOST_LABEL]))
