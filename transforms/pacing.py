"""Refusals and waits of a job by reason, as values that can be added. No HTTP."""

# No `from __future__ import annotations`: Beam reads these annotations as types.
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from weakref import WeakKeyDictionary

from ritellm.rate_limits.gate import Gate
from ritellm.rate_limits.stopwatch import Stopwatch
from transforms.schemas import register

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True)
class Pacing:
    """The counts of gates; `Pacing()` is zero.

    `refused` counts requests by reason. `seconds` is the time, by reason, in which any request of a
    process waited. `waited` are the seconds in which any request waited for the
    provider.
    """

    sent: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    waited: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.sent or self.refused or self.seconds or self.waited)

    def __add__(self, other: "Pacing") -> "Pacing":
        return Pacing(
            self.sent + other.sent,
            _sum(self.refused, other.refused),
            _sum(self.seconds, other.seconds),
            self.waited + other.waited,
        )

    def __sub__(self, other: "Pacing") -> "Pacing":
        return self + Pacing(
            -other.sent,
            {reason: -count for reason, count in other.refused.items()},
            {reason: -seconds for reason, seconds in other.seconds.items()},
            -other.waited,
        )

    @classmethod
    def of(cls, gate: Gate) -> "Pacing":
        """Return the counts of `gate` so far."""
        refused = {str(reason): count for reason, count in gate.refused_by.items() if count}
        seconds = {str(reason): spent for reason, spent in gate.held_for.items() if spent}
        return cls(gate.sent, refused, seconds, gate.waited)


register(Pacing)

_taken: WeakKeyDictionary[Gate, Pacing] = WeakKeyDictionary()
_taking = threading.Lock()


def take(gate: Gate) -> Pacing:
    """Return the counts of `gate` since the last call.

    The bundle threads of a process share its gate. Each count goes to one of them.
    """
    with _taking:
        now = Pacing.of(gate)
        new = now - _taken.get(gate, Pacing())
        _taken[gate] = now
    return new


_signalled: WeakKeyDictionary[Stopwatch, int] = WeakKeyDictionary()


def take_seconds(watch: Stopwatch, now: float) -> int:
    """Return the whole seconds of `watch` since the last call, by any bundle thread."""
    with _taking:
        before = _signalled.get(watch, 0)
        _signalled[watch] = max(before, int(watch.seconds(now)))
        return _signalled[watch] - before


def _sum(one: Mapping[str, Number], other: Mapping[str, Number]) -> dict[str, Number]:
    """Return the sum by key, without zeros."""
    sums = dict(one)
    for key, value in other.items():
        sums[key] = sums[key] + value if key in sums else value
    return {key: value for key, value in sums.items() if value}
