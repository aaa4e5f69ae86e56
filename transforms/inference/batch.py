"""Completes the rows of one batch: a window of them is in flight, and each ends by itself. No Beam.

RunInference takes the results of a batch as one list, so they leave together. Within the batch no
row waits for another: when a row ends, the next one is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from transforms.elements import Completion, DeadLetter, Prompt
from transforms.worker.capacity.room import ReadAhead
from transforms.worker.completer import Completer
from transforms.worker.engine import Lease
from transforms.worker.loop.event_loop import Window
from transforms.worker.loop.outbox import Wait

# How long ended rows wait for more, so that one wake-up of the thread serves many.
_GROUP_SECONDS = 0.05

Ends = list[tuple[int, Completion | DeadLetter]]


@dataclass(frozen=True)
class Batch:
    """Completes prompts on the engine, with at most `max_in_flight` open at a time."""

    lease: Lease
    completer: Completer
    max_in_flight: int

    def ends(self, prompts: Iterable[tuple[int, Prompt]]) -> Iterator[Ends]:
        """Yield the ends of the numbered `prompts`, in the order in which they come.

        A caller that stops early cancels the rest.
        """
        window: Window[int, Any] = Window(self.lease)
        ahead, room = ReadAhead(self.max_in_flight), self.lease.resources.room
        try:
            for number, prompt in prompts:
                yield self._start(window, number, prompt)
                while ahead.is_full(window.in_flight, room):
                    yield window.take(_patience(window, ahead))
            while window.in_flight:
                yield window.take(_patience(window, ahead))
        finally:
            window.cancel()

    def _start(self, window: Window[int, Any], number: int, prompt: Prompt) -> Ends:
        """Send `prompt`, or return the completion that the journal has."""
        completer, resources = self.completer, self.lease.resources
        request = completer.request(resources, prompt)
        replayed: list[Any] = list(completer.replay(resources, request))
        if not replayed:
            window.submit(number, partial(completer, resources, request))
        return [(number, end) for end in replayed]


def _patience(window: Window[int, Any], ahead: ReadAhead) -> Wait:
    rest = 2 * window.in_flight  # each sends its outcome and its end
    return Wait(min(ahead.spare, rest), _GROUP_SECONDS)
