"""Runs small jobs against a provider in trouble: 200 rows, 32 in flight, responses of 140 ms.

    python -m benchmarks.trouble.bad_day [NAME ...]

storm      429 with `Retry-After: 1` to every request from 0.3 s to 3.3 s
limit      a bucket of 50 requests, refilled at 50 a second; 429 beyond, without `Retry-After`
limit-ra   the same with `Retry-After: 1`
errors     500 to every tenth attempt
straggler  every 50th first attempt takes 8 s; hedging on

Prints completed rows, seconds from the first request to the last completion, requests and refusals.
The server is that of the tests. It is not the bottleneck: a normal run takes 1.0 s, and the minimum
is 0.98 s.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import apache_beam as beam
import orjson

from benchmarks import ROOT
from transforms import CompletePrompts, Prompt

sys.path.insert(0, str(ROOT / "tests" / "support"))

from fake_server import FakeServer, Pause, Reply, Request, api_error, chat_events, stream

ROWS, IN_FLIGHT = 200, 32
EVENTS = chat_events(["word "] * 20)
ANSWER = stream(Pause(0.1), *(step for event in EVENTS for step in (event, Pause(0.002))))


class Provider:
    """Responds as its scenario defines, by the time since the first request."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.began: float | None = None
        self.ended = 0.0
        self.seen: dict[bytes, int] = {}
        self.requests = self.refused = 0
        self.level, self.filled = 50.0, 0.0

    def __call__(self, request: Request) -> Reply:
        now = time.monotonic()
        self.began = self.began or now
        self.ended = now - self.began
        self.requests += 1
        first = request.body not in self.seen
        self.seen[request.body] = self.seen.get(request.body, 0) + 1
        reply = self._trouble(self.ended, first)
        self.refused += reply is not None and reply.status != 200
        return reply or ANSWER

    def _trouble(self, t: float, first: bool) -> Reply | None:
        if self.name == "storm" and 0.3 < t < 3.3:
            return api_error(429, headers={"retry-after": "1"})
        if self.name.startswith("limit"):
            self.level, self.filled = min(50.0, self.level + (t - self.filled) * 50), t
            if self.level < 1:
                headers = {"retry-after": "1"} if self.name == "limit-ra" else {}
                return api_error(429, headers=headers)
            self.level -= 1
        if self.name == "errors" and self.requests % 10 == 0:
            return api_error(500)
        if self.name == "straggler" and first and len(self.seen) % 50 == 0:
            return stream(Pause(8.0), *EVENTS)
        return None


def run(name: str) -> dict[str, Any]:
    """Return the outcome of the scenario."""
    provider, completed = Provider(name), []
    with FakeServer(provider) as server:
        with beam.Pipeline(runner="FnApiRunner") as p:
            options: dict[str, Any] = {"hedge_after": "p95"} if name == "straggler" else {}
            done = (
                p
                | beam.Create(range(ROWS), reshuffle=False)
                | beam.Map(_prompt).with_output_types(Prompt)
                | CompletePrompts(
                    "openai/m", base_url=server.base_url, max_in_flight=IN_FLIGHT, **options
                )
            )
            done.completions | beam.ParDo(_NoteFn())
        span = _NoteFn.last - (provider.began or 0.0)
        completed = list(_NoteFn.ids)
        _NoteFn.ids.clear()
    return {
        "completed": len(set(completed)),
        "span": round(span, 2),
        "requests": provider.requests,
        "refused": provider.refused,
    }


class _NoteFn(beam.DoFn):
    """Records the ids of completed rows, in this process."""

    ids: list[str] = []  # noqa: RUF012
    last = 0.0

    def process(self, row: Any) -> None:
        self.ids.append(row.id)
        _NoteFn.last = time.monotonic()


def _prompt(number: int) -> Prompt:
    body = {"messages": [{"role": "user", "content": f"question {number}"}]}
    return Prompt(str(number), orjson.dumps(body).decode())


if __name__ == "__main__":
    names = sys.argv[1:] or ["normal", "storm", "limit", "limit-ra", "errors", "straggler"]
    for name in names:
        print(f"{name:<10}", run(name), flush=True)
