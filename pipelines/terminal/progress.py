"""The progress line of a job that runs in this process."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple, TextIO

from pipelines.terminal.brakes import in_words, tightest_first
from ritellm.rate_limits.gate import Gate
from transforms.metrics import TALLY, Tally

# A line of fewer columns has shorter texts.
_ROOMY = 100


class ProgressLine:
    """Shows rows done, tokens, tokens/s and time left, until its `with` block ends.

    A terminal shows one line that is redrawn; other outputs get a line every `plain_every` seconds.
    `total` is the number of rows, or None if it is unknown.
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
            self._write("\n")

    def text(self, width: int | None = None) -> str:
        """Return the current line, without its least important parts if `width` is too small."""
        seconds = max(self._clock() - self._started, 1e-9)
        done = self._tally.completions + self._tally.dead_letters - self._done_before
        rows = f"{done:,} of {self._total:,} rows" if self._total else f"{done:,} rows"
        failed = f", {self._tally.dead_letters:,} failed" if self._tally.dead_letters else ""
        parts = [_Part(rows + failed, 9), *self._tokens(seconds), *self._state(width)]
        if self._total and 0 < done < self._total:
            left = seconds / done * (self._total - done)
            parts.append(_Part(f"{duration(left)} left", 7))
        return _fitted(_bar(done, self._total), parts, width)

    def _tokens(self, seconds: float) -> list[_Part]:
        """Return the tokens so far and their rate, or that the server sends no counts."""
        tokens = self._tally.completion_tokens - self._tokens_before
        if not tokens and self._tally.uncounted > self._uncounted_before:
            return [_Part("the server sends no token counts", 2)]
        rate = tokens / seconds
        shown = f"{rate:,.{0 if rate >= 10 else 1}f} tokens/s"
        return [_Part(f"{tokens:,} tokens", 2), _Part(shown, 4)]

    def _state(self, width: int | None) -> list[_Part]:
        """Return the spending, the requests in flight, the retries, and what holds the job back."""
        gates = list(self._tally.gates)
        in_flight = sum(gate.in_flight for gate in gates)
        spent = self._tally.cost_usd - self._spent_before
        state = [_Part(f"${spent:,.4f}", 3)] if spent else []
        if in_flight:
            state.append(_Part(f"{in_flight:,} in flight", 5))
        if self._tally.retries:
            state.append(_Part(f"{self._tally.retries:,} retries", 0))
        return state + self._held_back(gates, briefly=width is not None and width < _ROOMY)

    def _held_back(self, gates: Iterable[Gate], briefly: bool) -> list[_Part]:
        """Return what holds the job back, the tightest first."""
        brakes = tightest_first(brake for gate in gates for brake in gate.brakes)
        words = [in_words(brake, briefly) for brake in brakes]
        parts = [_Part(text, 1 if number else 8) for number, text in enumerate(words)]
        waiting = sum(len(ledger.waiting) for ledger in list(self._tally.ledgers))
        return parts + ([_Part(f"{waiting:,} wait for the budget", 6)] if waiting else [])

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self._draw()

    def _draw(self) -> None:
        if self._redraw:
            width = shutil.get_terminal_size().columns - 1
            self._write("\r\x1b[K" + self.text(width)[:width])
        else:
            self._write(self.text() + "\n")

    def _write(self, text: str) -> None:
        # The job continues if the reader of stderr has left.
        with suppress(OSError):
            self._out.write(text)
            self._out.flush()


class _Part(NamedTuple):
    """A part of the line; the parts of least weight are dropped first."""

    text: str
    weight: int


def _fitted(bar: str, parts: list[_Part], width: int | None) -> str:
    """Return as many parts as fit, in order; the bar is dropped after the parts of weight 1."""
    by_weight = sorted(parts, key=lambda part: part.weight)
    while True:
        line = bar + " · ".join(part.text for part in parts)
        if width is None or len(line) <= width or len(parts) == 1:
            return line
        if bar and by_weight[0].weight > 1:
            bar = ""
            continue
        parts = [part for part in parts if part is not by_weight[0]]
        by_weight = by_weight[1:]


def duration(seconds: float) -> str:
    """Return seconds in a readable form: 12 s, 3:05, 2:10:00."""
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
