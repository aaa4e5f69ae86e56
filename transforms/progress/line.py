"""The progress line of a job that runs in this process."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple, TextIO

from ritellm.rate_limits.gate import Gate
from transforms.metrics import TALLY, Tally
from transforms.progress.brakes import in_words, tightest_first

# A line of fewer columns has shorter texts.
_ROOMY = 100


class ProgressLine:
    """Shows rows done, tokens, tokens/s and time left, until its `with` block ends.

    A terminal or a notebook shows one line that is redrawn; other outputs get a line every
    `plain_every` seconds.
    `total` is the number of rows, or None if it is unknown. The time left follows from the rows
    that this run sends: those that the journal has took no time, and fail or complete at once.
    """

    def __init__(
        self,
        total: int | None,
        out: TextIO | None = None,
        tally: Tally = TALLY,
        clock: Callable[[], float] = time.monotonic,
        plain_every: float = 30.0,
    ) -> None:
        self._total = total
        self._out = out = sys.stderr if out is None else out
        self._tally = tally
        self._clock = clock
        self._is_notebook = type(out).__module__.startswith("ipykernel.")
        self._redraw = self._is_notebook or out.isatty()
        self._drawn = 0  # the length of the line
        self.seconds_between = 0.2 if self._redraw else plain_every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        self._before = _Totals.of(tally)
        self._started = self._sending_since = 0.0

    def __enter__(self) -> ProgressLine:
        self._started = self._sending_since = self._clock()
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
        now, so_far = self._clock(), _Totals.of(self._tally) - self._before
        if not so_far.sent:
            self._sending_since = now
        seconds = max(now - self._sending_since, 1e-9)
        parts = [_Part(self._rows(so_far), 10)]
        if so_far.replayed:
            parts.append(_Part(f"{so_far.replayed:,} from the journal", 6))
        parts += self._tokens(so_far, max(now - self._started, 1e-9))
        parts += self._state(so_far, width)
        if self._total and so_far.sent and so_far.done < self._total:
            left = seconds / so_far.sent * (self._total - so_far.done)
            parts.append(_Part(f"{duration(left)} left", 9))  # what a narrow terminal shows first
        return _fitted(_bar(so_far.done, self._total), parts, width)

    def _rows(self, so_far: _Totals) -> str:
        """Return how many rows are done, and how many of them failed."""
        done = so_far.done
        rows = f"{done:,} of {self._total:,} rows" if self._total else f"{done:,} rows"
        return f"{rows}, {so_far.failed:,} failed" if so_far.failed else rows

    def _tokens(self, so_far: _Totals, seconds: float) -> list[_Part]:
        """Return the tokens so far and their rate, or that the server sends no counts."""
        tokens = so_far.tokens
        if not tokens and so_far.uncounted:
            return [_Part("the server sends no token counts", 2)]
        rate = tokens / seconds
        shown = f"{rate:,.{0 if rate >= 10 else 1}f} tokens/s"
        return [_Part(f"{tokens:,} tokens", 2), _Part(shown, 4)]

    def _state(self, so_far: _Totals, width: int | None) -> list[_Part]:
        """Return the spending, the requests in flight, the retries, and what holds the job back."""
        gates = list(self._tally.gates)
        in_flight = sum(gate.in_flight for gate in gates)
        state = [_Part(f"${so_far.cost_usd:,.4f}", 3)] if so_far.cost_usd else []
        if in_flight:
            state.append(_Part(f"{in_flight:,} in flight", 5))
        if so_far.retries:
            state.append(_Part(f"{so_far.retries:,} retries", 0))
        return state + self._held_back(gates, briefly=width is not None and width < _ROOMY)

    def _held_back(self, gates: Iterable[Gate], briefly: bool) -> list[_Part]:
        """Return what holds the job back, the tightest first."""
        brakes = tightest_first(brake for gate in gates for brake in gate.brakes)
        words = [in_words(brake, briefly) for brake in brakes]
        parts = [_Part(text, 1 if number else 8) for number, text in enumerate(words)]
        waiting = sum(len(ledger.waiting) for ledger in list(self._tally.ledgers))
        return parts + ([_Part(f"{waiting:,} wait for the budget", 6)] if waiting else [])

    def _run(self) -> None:
        while not self._stop.wait(self.seconds_between):
            self._draw()

    def _draw(self) -> None:
        if self._redraw:
            width = shutil.get_terminal_size().columns - 1
            text = self.text(width)[:width]
            # A notebook shows control sequences, but returns to the beginning of the line.
            erased = "" if self._is_notebook else "\x1b[K"
            rest = " " * (self._drawn - len(text)) if self._is_notebook else ""
            self._drawn = len(text)
            self._write(f"\r{erased}{text}{rest}")
        else:
            self._write(self.text() + "\n")

    def _write(self, text: str) -> None:
        # The job continues if the reader of stderr has left.
        with suppress(OSError):
            self._out.write(text)
            self._out.flush()


class _Totals(NamedTuple):
    """What the line shows of a tally: the totals of a process, or of one job in it."""

    done: int
    failed: int
    replayed: int
    sent: int
    tokens: int
    uncounted: int
    retries: int
    cost_usd: float

    @classmethod
    def of(cls, tally: Tally) -> _Totals:
        """Return the totals of all jobs of the process."""
        done = tally.completions + tally.dead_letters
        return cls(
            done,
            tally.dead_letters,
            tally.replayed,
            done - tally.replayed - tally.unsent,
            tally.completion_tokens,
            tally.uncounted,
            tally.retries,
            tally.cost_usd,
        )

    def __sub__(self, before: _Totals) -> _Totals:
        return _Totals._make(now - then for now, then in zip(self, before, strict=True))


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
