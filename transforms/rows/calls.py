"""Keeps the rows of one iterator in flight on the engine of the process. No Beam, no HTTP.

The problem: rows come from a generator that may be endless, results must leave while others are in
flight, and a caller may leave the loop at any moment.

The idea: a bundle without Beam. The caller's thread does what a bundle thread does for
`CompletePrompts`: it reads the next row, hands it to the event loop (`transforms.worker.engine`),
and takes what has arrived. It reads a row only while there is room for one.

What holds:

- At most `max_in_flight` and a quarter of it (`ReadAhead`) rows are read ahead. With results in the
  order of the rows, at most `HELD` times as many results wait for an earlier one.
- A completion is in the journal before it leaves.
- An error of the rows themselves is raised after the results of the rows before it.
- However the iteration ends, what is in flight is cancelled, and the journal is closed.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from transforms.elements import Completion, DeadLetter, Outcome
from transforms.rows.order import Order
from transforms.rows.prompts import NumberedPrompts
from transforms.worker.capacity.room import ReadAhead
from transforms.worker.completer import Completer
from transforms.worker.engine import Lease, join
from transforms.worker.factories import NewResources
from transforms.worker.loop.event_loop import Window
from transforms.worker.loop.outbox import Wait

# Results that may wait for that of an earlier row, for each prompt in flight.
HELD = 16
# How long outcomes wait for more, so that one wake-up of the thread serves many.
_GROUP_SECONDS = 0.05


class Done(NamedTuple):
    """A row, its number from 0, and its outcome."""

    number: int
    row: Any
    outcome: Completion | DeadLetter


@dataclass(eq=False)
class Calls:
    """The rows of one call of `complete_all`."""

    rows: Iterator[Any]
    prompts: NumberedPrompts
    completer: Completer
    new_resources: NewResources
    order: Order[Done]
    job: str

    def lease(self) -> Lease:
        """Join the engine of this process; raises what makes the client or the journal raise."""
        self.completer = self.completer.here(os.environ)
        return join(self.new_resources, self.completer, self.job)

    def results(self, lease: Lease) -> Generator[Done, None, None]:
        """Yield the rows with their outcomes, in the order of this call."""
        window: Window[tuple[int, Any], Outcome] = Window(lease)
        source = _Source(self.rows)
        most = HELD * self.new_resources.limits.max_in_flight
        ahead = ReadAhead(self.new_resources.limits.max_in_flight)
        try:
            for number, row in source:
                yield from self.order.add(self._start(lease, window, number, row))
                yield from self.order.add(_arrived(window, None))
                while window.in_flight and (
                    ahead.is_full(window.in_flight, lease.resources.room)
                    or self.order.waiting >= most
                ):
                    yield from self.order.add(_arrived(window, _patience(window, ahead)))
            while window.in_flight:
                yield from self.order.add(_arrived(window, _patience(window, ahead)))
        finally:
            window.cancel()
        if source.fault is not None:
            raise source.fault

    def _start(
        self, lease: Lease, window: Window[tuple[int, Any], Outcome], number: int, row: Any
    ) -> Iterator[tuple[int, Done]]:
        """Send a row; yield its outcome if that is known already."""
        completer, resources = self.completer, lease.resources
        prompt = self.prompts.prompt(number, row)
        if isinstance(prompt, DeadLetter):
            yield number, Done(number, row, prompt)
            return
        request = completer.request(resources, prompt)
        known = [_end(outcome) for outcome in completer.replay(resources, request)]
        if known:
            yield number, Done(number, row, known[-1])
            return
        window.submit((number, row), lambda put: completer(resources, request, put))


class _Source:
    """Numbers rows; keeps an error of their iterator as `fault`, and ends there."""

    def __init__(self, rows: Iterator[Any]) -> None:
        self._rows = rows
        self.fault: Exception | None = None

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        number = 0
        while True:
            try:
                row = next(self._rows)
            except StopIteration:
                return
            except Exception as error:  # raised once the rows before it have their results
                self.fault = error
                return
            yield number, row
            number += 1


def _arrived(
    window: Window[tuple[int, Any], Outcome], wait: Wait | None
) -> Iterator[tuple[int, Done]]:
    for (number, row), outcome in window.take(wait):
        yield number, Done(number, row, _end(outcome))


def _end(outcome: Outcome) -> Completion | DeadLetter:
    """Return an outcome, which is the end of its row: no deltas are made."""
    assert isinstance(outcome, (Completion, DeadLetter))
    return outcome


def _patience(window: Window[Any, Any], ahead: ReadAhead) -> Wait:
    return Wait(min(ahead.spare, 2 * window.in_flight), _GROUP_SECONDS)
