"""The DoFns of a fused stage that wait for a model: while one waits, the others yield.

The problem: a bundle has one thread. While one DoFn waits for its responses, no other DoFn of the
stage can yield: the deltas of a judge wait for the slowest generation before it, and of two
transforms side by side the second is silent until the first has ended.

The idea: a DoFn that waits also wakes up for the outcomes of the others. It sends such a DoFn the
element `PUMP_NOW`, as its input would, and the DoFn yields what has arrived. For that it needs the
operations of the bundle, which Beam keeps in its `BundleProcessor`. Beam has no public way to them;
where they are not found (BundleBasedDirectRunner, which fuses nothing), each DoFn waits alone.

What holds:

- Everything happens on the bundle thread.
- A DoFn is pumped only if no DoFn that it leads to is at work: neither the one that waits nor those
  before it. So Beam's operations and the DoFns of users are never entered twice.
- A DoFn that waits while another one pumps it waits alone.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from apache_beam.runners.worker import statesampler
from apache_beam.runners.worker.bundle_processor import BundleProcessor
from apache_beam.transforms.window import GlobalWindows

from transforms.elements import PUMP
from transforms.worker.loop.event_loop import Window
from transforms.worker.loop.outbox import Wait, wait_for_any

# Makes a DoFn yield what has arrived, without waiting for more.
PUMP_NOW = PUMP._replace(id="now")


@dataclass(slots=True, eq=False)
class _Member:
    """A DoFn at work: its operation, its window, and what it would wait for."""

    operation: Any
    window: Window[Any, Any]
    patience: Callable[[], Wait]

    def pump(self) -> None:
        """Make the DoFn yield what has arrived."""
        if self.window.arrived:
            self.operation.process(GlobalWindows.windowed_value(PUMP_NOW))


class Stage:
    """The DoFns of one bundle that wait for a model; `filled` is the lock of their outboxes."""

    def __init__(self, before: Mapping[str, set[str]]) -> None:
        self.filled = threading.Condition()
        self._before = before
        self._members: dict[str, _Member] = {}
        self._pumping = False

    def add(
        self, step: str, operation: Any, window: Window[Any, Any], patience: Callable[[], Wait]
    ) -> None:
        """Add the DoFn of `step`, or replace it: each bundle has windows of its own."""
        self._members[step] = _Member(operation, window, patience)

    def take(self, step: str, window: Window[Any, Any], wait: Wait) -> list[tuple[Any, Any]]:
        """Return what `window.take(wait)` returns, and pump the other DoFns meanwhile."""
        others = self._others(step)
        if not others:
            return window.take(wait)
        until = None if wait.seconds is None else time.monotonic() + wait.seconds
        while True:
            self._pump(others)
            left = None if until is None else until - time.monotonic()
            if window.arrived >= wait.least or (left is not None and left <= 0):
                return window.take()
            waits = [(window.outbox, wait.least)]
            for other in others:
                if other.window.in_flight:
                    waits.append((other.window.outbox, other.patience().least))
            wait_for_any(waits, left)

    def _others(self, step: str) -> list[_Member]:
        """Return the DoFns that may be pumped while that of `step` waits."""
        if self._pumping or len(self._members) == 1:
            return []
        before = self._before.get(step, set())
        return [m for name, m in self._members.items() if name != step and name not in before]

    def _pump(self, others: list[_Member]) -> None:
        self._pumping = True
        try:
            for other in others:
                other.pump()
        finally:
            self._pumping = False


class Seat:
    """The place of one DoFn in its stage during a bundle."""

    def __init__(self, stage: Stage, step: str, operation: Any) -> None:
        self._stage, self._step, self._operation = stage, step, operation
        self.filled = stage.filled

    def sit(self, window: Window[Any, Any], patience: Callable[[], Wait]) -> None:
        """Let the others pump this DoFn, whose outcomes arrive in `window`."""
        self._stage.add(self._step, self._operation, window, patience)

    def take(self, window: Window[Any, Any], wait: Wait) -> list[tuple[Any, Any]]:
        """Return what `window.take(wait)` returns, and pump the other DoFns meanwhile."""
        return self._stage.take(self._step, window, wait)


_stages: WeakKeyDictionary[BundleProcessor, Stage] = WeakKeyDictionary()


def find_seat() -> Seat:
    """Return the seat of the DoFn whose bundle starts now, on this thread."""
    try:
        processor, step = _processor(), _step()
        operation = None if processor is None else processor.ops.get(step)
        if processor is None or operation is None:
            return Seat(Stage({}), "", None)
        stage = _stages.get(processor)
        if stage is None:
            transforms = processor.process_bundle_descriptor.transforms
            stage = _stages[processor] = Stage(_steps_before(transforms))
        return Seat(stage, step, operation)
    except AttributeError:  # another version of Beam
        return Seat(Stage({}), "", None)


def _processor() -> BundleProcessor | None:
    """Return what runs the bundle of this thread: Beam's worker has it in one of its frames."""
    frame = sys._getframe(1)
    while frame is not None:
        found = frame.f_locals.get("self") if frame.f_code.co_name == "process_bundle" else None
        if isinstance(found, BundleProcessor):
            return found
        frame = frame.f_back  # type: ignore[assignment]
    return None


def _step() -> str:
    """Return the id of the step whose code runs now."""
    state = statesampler.get_current_tracker().current_state()
    return str(state.name_context.transform_id)


def _steps_before(transforms: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return for each step of a stage the steps whose outputs lead to it."""
    makers: dict[str, list[str]] = {}
    for step, transform in transforms.items():
        for made in transform.outputs.values():
            makers.setdefault(made, []).append(step)
    found: dict[str, set[str]] = {}

    def before(step: str) -> set[str]:
        if step not in found:
            found[step] = set()
            direct = {m for read in transforms[step].inputs.values() for m in makers.get(read, ())}
            found[step] = direct.union(*map(before, direct))
        return found[step]

    return {step: before(step) for step in transforms}
