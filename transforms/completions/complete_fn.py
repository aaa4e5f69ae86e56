"""The DoFn that keeps prompts in flight: it submits them and yields what has arrived.

Each bundle has a window of streams in flight. `process` submits its prompt, and yields what has
arrived for any prompt so far. `finish_bundle` waits for the rest and yields it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import apache_beam as beam

from transforms.completions.stage import PUMP_NOW, find_seat
from transforms.completions.windowing import Windowed, place_of
from transforms.elements import PUMP, DeadLetter, Outcome
from transforms.graph import tags
from transforms.graph.jobs import JobDoFn
from transforms.metrics import Meter
from transforms.worker.capacity.room import ReadAhead
from transforms.worker.completer import Completer
from transforms.worker.engine import join
from transforms.worker.factories import NewResources
from transforms.worker.loop.event_loop import Window
from transforms.worker.loop.outbox import Wait
from transforms.worker.prompts import prompt_of

# How long a pump element yields outcomes before its source looks for the next prompt.
_PUMP_SECONDS = 0.01

# How long to wait for a delta before checking whether prompts between two attempts leave room.
_DELTA_SECONDS = 0.25
# Without deltas, how long outcomes wait for more, so that one wake-up of the thread serves many.
_GROUP_SECONDS = 0.05


class _CompleteFn(JobDoFn):
    """Keeps a window of prompts in flight while the bundle runs."""

    # An update matches the steps of a running job by their labels: `ParDo(_CompleteFn)` is one.
    __module__ = "transforms.completions"

    def __init__(self, completer: Completer, new_resources: NewResources, main: str) -> None:
        self._completer = completer
        self._new_resources = new_resources
        self._main = main
        self._window: Window[Windowed, Outcome] | None = None
        self._newest: Windowed | None = None  # the place of the newest prompt

    def setup(self) -> None:
        """Join this process's engine, or start it."""
        self._completer = self._completer.here(os.environ)
        self._event_loop = join(self._new_resources, self._completer, self.job)
        self._ahead = ReadAhead(self._new_resources.limits.max_in_flight)
        self._meter = Meter(self._event_loop.resources)

    def start_bundle(self) -> None:
        """Begin with an empty window; cancel what an earlier, failed bundle left."""
        self._give_up()
        self._seat = find_seat()
        self._window = Window(self._event_loop, filled=self._seat.filled)
        self._seat.sit(self._window, self._patience)
        self._newest = None

    def process(
        self, element: Any, windowed: Windowed = beam.DoFn.WindowedValueParam
    ) -> Iterator[Any]:
        """Start a prompt; yield what has arrived for it and for those before it.

        `windowed` is the element with all its windows, so that Beam calls this once for all of
        them.
        """
        prompt = prompt_of(element)
        if isinstance(prompt, DeadLetter):
            self._meter.count([prompt])
            yield self._tagged(prompt)
            return
        if prompt.request == PUMP.request:
            yield from self._arrived() if prompt.id == PUMP_NOW.id else self._pumped()
            return
        if not windowed.windows:  # its outcomes would be in no window, so no step would get them
            return
        completer, resources = self._completer, self._event_loop.resources
        request = completer.request(resources, prompt)
        if replayed := list(completer.replay(resources, request)):
            self._meter.count(replayed)
            yield from map(self._tagged, replayed)
            return
        submission = completer.submission(resources, request)
        self._newest = place = place_of(windowed)
        in_flight = self._in_flight()
        in_flight.submit(place, lambda put: completer(resources, request, put, submission))
        yield from self._arrived()
        while self._ahead.is_full(in_flight.in_flight, resources.room):
            yield from self._arrived(self._patience())

    def _pumped(self) -> Iterator[Any]:
        """Yield what arrives within `_PUMP_SECONDS`."""
        until = time.monotonic() + _PUMP_SECONDS
        while (left := until - time.monotonic()) > 0:
            yield from self._arrived(Wait(seconds=left))

    def finish_bundle(self) -> Iterator[Any]:
        """Wait for the rest, and yield it."""
        while self._in_flight().in_flight:
            yield from self._arrived(self._patience())
        self._meter.count_pacing(at_once=True)
        reported, windowed = self._completer.completions, self._newest
        if reported and windowed is not None and (pacing := self._meter.pacing()):
            yield beam.pvalue.TaggedOutput(tags.PACING, windowed.with_value(pacing))

    def _patience(self) -> Wait:
        """Return what to wait for: the next delta, or enough outcomes to justify a wake-up."""
        if self._completer.deltas:
            return Wait(seconds=_DELTA_SECONDS)
        rest = 2 * self._in_flight().in_flight  # each sends its outcome and its end
        return Wait(min(self._ahead.spare, rest), _GROUP_SECONDS)

    def teardown(self) -> None:
        """Cancel the remaining work, and leave the engine."""
        self._give_up()
        self._event_loop.release()
        del self._event_loop, self._meter  # and with them the journal

    def _in_flight(self) -> Window[Windowed, Outcome]:
        assert self._window is not None, "Beam calls start_bundle first"
        return self._window

    def _arrived(self, wait: Wait | None = None) -> Iterator[Any]:
        """Yield arrived outcomes in their prompts' windows; cancel all work if a consumer fails."""
        try:
            window = self._in_flight()
            arrived = window.take() if wait is None else self._seat.take(window, wait)
            if not arrived and wait is None:
                return
            self._meter.count([outcome for _, outcome in arrived])
            for windowed, outcome in arrived:
                yield self._tagged(outcome, windowed)
            self._meter.count_pacing()
        except BaseException:
            self._give_up()
            raise

    def _tagged(self, outcome: Outcome, windowed: Windowed | None = None) -> Any:
        """Return `outcome` for its output, with the timestamp, windows and pane of its prompt.

        Without `windowed` it gets those of the element that is being processed.
        """
        value = outcome if windowed is None else windowed.with_value(outcome)
        tag = tags.OF_OUTCOME[type(outcome)]
        return value if tag == self._main else beam.pvalue.TaggedOutput(tag, value)

    def _give_up(self) -> None:
        if self._window is not None:
            self._window.cancel()
            self._window = None
