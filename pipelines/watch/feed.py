"""What all viewers of a live page get, made a few times per second, and only while one watches.

Each kind of update has a version. A viewer waits for the next tick, and takes the newest version of
what it has not seen: a slow one skips those between.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from pipelines.pages.data import Json
from pipelines.watch.numbers import Numbers
from pipelines.watch.streams import Known, Streams

_SECONDS_BETWEEN_LOOKS = 0.2
_SECONDS_BETWEEN_NUMBERS = 1.0
_SECONDS_BETWEEN_ROWS = 5.0


class Viewer:
    """What one viewer has seen."""

    def __init__(self) -> None:
        self.tick = 0
        self.numbers = 0
        self.rows = 0
        self.streams: dict[int, Known] = {}


class Feed:
    """Makes the updates of a job, in a thread that runs until the `with` block ends.

    `more` is called before numbers are made, to find new outcomes; it returns the state of the job
    for the page.
    """

    def __init__(
        self,
        numbers: Numbers,
        streams: Streams | None,
        state: Callable[[], Mapping[str, Any]],
        seconds: float = _SECONDS_BETWEEN_LOOKS,
    ) -> None:
        self._numbers = numbers
        self._streams = streams
        self._state = state
        self._seconds = seconds
        self._viewers = 0
        self._tick = 0
        self._made = {"numbers": (0, b""), "rows": (0, b"")}
        self._due = {"numbers": 0.0, "rows": 0.0}
        self.ended = False
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Make the last updates, and tell the viewers that the job has ended."""
        self._stop.set()
        self._thread.join()
        self._due = {"numbers": 0.0, "rows": 0.0}
        self.ended = True
        self.make()

    def data(self) -> Json:
        """Return all data of the page."""
        self._numbers.settle()
        return {**self._numbers.numbers(self._state()), **self._numbers.rows()}

    def joined(self, viewer: int) -> None:
        """Count a viewer that has come (1) or left (-1)."""
        with self._changed:
            self._viewers += viewer
            self._changed.notify_all()

    def wait_until_left(self, seconds: float) -> None:
        """Wait until no viewer is left, but no longer than this."""
        with self._changed:
            self._changed.wait_for(lambda: not self._viewers, seconds)

    def next(self, viewer: Viewer, wait: float) -> bytes | None:
        """Return the next events for `viewer`, b"" after `wait` seconds, None after the last."""
        with self._changed:
            if self.ended and viewer.tick == self._tick:
                return None
            self._changed.wait_for(lambda: self._tick != viewer.tick or self.ended, wait)
            viewer.tick = self._tick
            numbers, rows, ended = self._made["numbers"], self._made["rows"], self.ended
        events = []
        if numbers[0] != viewer.numbers:
            viewer.numbers = numbers[0]
            events.append(_event("numbers", numbers[1]))
        if rows[0] != viewer.rows:
            viewer.rows = rows[0]
            events.append(_event("rows", rows[1]))
        if self._streams is not None and (update := self._streams.since(viewer.streams)):
            events.append(_event("streams", orjson.dumps(update)))
        if ended:
            events.append(_event("end", b"{}"))
        return b"".join(events)

    def make(self) -> None:
        """Make the updates that are due, for the viewers that there are."""
        self._numbers.settle()
        if not self._viewers:
            return
        if self._streams is not None:
            self._streams.look()
        now = time.monotonic()
        made = dict(self._made)
        if now >= self._due["numbers"]:
            self._due["numbers"] = now + _SECONDS_BETWEEN_NUMBERS
            data = orjson.dumps(self._numbers.numbers(self._state()))
            made["numbers"] = made["numbers"][0] + 1, data
        if now >= self._due["rows"]:
            self._due["rows"] = now + _SECONDS_BETWEEN_ROWS
            made["rows"] = made["rows"][0] + 1, orjson.dumps(self._numbers.rows())
        with self._changed:
            self._made = made
            self._tick += 1
            self._changed.notify_all()

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            self.make()


def _event(name: str, data: bytes) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
