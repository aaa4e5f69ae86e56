"""A prompt whose rows are awaited in a stream: until they are whole, or until it goes silent.

    (none) --the last row that was missing--> JUDGED: the answer is out
       '------------ silence timer ---------> JUDGED: a dead letter is out

The rows are deltas, or records. What holds: each prompt has one outcome per window. A timer never
moves back. The rows are read only when they may be whole, so the cost of a row does not grow with
their number. The coders of the state are part of a running job: an update keeps the state only if
they stay the same.
"""

from __future__ import annotations

from typing import Any

import orjson
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Timestamp

from transforms.elements import Delta, Record

# The progress of a prompt: no value, then its outcome is out.
_JUDGED = 2


class Awaited:
    """The state of a prompt, in the turn of one row or of the timer `silence`.

    `rows` is the bag of its rows, and `missing` how many rows each text lacks whose final row is
    there, as JSON by rank. `newest` is the newest timestamp in microseconds: rows may arrive out of
    order. In the global window the state would stay forever, so the timer clears it.
    """

    def __init__(
        self,
        wait_seconds: float,
        window: Any,
        rows: Any,
        progress: Any,
        missing: Any,
        newest: Any,
        silence: Any,
    ) -> None:
        self._wait, self._window = wait_seconds, window
        self._rows, self._progress, self._missing = rows, progress, missing
        self._newest, self._silence = newest, silence
        self._is_endless = isinstance(window, GlobalWindow)

    @property
    def is_judged(self) -> bool:
        """Whether the outcome is out."""
        return bool(self._progress.read() == _JUDGED)

    def add(self, row: Delta | Record, timestamp: Timestamp, lateness: Any) -> bool:
        """Keep `row`; return whether the rows may be whole now.

        A newer row starts the wait again, but the window and its `lateness` end it.
        """
        self._rows.add(row)
        newest = self._later(timestamp)
        self._silence.set(min(newest + self._wait, self._window.max_timestamp() + lateness))
        counts = self._counts()
        left = counts.get(_rank(row))
        if left is None:
            return row.final
        self._missing.write(orjson.dumps({**counts, _rank(row): left - 1}).decode())
        return left <= 1

    def note_missing(self, row: Delta | Record, count: int) -> None:
        """Note that the text of `row` lacks `count` rows: repeated ones were counted before."""
        self._missing.write(orjson.dumps({**self._counts(), _rank(row): count}).decode())

    def judge(self, timestamp: Timestamp) -> None:
        """Remember that the whole answer is out, to drop late repeats."""
        self._judge()
        if self._is_endless:
            self._silence.set(self._later(timestamp) + 2 * self._wait)

    def give_up(self, timestamp: Timestamp) -> None:
        """Remember that the dead letter of a silent prompt is out."""
        self._judge()
        if self._is_endless:
            self._silence.set(timestamp + self._wait)

    def forget(self) -> None:
        """Clear the state of a prompt whose outcome is out, if its window does not."""
        if self._is_endless:
            self._progress.clear()
            self._newest.clear()

    def _judge(self) -> None:
        self._rows.clear()
        self._missing.clear()
        self._progress.write(_JUDGED)

    def _later(self, timestamp: Timestamp) -> Timestamp:
        """Return the later of `timestamp` and the newest one, and keep it."""
        known = self._newest.read()
        if known is not None and known >= timestamp.micros:
            return Timestamp(micros=known)
        self._newest.write(timestamp.micros)
        return timestamp

    def _counts(self) -> dict[str, int]:
        known: dict[str, int] = orjson.loads(self._missing.read() or "{}")
        return known


def _rank(row: Delta | Record) -> str:
    return f"{row.submission} {row.attempt}"
