"""Simulates many workers that share one provider, each with the rate control of a job.

    python -m benchmarks.simulation.fleet                 # prints the table
    python -m benchmarks.simulation.fleet --plot docs/fleet.svg

Each worker has a real `Pace` with a simulated clock. The rest is simulated: a worker that never
runs out of rows, and a provider with a bucket of one second's requests. The provider refuses a
request if the bucket is empty, with or without `Retry-After: 1`.

The limit is a tenth of what the workers could send without one. With `fixed` it is 50 requests a
second for the whole fleet, whatever its size.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

from benchmarks.simulation.clock import Clock
from ritellm.rate_limits.pace import Limits, Pace
from ritellm.rate_limits.sample import Permit

IN_FLIGHT = 64
RESPONSE_SECONDS = 2.0  # the mean; a response takes 0.5 to 1.5 times as long
ROUND_TRIP = 0.05
FIXED_LIMIT = 50.0
SIZES = (1, 10, 100, 1000)
CASES = {
    "Retry-After: 1": {"retry_after": 1.0},
    "no Retry-After": {"retry_after": None},
    "fixed, Retry-After: 1": {"retry_after": 1.0, "fixed": True},
    "fixed, no Retry-After": {"retry_after": None, "fixed": True},
}


class Provider:
    """Accepts `limit` requests a second, and as many at once; counts requests by second."""

    def __init__(self, clock: Clock, limit: float) -> None:
        self.limit = limit
        self.taken: Counter[int] = Counter()
        self.refused: Counter[int] = Counter()
        self._clock = clock
        self._full = max(1.0, limit)
        self._level, self._since = self._full, 0.0

    def takes(self) -> bool:
        """Return whether it accepts the next request, and count that request."""
        now = self._clock.now
        self._level = min(self._full, self._level + (now - self._since) * self.limit)
        self._since = now
        accepted = self._level >= 1
        self._level -= accepted
        (self.taken if accepted else self.refused)[int(now)] += 1
        return accepted


class Worker:
    """One process, which uses a pace as `ritellm.rate_limits.gate` does, on a virtual clock."""

    def __init__(
        self, clock: Clock, provider: Provider, dice: random.Random, retry_after: float | None
    ) -> None:
        self.answered = 0
        self._clock, self._provider, self._dice = clock, provider, dice
        self._retry_after = retry_after
        self._pace = Pace(Limits(IN_FLIGHT), clock.now)
        self._timer = 0  # the number of the newest timer; older timers do nothing
        # The workers of a fleet do not start at the same time.
        clock.after(dice.random() * 5, self._admit)

    def _admit(self) -> None:
        self._timer += 1
        while (wait := self._pace.wait(self._clock.now)) == 0:
            self._send(self._pace.start(self._clock.now))
        if wait is not None:
            number = self._timer
            self._clock.after(wait, lambda: self._admit() if number == self._timer else None)

    def _send(self, permit: Permit) -> None:
        self._clock.after(ROUND_TRIP / 2, lambda: self._arrive(permit))

    def _arrive(self, permit: Permit) -> None:
        then = self._accepted if self._provider.takes() else self._refused
        self._clock.after(ROUND_TRIP / 2, lambda: then(permit))

    def _accepted(self, permit: Permit) -> None:
        self._pace.accepted(permit, self._clock.now, {})
        seconds = RESPONSE_SECONDS * (0.5 + self._dice.random())
        self._clock.after(seconds, lambda: self._answered(permit))
        self._admit()

    def _answered(self, permit: Permit) -> None:
        self.answered += 1
        self._pace.completed(permit, None, self._clock.now)
        self._pace.end(permit, self._clock.now)
        self._admit()

    def _refused(self, permit: Permit) -> None:
        self._pace.refused(permit, self._clock.now, self._retry_after)
        self._pace.end(permit, self._clock.now)
        self._admit()


@dataclass(frozen=True)
class Outcome:
    """The outcome of a simulation: shares by second, and the fairness."""

    utilisation: list[float]  # of the limit
    refused: list[float]  # of the requests
    fairness: float  # Jain's index of completions by worker; 1 if all have the same number

    def mean(self, series: str, settled: int) -> float:
        """Return the mean of a series from the second `settled` on."""
        values = getattr(self, series)[settled:]
        return sum(values) / len(values)


def simulate(
    workers: int, seconds: int, *, retry_after: float | None, fixed: bool = False, seed: int = 1
) -> Outcome:
    """Return the outcome of `workers` that share one provider for `seconds`."""
    clock, dice = Clock(), random.Random(seed)
    limit = FIXED_LIMIT if fixed else workers * IN_FLIGHT / RESPONSE_SECONDS / 10
    provider = Provider(clock, limit)
    fleet = [Worker(clock, provider, dice, retry_after) for _ in range(workers)]
    clock.run(seconds)
    answers = [worker.answered for worker in fleet]
    squares = sum(count * count for count in answers)
    requests = [max(1, provider.taken[s] + provider.refused[s]) for s in range(seconds)]
    return Outcome(
        [provider.taken[s] / limit for s in range(seconds)],
        [provider.refused[s] / requests[s] for s in range(seconds)],
        sum(answers) ** 2 / (workers * squares) if squares else 0.0,
    )


def measure(sizes: tuple[int, ...] = SIZES, seconds: int = 180) -> dict[str, dict[int, Outcome]]:
    """Return the outcomes by case and size of the fleet."""
    return {
        case: {workers: simulate(workers, seconds, **options) for workers in sizes}
        for case, options in CASES.items()
    }


def table(found: dict[str, dict[int, Outcome]]) -> str:
    """Return the second half of each simulated time as a Markdown table."""
    lines = ["| limit | workers | used | refused | fairness |", "|---|---|---|---|---|"]
    for case, outcomes in found.items():
        for workers, outcome in outcomes.items():
            half = len(outcome.utilisation) // 2
            used, refused = (outcome.mean(name, half) for name in ("utilisation", "refused"))
            lines.append(
                f"| {case} | {workers:,} | {used:.0%} | {refused:.0%} | {outcome.fairness:.2f} |"
            )
    return "\n".join(lines) + "\n"


def plot(found: dict[str, dict[int, Outcome]], path: str) -> None:
    """Plot the used share of the limit and the refused share of requests over time."""
    import matplotlib

    matplotlib.use("svg" if path.endswith(".svg") else "agg")
    matplotlib.rcParams["svg.hashsalt"] = "fleet"  # makes the file reproducible
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        2, len(found), figsize=(3.4 * len(found), 5), sharex=True, sharey=True, squeeze=False
    )
    for column, (case, outcomes) in enumerate(found.items()):
        axes[0][column].set_title(case, fontsize=10)
        for row, name in enumerate(("utilisation", "refused")):
            _draw(axes[row][column], {n: getattr(o, name) for n, o in outcomes.items()})
        axes[1][column].set_xlabel("seconds")
    axes[0][0].set_ylabel("share of the limit used")
    axes[1][0].set_ylabel("share of requests refused")
    axes[0][-1].legend(title="workers", fontsize=8, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None)


def _draw(axis: Any, series: dict[int, list[float]], window: int = 5) -> None:
    for workers, values in series.items():
        smooth = [
            sum(values[max(0, s - window) : s + 1]) / len(values[max(0, s - window) : s + 1])
            for s in range(len(values))
        ]
        axis.plot(smooth, label=f"{workers:,}", linewidth=1)
    axis.set_ylim(0, 1.1)
    axis.grid(alpha=0.3)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=180)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--plot", metavar="FILE", help="write an .svg or .png; needs matplotlib")
    ours = parser.parse_args()
    outcomes = measure(tuple(ours.sizes), ours.seconds)
    print(table(outcomes))
    if ours.plot:
        plot(outcomes, ours.plot)
