"""Which messages of a source have no outcome yet: the source is told only of those that have one.

What is told too late is delivered again, and answered from the journal; what was told too early
would be lost with this process.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from transforms.elements import DeadLetter, Delta, Outcome, Prompt

Receipt = Any


@dataclass(slots=True)
class _Open:
    """A prompt under way, and the messages that wait for its outcome."""

    request: str
    missing: set[type]
    receipts: list[Receipt]


class Intake:
    """The messages of one reader that are under way. Usable from any thread.

    `parts` are the outcomes that must be out before a prompt is done: its final delta, its
    completion, or both. A dead letter is always an outcome of its own.
    """

    def __init__(self, parts: Iterable[type], stopping: threading.Event | None = None) -> None:
        self.stopping = stopping or threading.Event()
        self.failure: BaseException | None = None  # why outcomes will never be out
        self.on_settled: Callable[[Sequence[Receipt]], None] = lambda receipts: None
        self._parts = frozenset(parts)
        self._open: dict[str, _Open] = {}
        self._unusable: defaultdict[str, list[Receipt]] = defaultdict(list)
        self._lock = threading.Lock()

    @property
    def open(self) -> int:
        """How many prompts and unusable messages wait for their outcome to be out."""
        return len(self._open) + len(self._unusable)

    def admit(self, row: Prompt | DeadLetter, receipt: Receipt) -> bool | None:
        """Return whether `row` is to go on; None if another prompt has its id at the moment.

        A prompt that is under way already does not go on: its outcome is this message's, too.
        """
        with self._lock:
            if isinstance(row, DeadLetter):
                self._unusable[row.id].append(receipt)
                return True
            other = self._open.get(row.id)
            if other is None:
                self._open[row.id] = _Open(row.request, set(self._parts), [receipt])
                return True
            if other.request != row.request:
                return None
            other.receipts.append(receipt)
            return False

    def published(self, outcomes: Iterable[Outcome]) -> None:
        """Note that `outcomes` are out for good, and tell the source what is done by that."""
        done: list[Receipt] = []
        with self._lock:
            for outcome in outcomes:
                if not isinstance(outcome, Delta) or outcome.final:
                    done += self._done_by(outcome)
        if done:
            self.on_settled(done)

    def fail(self, error: BaseException) -> None:
        """Note that outcomes were dropped: nobody needs to wait for them."""
        self.failure = error

    def _done_by(self, outcome: Outcome) -> list[Receipt]:
        if isinstance(outcome, DeadLetter) and outcome.id in self._unusable and not outcome.request:
            receipts = self._unusable[outcome.id]
            first = receipts.pop(0)
            if not receipts:
                del self._unusable[outcome.id]
            return [first]
        prompt = self._open.get(outcome.id)
        if prompt is None:
            return []
        prompt.missing.discard(type(outcome))
        if prompt.missing and not isinstance(outcome, DeadLetter):
            return []
        return self._open.pop(outcome.id).receipts


class _Process:
    """What one job has in one process."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.intakes: tuple[Intake, ...] = ()  # replaced, never changed: it is read by any thread


_jobs: defaultdict[str, _Process] = defaultdict(_Process)
_changing = threading.Lock()


@dataclass(frozen=True)
class IntakeOf:
    """Makes the intakes of one job, and tells all of a process what its sinks have published."""

    parts: frozenset[type]
    job: str = field(default_factory=lambda: uuid4().hex)

    def __call__(self) -> Intake:
        """Return a new reader's intake."""
        here = self._here
        made = Intake(self.parts, here.stopping)
        with _changing:
            here.intakes += (made,)
        return made

    def forget(self, intake: Intake) -> None:
        """Have a reader's intake hear no more, when the reader has ended."""
        here = self._here
        with _changing:
            here.intakes = tuple(each for each in here.intakes if each is not intake)

    @property
    def stopping(self) -> threading.Event:
        """Set, it has all readers of this process take nothing more in."""
        return self._here.stopping

    @property
    def open(self) -> int:
        """How many messages of this process wait for their outcome to be out."""
        return sum(intake.open for intake in self._here.intakes)

    def published(self, outcomes: Sequence[Outcome]) -> None:
        """Tell this process's intakes what is out."""
        for intake in self._here.intakes:
            intake.published(outcomes)

    def fail(self, error: BaseException) -> None:
        """Tell this process's intakes that a sink was given up."""
        for intake in self._here.intakes:
            intake.fail(error)

    @property
    def _here(self) -> _Process:
        with _changing:
            return _jobs[self.job]
