"""What is counted while a job runs: for Beam's metrics, and for the process that watches itself.

Counted on the bundle thread: Beam drops what other threads count.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from apache_beam.io.components.adaptive_throttler import ThrottlingSignaler
from apache_beam.metrics import Metrics

from transforms.asking import Means
from transforms.elements import Completion, DeadLetter, Delta

NAMESPACE = "ritellm"


@dataclass(slots=True)
class Tally:
    """Totals of this process, for its own progress line. Exact enough for that only."""

    completions: int = 0
    dead_letters: int = 0
    completion_tokens: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)


TALLY = Tally()


class Meter:
    """Counts the outcomes of one DoFn."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._told = 0.0
        self._signaler = ThrottlingSignaler(NAMESPACE)
        self._deltas = Metrics.counter(NAMESPACE, "deltas")
        self._completions = Metrics.counter(NAMESPACE, "completions")
        self._dead_letters = Metrics.counter(NAMESPACE, "dead_letters")
        self._prompt_tokens = Metrics.counter(NAMESPACE, "prompt_tokens")
        self._completion_tokens = Metrics.counter(NAMESPACE, "completion_tokens")
        self._attempts = Metrics.counter(NAMESPACE, "attempts")
        self._ttft = Metrics.distribution(NAMESPACE, "ttft_msec")

    def count(self, outcome: Delta | Completion | DeadLetter) -> None:
        """Count `outcome`."""
        if isinstance(outcome, Delta):
            self._deltas.inc()
        elif isinstance(outcome, Completion):
            self._completion(outcome)
        else:
            self._dead_letters.inc()
            self._attempts.inc(outcome.attempts)
            with TALLY.lock:
                TALLY.dead_letters += 1

    def signal_throttling(self) -> None:
        """Tell the runner of the whole seconds that prompts have waited for the provider."""
        gate = self._means.gate
        if gate is None:
            return
        seconds = int(gate.waited - self._told)
        if seconds > 0:
            self._told += seconds
            self._signaler.signal_throttled(seconds)

    def _completion(self, outcome: Completion) -> None:
        tokens = outcome.completion_tokens or 0
        self._completions.inc()
        self._attempts.inc(outcome.attempts)
        self._prompt_tokens.inc(outcome.prompt_tokens or 0)
        self._completion_tokens.inc(tokens)
        if outcome.ttft is not None:
            self._ttft.update(int(outcome.ttft * 1000))
        with TALLY.lock:
            TALLY.completions += 1
            TALLY.completion_tokens += tokens
