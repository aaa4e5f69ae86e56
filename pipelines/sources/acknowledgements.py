"""Decides when a message is acknowledged to its source: once its outcome is published.

The problem: outcomes leave the pipeline in any order, from other threads than the reader's, in
several parts (the final delta, the completion), and perhaps for two deliveries of one message. A
late acknowledgement costs little: the source delivers the message again, and the journal has its
completion. An early one loses the message if the process dies.

The life of a message:

    admit() --> open --(published(): one part)--> open --(published(): last part)--> acknowledged
      |           ^
      |           +-- a redelivery joins the open prompt and shares its outcome
      +--> None: another prompt has the same id; the caller makes a dead letter of the message

Invariants:
- A receipt is acknowledged at most once, and only after all parts are published.
- Two open prompts never have the same id. So an outcome, which has only the id, fits one prompt.
- Unusable messages are counted apart. Their dead letter has no request, and an open prompt may
  have the same id.

The reader and the sinks are DoFns of one fused stage but are pickled separately. They find each
other in `_jobs`, by the id of the job in the process that runs them.
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
    """A prompt without an outcome, and the receipts of its messages."""

    request: str
    missing: set[type]
    receipts: list[Receipt]


class Acknowledger:
    """The messages of one reader that have no outcome yet. Usable from any thread.

    `parts` are the types that must be published before a prompt is done: `Delta` (its final one),
    `Completion`, or both. A dead letter always ends a prompt by itself.
    """

    def __init__(self, parts: Iterable[type], stopping: threading.Event | None = None) -> None:
        self.stopping = stopping or threading.Event()
        self.failure: BaseException | None = None  # why outcomes will never be published
        self.on_settled: Callable[[Sequence[Receipt]], None] = lambda receipts: None
        self._parts = frozenset(parts)
        self._open: dict[str, _Open] = {}
        self._unusable: defaultdict[str, list[Receipt]] = defaultdict(list)
        self._lock = threading.Lock()

    @property
    def open(self) -> int:
        """The number of prompts and unusable messages without a published outcome."""
        return len(self._open) + len(self._unusable)

    def admit(self, row: Prompt | DeadLetter, receipt: Receipt) -> bool | None:
        """Return whether to send `row` down the pipeline; None if another prompt has its id now.

        False means a redelivery: the same prompt is open, and its outcome settles this message too.
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
        """Record that `outcomes` are published, and acknowledge the messages that they complete."""
        done: list[Receipt] = []
        with self._lock:
            for outcome in outcomes:
                if not isinstance(outcome, Delta) or outcome.final:
                    done += self._done_by(outcome)
        if done:
            self.on_settled(done)

    def fail(self, error: BaseException) -> None:
        """Record that a sink dropped outcomes, so that the reader stops waiting for them."""
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
    """The state of one job in one process."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        # Threads read the tuple without the lock, so it is replaced and never changed.
        self.acknowledgers: tuple[Acknowledger, ...] = ()


_jobs: defaultdict[str, _Process] = defaultdict(_Process)
_changing = threading.Lock()


@dataclass(frozen=True)
class JobAcknowledger:
    """Makes the acknowledgers of one job, one for each reader, and forwards outcomes to them."""

    parts: frozenset[type]
    job: str = field(default_factory=lambda: uuid4().hex)

    def __call__(self) -> Acknowledger:
        """Return the acknowledger of a new reader."""
        here = self._here
        made = Acknowledger(self.parts, here.stopping)
        with _changing:
            here.acknowledgers += (made,)
        return made

    def forget(self, ended: Acknowledger) -> None:
        """Forward no more outcomes to `ended`, the acknowledger of a reader that has ended."""
        here = self._here
        with _changing:
            here.acknowledgers = tuple(each for each in here.acknowledgers if each is not ended)

    @property
    def stopping(self) -> threading.Event:
        """Once it is set, the readers of this process receive no more messages."""
        return self._here.stopping

    @property
    def open(self) -> int:
        """The number of messages in this process without a published outcome."""
        return sum(acknowledger.open for acknowledger in self._here.acknowledgers)

    def published(self, outcomes: Sequence[Outcome]) -> None:
        """Forward published outcomes to the acknowledgers of this process."""
        for acknowledger in self._here.acknowledgers:
            acknowledger.published(outcomes)

    def fail(self, error: BaseException) -> None:
        """Tell the acknowledgers of this process that a sink has failed for good."""
        for acknowledger in self._here.acknowledgers:
            acknowledger.fail(error)

    @property
    def _here(self) -> _Process:
        with _changing:
            return _jobs[self.job]
