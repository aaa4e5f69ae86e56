"""Compares rate control with the best fixed setting, simulated for many kinds of provider.

    python -m benchmarks.simulation.rate_control    # prints the table; takes minutes
    python -m benchmarks.simulation.rate_control "cap 32" "noise 20 %"
    python -m benchmarks.simulation.rate_control --plot docs/rate-control.svg

`job.py` says what is simulated. A job has 2,000 rows (400 where responses are long) and at most 256
in flight. A search over windows and rates finds the best fixed setting. `ours` is the goodput until
95 % of the rows are done, as a share of that setting's: the mean and the minimum of three seeds.
`wait` is the longest time that a row was queued, `tries` the most refusals of one row.

These cases stay below 80 % of the best setting:

- 20 % and 50 % of noise, one of four replicas: a trial takes two seconds of a short job to show
  that sending less does not help. Longer jobs come closer.
- A strict rate (a bucket of 1) of 200 a second: the first burst is refused, and the growth from one
  request to 68 in flight takes most of the job.
- A strict rate with responses of a minute: a change of the window has no visible effect for a
  minute.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from statistics import mean
from typing import Any

from benchmarks.simulation.job import Outcome, Setting, best_fixed, simulate
from benchmarks.simulation.provider import Dip, Server

FAMILY = {
    "no refusals": Server(),
    "no refusals, exponential": Server(spread="exponential"),
    "noise 1 %": Server(noise=0.01),
    "noise 1 %, Retry-After": Server(noise=0.01, retry_after=1),
    "noise 5 %": Server(noise=0.05),
    "noise 5 %, Retry-After": Server(noise=0.05, retry_after=1),
    "noise 20 %": Server(noise=0.2),
    "noise 20 %, Retry-After": Server(noise=0.2, retry_after=1),
    "noise 50 %": Server(noise=0.5),
    "noise 50 %, Retry-After": Server(noise=0.5, retry_after=1),
    "one of 4 replicas": Server(replicas=4),
    "cap 32": Server(cap=32),
    "cap 32, Retry-After": Server(cap=32, retry_after=1),
    "cap 32, exponential": Server(cap=32, spread="exponential"),
    "cap 32, noise 20 %": Server(cap=32, noise=0.2),
    "50/s": Server(rate=50),
    "50/s, Retry-After": Server(rate=50, retry_after=1),
    "50/s, headers": Server(rate=50, headers=True),
    "50/s, both": Server(rate=50, headers=True, retry_after=1),
    "50/s, exponential": Server(rate=50, spread="exponential"),
    "50/s, noise 20 %": Server(rate=50, noise=0.2),
    "50/s, bucket of 5": Server(rate=50, depth=5),
    "50/s, bucket of 1": Server(rate=50, depth=1),
    "50/s, bucket of 1, Retry-After": Server(rate=50, depth=1, retry_after=1),
    "200/s": Server(rate=200, depth=200),
    "200/s, Retry-After": Server(rate=200, depth=200, retry_after=1),
    "200/s, headers": Server(rate=200, depth=200, headers=True),
    "200/s, both": Server(rate=200, depth=200, headers=True, retry_after=1),
    "200/s, bucket of 1": Server(rate=200, depth=1),
    "storm": Server(storm=(0.3, 3.3)),
    "storm, Retry-After": Server(storm=(0.3, 3.3), retry_after=1),
    "dip": Server(dip=Dip(1, 21, 25)),
    "dip, noise 5 %": Server(dip=Dip(1, 21, 25), noise=0.05),
    "knee at 64": Server(knee=64),
    "knee at 64, exponential": Server(knee=64, spread="exponential"),
    "10 s responses, 10/s": Server(rate=10, depth=10, seconds=10, ttft=1, spread="exponential"),
    "30 s responses, cap 32": Server(cap=32, seconds=30, ttft=1, spread="exponential"),
    "60 s responses, 1/s, bucket of 1": Server(rate=1, depth=1, seconds=60, ttft=1),
}
SEEDS = (1, 2, 3)
# Servers and rows of the plots. Each job must be long enough to show its shape.
PICTURES = {
    "capacity falls to a tenth from 3 s to 13 s": (Server(dip=Dip(3, 13, 25)), 9000),
    "storm from 3 s to 6 s": (Server(storm=(3, 6)), 6000),
    "20 % refused at random": (Server(noise=0.2), 6000),
    "32 in flight at most": (Server(cap=32), 1500),
    "200 requests/s": (Server(rate=200, depth=200), 3000),
    "queues beyond 64 in flight": (Server(knee=64), 3000),
}
WIDTH = 0.5  # seconds of goodput that become one point


@dataclass(frozen=True)
class Comparison:
    """The outcomes of our rate control, one for each seed, and the best fixed setting."""

    best: Setting
    ours: list[Outcome]

    @property
    def ratios(self) -> list[float]:
        """Our goodput for each seed, as a share of the best setting's."""
        return [outcome.goodput() / self.best.outcome.goodput() for outcome in self.ours]


def rows_of(server: Server) -> int:
    """Return the number of rows of a job against `server`."""
    return 400 if server.seconds >= 10 else 2000


def compare(server: Server, seeds: tuple[int, ...] = SEEDS) -> Comparison:
    """Compare both against `server`."""
    rows = rows_of(server)
    best = best_fixed(server, rows=rows)
    return Comparison(best, [simulate(server, rows=rows, seed=seed) for seed in seeds])


def line(name: str, found: Comparison) -> str:
    """Return one row of the table."""
    window, rate, fixed = found.best
    setting = f"{window} in flight" + (f", {rate:g}/s" if rate else "")
    wasted, wait, tries = (
        mean(outcome.wasted for outcome in found.ours),
        max(outcome.longest_wait for outcome in found.ours),
        max(outcome.most_refusals for outcome in found.ours),
    )
    return (
        f"| {name} | {setting} | {fixed.seconds:.1f} s | {mean(found.ratios):.2f}"
        f" | {min(found.ratios):.2f} | {fixed.wasted:.0%} | {wasted:.0%} | {wait:.1f} s | {tries} |"
    )


HEAD = """\
| provider | best fixed setting | takes | ours | least | it wasted | we wasted | wait | tries |
|---|---|---|---|---|---|---|---|---|"""


def plot(path: str) -> None:
    """Plot the rows done per second over time, of our rate control and the best setting."""
    import matplotlib

    matplotlib.use("svg" if path.endswith(".svg") else "agg")
    matplotlib.rcParams["svg.hashsalt"] = "rate-control"  # makes the file reproducible
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 3, figsize=(11, 5.4))
    for axis, (title, (server, rows)) in zip(axes.flat, PICTURES.items(), strict=True):
        axis.set_title(title, fontsize=10)
        _draw(axis, "best fixed setting", best_fixed(server, rows=rows).outcome, "tab:gray")
        _draw(axis, "ritellm", simulate(server, rows=rows), "tab:blue")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    for axis in axes[:, 0]:
        axis.set_ylabel("rows completed per second")
    for axis in axes[1]:
        axis.set_xlabel("seconds")
    axes[0][0].legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None)


def _draw(axis: Any, label: str, outcome: Outcome, color: str) -> None:
    """Plot one job up to 98 % of its rows, smoothed: equally long responses end in waves."""
    end = outcome.done[int(0.98 * len(outcome.done)) - 1]
    points = [WIDTH + 0.1 * n for n in range(int((end - WIDTH) / 0.1))]
    rates = [outcome.rate(max(0.0, t - 2 * WIDTH), t) for t in points]
    axis.plot(points, rates, label=label, linewidth=1.4, color=color)


def main() -> None:
    """Print the table and write the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="rows of the table; default: all")
    parser.add_argument("--plot", metavar="FILE", help="write an .svg or .png; needs matplotlib")
    ours = parser.parse_args()
    print(HEAD)
    for name in ours.names or FAMILY:
        print(line(name, compare(FAMILY[name])), flush=True)
    if ours.plot:
        plot(ours.plot)


if __name__ == "__main__":
    main()
