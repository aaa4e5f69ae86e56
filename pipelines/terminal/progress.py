"""A line that says how far the job is, while it runs in this process."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

from transforms.metrics import TALLY, Tally


class ProgressLine:
    """Shows rows done, tokens, tokens/s and time left, until its `with` block ends.

    On a terminal one line that is redrawn; elsewhere a plain line every `plain_every` seconds.
    `total` is the number of rows, or None if nobody knows.
    """

    def __init__(
        self,
        total: int | None,
        out: TextIO = sys.stderr,
        tally: Tally = TALLY,
        clock: Callable[[], float] = time.monotonic,
        plain_every: float = 10.0,
    ) -> None:
        self._total = total
        self._out = out
        self._tally = tally
        self._clock = clock
        self._redraw = out.isatty()
        self._every = 0.2 if self._redraw else plain_every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        self._done_before = tally.completions + tally.dead_letters
        self._tokens_before = tally.completion_tokens
        self._uncounted_before = tally.uncounted
        self._spent_before = tally.cost_usd

    def __enter__(self) -> ProgressLine:
        self._started = self._clock()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._redraw:
            self._draw()
            self._out.write("\n")
            self._out.flush()

    def text(self) -> str:
        """Return the line as it stands."""
        seconds = max(self._clock() - self._started, 1e-9)
        done = self._tally.completions + self._tally.dead_letters - self._done_before
        rows = f"{done:,} of {self._total:,} rows" if self._total else f"{done:,} rows"
        failed = f", {self._tally.dead_letters:,} failed" if self._tally.dead_letters else ""
        parts = [rows + failed, *self._tokens(seconds), *self._state()]
        if self._total and 0 < done < self._total:
            parts.append(f"{duration(seconds / done * (self._total - done))} left")
        return _bar(done, self._total) + " · ".join(parts)

    def _tokens(self, seconds: float) -> list[str]:
        """Return what was written so far, and how fast; or that the server does not count."""
        tokens = self._tally.completion_tokens - self._tokens_before
        if not tokens and self._tally.uncounted > self._uncounted_before:
            return ["the server sends no token counts"]
        rate = tokens / seconds
        return [f"{tokens:,} tokens", f"{rate:,.{0 if rate >= 10 else 1}f} tokens/s"]

    def _state(self) -> list[str]:
        """Return what is under way, and what keeps it from going faster."""
        gates = list(self._tally.gates)
        in_flight = sum(gate.in_flight for gate in gates)
        throttled = sum(gate.throttled for gate in gates)
        allowed = sum(gate.allowed for gate in gates)
        state = [f"${spent:,.4f}"] if (spent := self._tally.cost_usd - self._spent_before) else []
        if in_flight:
            state.append(f"{in_flight:,} in flight")
        if self._tally.retries:
            state.append(f"{self._tally.retries:,} retries")
        if throttled:
            state.append(f"throttled {throttled:,} times, {allowed:,} allowed")
        return state

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self._draw()

    def _draw(self) -> None:
        line = self.text()
        if self._redraw:
            width = shutil.get_terminal_size().columns
            self._out.write("\r\x1b[K" + line[: width - 1])
        else:
            self._out.write(line + "\n")
        self._out.flush()


def duration(seconds: float) -> str:
    """Return seconds as a person would say them: 12 s, 3:05, 2:10:00."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _bar(done: int, total: int | None) -> str:
    if not total:
        return ""
    filled = round(20 * min(1.0, done / total))
    return "█" * filled + "░" * (20 - filled) + " "
