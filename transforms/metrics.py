"""Counts the outcomes of a process, for Beam's metrics and for the progress line.

The bundle threads count, because Beam drops the counts of other threads.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from weakref import WeakSet

from apache_beam.io.components.adaptive_throttler import ThrottlingSignaler
from apache_beam.metrics import Metrics

from ritellm.rate_limits.gate import Gate
from transforms.budget.bill import Budget
from transforms.budget.ledger import Ledger
from transforms.elements import Completion, DeadLetter, Delta, Outcome, Record
from transforms.labels import Labels
from transforms.pacing import Pacing, take, take_seconds
from transforms.worker.resources import Resources

NAMESPACE = "ritellm"
# Seconds between two reads of the gate: a read costs as much as a short row.
_PACING_SECONDS = 0.25


@dataclass(slots=True)
class Tally:
    """Totals of this process for its progress line; they are not exact."""

    completions: int = 0
    dead_letters: int = 0
    replayed: int = 0  # completions from the journal
    unsent: int = 0  # dead letters without an attempt
    completion_tokens: int = 0
    uncounted: int = 0  # completions whose server sent no usage
    retries: int = 0
    cost_usd: float = 0.0
    gates: WeakSet[Gate] = field(default_factory=WeakSet, repr=False)
    ledgers: WeakSet[Ledger] = field(default_factory=WeakSet, repr=False)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def watch(self, resources: Resources) -> None:
        """Show what holds back the requests with `resources`."""
        self.gates.add(resources.gate)
        if isinstance(resources.budget, Budget):
            self.ledgers.add(resources.budget.ledger)

    def add(self, outcome: Completion | DeadLetter) -> None:
        """Count the end of a row."""
        with self.lock:
            if isinstance(outcome, DeadLetter):
                self.dead_letters += 1
                self.unsent += not outcome.attempts
            else:
                self.completions += 1
                if outcome.replayed or outcome.shared:
                    self.replayed += outcome.replayed
                    return
                self.completion_tokens += outcome.completion_tokens or 0
                self.uncounted += not has_usage(outcome)
            self.retries += _retries(outcome)
            self.cost_usd += (outcome.cost_usd or 0.0) + (outcome.wasted_cost_usd or 0.0)


TALLY = Tally()

# Beam keeps a cell for each metric and bundle. So names of rows and providers are bounded.
_models, _finish_reasons, _errors = Labels(), Labels(), Labels()


class Meter:
    """Counts the outcomes of one DoFn."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._pacing = Pacing()  # not in the job's report yet
        self._next_pacing = 0.0
        self._signaler = ThrottlingSignaler(NAMESPACE)
        TALLY.watch(resources)

    def count(self, outcomes: Iterable[Outcome]) -> None:
        """Count `outcomes`. Each of Beam's slow counters is incremented once for all of them."""
        counted: Counter[str] = Counter()
        for outcome in outcomes:
            if isinstance(outcome, Delta):
                counted["deltas"] += 1
            elif isinstance(outcome, Record):
                counted["records"] += not outcome.final
            elif isinstance(outcome, Completion):
                self._completion(outcome, counted)
            else:
                self._dead_letter(outcome, counted)
        for name, number in counted.items():
            _counter(name).inc(number)

    def count_pacing(self, at_once: bool = False) -> None:
        """Count refusals and waits; without `at_once` at most every `_PACING_SECONDS`.

        Reports to the runner the whole seconds in which a provider held any prompt of the process
        back, so at most the time that has passed.
        """
        gate, now = self._resources.gate, time.monotonic()
        if now < self._next_pacing and not at_once:
            return
        self._next_pacing = now + _PACING_SECONDS
        _gauge("in_flight").set(gate.in_flight)
        new = take(gate)
        self._pacing += new
        for name, number in _pacing_counts(new):
            _counter(name).inc(number)
        if seconds := take_seconds(self._resources.throttled, now):
            self._signaler.signal_throttled(seconds)

    def pacing(self) -> Pacing:
        """Return the refusals and waits counted since the last call, for the job's report."""
        found, self._pacing = self._pacing, Pacing()
        return found

    def _completion(self, row: Completion, counted: Counter[str]) -> None:
        TALLY.add(row)
        if row.replayed or row.shared:
            counted["replayed" if row.replayed else "shared"] += 1
            return
        model = _models.of(row.model)
        for suffix in ("", f":{model}"):
            counted[f"completions{suffix}"] += 1
            counted[f"prompt_tokens{suffix}"] += row.prompt_tokens or 0
            counted[f"completion_tokens{suffix}"] += row.completion_tokens or 0
            if row.cost_usd is not None:
                counted[f"cost_usd_micros{suffix}"] += round(row.cost_usd * 1e6)
        counted["rows_without_usage"] += not has_usage(row)
        _wasted(row, counted)
        counted["cached_tokens"] += row.cached_tokens or 0
        counted["reasoning_tokens"] += row.reasoning_tokens or 0
        counted[f"finish_reason:{_finish_reasons.of(row.finish_reason)}"] += 1
        for name, seconds in (
            ("ttft_msec", row.ttft),
            ("inter_chunk_p95_msec", row.inter_chunk_p95),
            ("duration_msec", row.seconds),
        ):
            if seconds is not None:
                _distribution(name).update(round(seconds * 1000))
                _distribution(f"{name}:{model}").update(round(seconds * 1000))
        _attempts(row, counted)

    def _dead_letter(self, letter: DeadLetter, counted: Counter[str]) -> None:
        for suffix in ("", f":{_errors.of(letter.error_type)}"):
            counted[f"dead_letters{suffix}"] += 1
        _wasted(letter, counted)
        _attempts(letter, counted)
        TALLY.add(letter)


def tally_unusable() -> None:
    """Add a row that never became a prompt to the totals of the progress line."""
    with TALLY.lock:
        TALLY.dead_letters += 1
        TALLY.unsent += 1


def _pacing_counts(found: Pacing) -> Iterator[tuple[str, int]]:
    """Yield the names of counters and their increments."""
    if found.refused:
        yield "refusals", round(sum(found.refused.values()))
    for reason, count in found.refused.items():
        yield f"refusals:{reason}", count
    for reason, seconds in found.seconds.items():
        yield f"held_back_msec:{reason}", round(seconds * 1000)


def has_usage(row: Completion) -> bool:
    """Return whether the server sent any token count."""
    known = row.prompt_tokens if row.prompt_tokens is not None else row.completion_tokens
    return known is not None or row.total_tokens is not None


def _wasted(row: Completion | DeadLetter, counted: Counter[str]) -> None:
    counted["wasted_tokens"] += row.wasted_tokens
    if row.wasted_cost_usd:
        counted["wasted_cost_usd_micros"] += round(row.wasted_cost_usd * 1e6)


def _attempts(outcome: Completion | DeadLetter, counted: Counter[str]) -> None:
    """Count the attempts at `outcome`, and how many of them were retries."""
    counted["attempts"] += outcome.attempts
    counted["retries"] += _retries(outcome)


def _retries(outcome: Completion | DeadLetter) -> int:
    return max(0, outcome.attempts - 1)


@cache
def _counter(name: str) -> Any:
    return Metrics.counter(NAMESPACE, name)


@cache
def _distribution(name: str) -> Any:
    return Metrics.distribution(NAMESPACE, name)


@cache
def _gauge(name: str) -> Any:
    return Metrics.gauge(NAMESPACE, name)
