"""Stops a job early, with its commonest errors, if too many of its rows fail."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.utils.shared import Shared

from transforms.elements import Completion, DeadLetter
from transforms.failures import LEAST, MOST_REFUSED, TooManyFailures, reasons
from transforms.graph.display import given

_REFUSED = frozenset({401, 402, 403, 404})


@dataclass(frozen=True)
class FailureLimit:
    """The share of rows that may fail, among those that a process of this run has finished.

    It applies from `least` rows on; None allows all to fail. `most_refused` rows one after the
    other that were refused for the key, the account, the quota or the model stop the job too.
    Rows without an attempt of this run (from the journal, shared with an equal row, refused by the
    budget) do not count.
    """

    share: float | None
    least: int = LEAST
    most_refused: int = MOST_REFUSED
    counts: Shared = field(default_factory=Shared, repr=False, compare=False)


class StopAbove(beam.PTransform):  # type: ignore[misc]
    """Pass outcomes on; fail the job with TooManyFailures once they exceed the limit.

    Use the same `limit` for all kinds of outcomes of a job.
    """

    def __init__(self, limit: FailureLimit) -> None:
        super().__init__()
        self._limit = limit

    def display_data(self) -> dict[str, Any]:
        """Return the limit, for the page of the step in the runner's console."""
        limit = self._limit
        shown = given(share=limit.share, least=limit.least, most_refused=limit.most_refused)
        return {**super().display_data(), **shown}

    def expand(self, outcomes: Any) -> Any:
        """Check each outcome."""
        watch = beam.ParDo(_WatchFn(self._limit)).with_output_types(outcomes.element_type)
        return outcomes | "Watch" >> watch


class _WatchFn(beam.DoFn):  # type: ignore[misc]
    def __init__(self, limit: FailureLimit) -> None:
        self._limit = limit

    def setup(self) -> None:
        self._counts: Counts = self._limit.counts.acquire(Counts)

    def process(self, outcome: Completion | DeadLetter) -> Iterable[Completion | DeadLetter]:
        self._counts.add(outcome)
        self._counts.check(self._limit)
        return (outcome,)


class Counts:
    """Counts the outcomes of one process. Usable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows = 0
        self._refused = 0  # since the last row that had another outcome
        self._errors: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, outcome: Completion | DeadLetter) -> None:
        """Count `outcome`, if this run has sent its request."""
        if isinstance(outcome, Completion):
            free = outcome.replayed or outcome.shared
        else:
            free = outcome.error_type == "BudgetExceeded"
        if free:
            return
        with self._lock:
            self._rows += 1
            self._count_refused(outcome)
            if isinstance(outcome, DeadLetter):
                self._errors[outcome.error_type] += 1
                self._examples[outcome.error_type] = outcome.message

    def _count_refused(self, outcome: Completion | DeadLetter) -> None:
        if not outcome.attempts:
            return
        refused = isinstance(outcome, DeadLetter) and _is_callers_fault(outcome)
        self._refused = self._refused + 1 if refused else 0

    def check(self, limit: FailureLimit) -> None:
        """Raise TooManyFailures, with the commonest errors, above the limit."""
        with self._lock:
            if self._refused >= limit.most_refused:
                raise TooManyFailures(
                    f"the provider refused {self._refused:,} rows one after the other: "
                    + reasons(self._errors, self._examples)
                )
            if limit.share is None:
                return
            failed = self._errors.total()
            if self._rows >= limit.least and failed > limit.share * self._rows:
                raise TooManyFailures(
                    f"{failed:,} of {self._rows:,} rows failed, more than {limit.share:g}: "
                    + reasons(self._errors, self._examples)
                )


def _is_callers_fault(letter: DeadLetter) -> bool:
    """Return whether the key, the account, the quota or the model was refused."""
    is_quota = letter.status_code == 429 and not letter.retryable
    return letter.status_code in _REFUSED or is_quota
