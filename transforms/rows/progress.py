"""What a caller of `complete_all` sees while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from transforms.metrics import Tally
from transforms.progress.line import ProgressLine
from transforms.rows.calls import Done


class Progress(NamedTuple):
    """The numbers of a call so far. `total` is None if the number of rows is not known."""

    done: int
    total: int | None
    failed: int
    replayed: int
    tokens: int
    retries: int
    cost_usd: float
    in_flight: int


Watch = Callable[[Progress], object]


def line(wanted: bool, total: int | None, tally: Tally) -> AbstractContextManager[object]:
    """Return the progress line on stderr, or nothing."""
    return ProgressLine(total, tally=tally) if wanted else nullcontext()


def counted(
    results: Iterator[Done], tally: Tally, total: int | None, watch: Watch | None
) -> Iterator[Done]:
    """Yield the results; count each one, and tell `watch`."""
    for done in results:
        tally.add(done.outcome)
        if watch is not None:
            watch(_now(tally, total))
        yield done


def _now(tally: Tally, total: int | None) -> Progress:
    return Progress(
        tally.completions + tally.dead_letters,
        total,
        tally.dead_letters,
        tally.replayed,
        tally.completion_tokens,
        tally.retries,
        tally.cost_usd,
        sum(gate.in_flight for gate in list(tally.gates)),
    )
