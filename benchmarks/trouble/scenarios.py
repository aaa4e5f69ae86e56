"""Compares jobs against a provider in trouble with the same job without trouble.

    python -m benchmarks.trouble.scenarios            # the table
    python -m benchmarks.trouble.scenarios NAME ...   # some of its rows, named as in `SCENARIOS`

2,000 rows of 340 ms, 256 in flight, unless a row says otherwise. The server is a process of its own
(`servers.py --trouble`). Seconds are from the start of the first request to the end of the last
response: the start-up of `pipelines.batch_complete` varies by more than some troubles cost. `ideal`
is what the provider's limit allows. A figure that is compared with the job without trouble is the
median of three jobs, as that one is.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import servers
from benchmarks.jobs import batch

ROWS, IN_FLIGHT = 2000, 256
RESPONSE = {"chunks": 20, "gap_ms": 2.0, "first_ms": 300.0}
SECONDS = 0.34


@dataclass(frozen=True)
class Scenario:
    """One row of the table; its ratio should stay below `goal`."""

    what: str
    goal: float
    rows: int = ROWS
    ideal: float | None = None  # seconds; None for those of the job without trouble
    most_wasted: float | None = None  # the share of requests


def _noise(share: int, goal: float, goal_with_header: float) -> dict[str, Scenario]:
    what = f"{share} % of attempts refused at random"
    plain = {
        f"noise-{share}-{status}": Scenario(f"{what}, {status}", goal) for status in (429, 503, 529)
    }
    header = Scenario(f"{what}, 429, `Retry-After: 1`", goal_with_header)
    return plain | {f"noise-{share}-429-retry-after": header}


def _bucket(rate: int, suffix: str, what: str) -> dict[str, Scenario]:
    ideal = (ROWS - rate) / rate + SECONDS  # the bucket is full at first
    title = f"token bucket of {rate} requests/s{what}"
    return {f"bucket-{rate}{suffix}": Scenario(title, 1.1, ideal=ideal, most_wasted=0.1)}


_SAYS = {
    "": "",
    "-retry-after": ", `Retry-After: 1`",
    "-headers": ", limit headers",
    "-retry-after-headers": ", both",
}
SCENARIOS: dict[str, Scenario] = {
    **_noise(1, 1.1, 1.5),
    **_noise(5, 1.25, 1.5),
    "noise-20-503": Scenario("20 % of attempts refused at random, 503", 1.6),
    "noise-50-503": Scenario("50 % of attempts refused at random, 503", 3.0),
    "replica": Scenario("one of four replicas refuses everything", 1.6),
    "replica-by-connection": Scenario("the same, a replica for each connection", 1.6),
    "poison": Scenario("one row in ten fails all its attempts", 1.3),
    "cap-32": Scenario(
        "at most 32 in flight, 429 beyond", 1.15, ideal=ROWS / 32 * SECONDS, most_wasted=0.1
    ),
    **{
        k: v for rate in (50, 200) for s, w in _SAYS.items() for k, v in _bucket(rate, s, w).items()
    },
    "storm": Scenario("429 to every request for 3 s, `Retry-After: 1`", 0.0),
    "dip": Scenario("at most 25 in flight from second 3 to 23", 0.0, rows=12_000),
    "knee-64": Scenario("responses take longer beyond 64 in flight", 1.05, rows=4000),
}


@dataclass(frozen=True)
class Outcome:
    """The outcome of a scenario."""

    seconds: float
    failed: int
    requests: int
    refused: int
    ends: list[float]
    firsts: list[float]

    @property
    def wasted(self) -> float:
        """The share of requests that were refused."""
        return self.refused / self.requests


def run(name: str | None, rows: int, in_flight: int = IN_FLIGHT) -> Outcome:
    """Return the outcome of a job of `rows` against a provider with this trouble."""
    options: dict[str, Any] = {**RESPONSE, **({"trouble": name} if name else {})}
    with tempfile.TemporaryDirectory() as folder, servers.serving("paced", **options) as server:
        whole = batch.run(Path(folder) / "full", rows, server, in_flight, may_fail=True)
        served = server.stats()
    return Outcome(
        whole["span"],
        int(whole["failed"]),
        served["requests"],
        served["refused"],
        served["ends"],
        served["firsts"],
    )


def median_of(runs: int, name: str | None, rows: int) -> Outcome:
    """Return the outcome of the job whose time is the median of `runs` equal jobs."""
    outcomes = sorted((run(name, rows) for _ in range(runs)), key=lambda each: each.seconds)
    return outcomes[runs // 2]


ABOUT = (
    "2,000 rows of 340 ms, 256 in flight, by `benchmarks/trouble/scenarios.py`. Seconds are from"
    " the start of the first request to the end of the last response. The ratio is to the same job"
    " without trouble (medians of three), or to what the limit allows."
)


def table(names: list[str] | None = None) -> list[str]:
    """Return the lines of the table, as Markdown; print each as soon as it is measured."""
    usual = median_of(3, None, ROWS).seconds
    lines = [
        "| provider | seconds | refused | ratio | goal |",
        "|---|---|---|---|---|",
        f"| no trouble | {usual:.1f} s | 0% | 1x | |",
    ]
    print(*lines, sep="\n", flush=True)
    for name in names or SCENARIOS:
        lines.append(_line(name, usual))
        print(lines[-1], flush=True)
    return lines


def _line(name: str, usual: float) -> str:
    scenario = SCENARIOS[name]
    outcome = median_of(1 if scenario.ideal or scenario.rows > ROWS else 3, name, scenario.rows)
    seconds = outcome.seconds
    if name == "storm":
        more = f"{seconds - usual:.1f} s more, {outcome.refused} requests refused"
        return f"| {scenario.what} | {seconds:.1f} s | {outcome.wasted:.0%} | {more} | |"
    if name == "dip":
        found = f"90 % of the old rate {_recovered(outcome.ends):.1f} s after the dip"
        return f"| {scenario.what} | {seconds:.1f} s | {outcome.wasted:.0%} | {found} | 5 s |"
    if name == "knee-64":
        return _knee_line(scenario, outcome, seconds)
    ratio = seconds / (scenario.ideal or usual)
    failed = f", {outcome.failed} rows failed" if outcome.failed else ""
    return (
        f"| {scenario.what}{failed} | {seconds:.1f} s | {outcome.wasted:.0%} | {ratio:.2f}x |"
        f" {scenario.goal:g}x |"
    )


def _knee_line(scenario: Scenario, outcome: Outcome, seconds: float) -> str:
    best = scenario.rows / 64 * (RESPONSE["first_ms"] / 1000)  # only this wait grows
    settled = outcome.firsts[len(outcome.firsts) // 4 :]
    first = statistics.median(settled) / (RESPONSE["first_ms"] / 1000)
    return (
        f"| {scenario.what} | {seconds:.1f} s | {outcome.wasted:.0%} | {seconds / best:.2f}x, first"
        f" chunk {first:.1f}x that at the knee | {scenario.goal:g}x, 2x |"
    )


def _recovered(ends: list[float], begin: float = 3.0, end: float = 23.0) -> float:
    """Return the seconds from `end` until one second has 90 % of the rate before `begin`."""
    before = sum(1.0 <= t < begin for t in ends) / (begin - 1.0)
    for tenth in range(300):
        since = end + tenth / 10
        if sum(since <= t < since + 1 for t in ends) >= 0.9 * before:
            return tenth / 10
    return float("inf")


if __name__ == "__main__":
    table(sys.argv[1:])
