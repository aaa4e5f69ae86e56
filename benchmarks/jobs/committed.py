"""Measures committed streams on Prism: how long a prompt and a delta take, and what a delta costs.

    python -m benchmarks.jobs.committed latency    # 10 prompts a second, one in 40 takes 8 s
    python -m benchmarks.jobs.committed load       # 500 open streams, 20 deltas a second each
    python -m benchmarks.jobs.committed floor      # the same elements from a timer, without a model
    python -m benchmarks.jobs.committed wait       # elements to a step with timers, without a model

The consumer is behind a Reshuffle, so it sees what is committed. Each chunk contains the time at
which it was sent. `latency --core` measures the transform without `commit_every`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import orjson
from apache_beam.coders import VarIntCoder
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import userstate
from apache_beam.transforms.periodicsequence import PeriodicImpulse
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.utils.timestamp import Timestamp

from benchmarks import servers
from examples.runners import tools
from transforms import Delta, Prompt, StreamCompletions

BODY = orjson.dumps({"messages": [{"role": "user", "content": "x"}]}).decode()
SHARDS, EVERY = 8, 0.2
SLOW = {"slow_every": 40, "slow_ms": 8000}
_LEAD_SECONDS = 3.0
_DATE = 17  # characters of a date


class _SeeFn(beam.DoFn):  # type: ignore[misc]
    """Records when a delta was sent and how old it is on arrival.

    The lists belong to the class, which Beam finds by its name; it would copy those of a module.
    """

    late: list[float] = []  # noqa: RUF012 - how late Beam's own source was with each prompt
    seen: list[tuple[str, float, float]] = []  # noqa: RUF012

    def process(self, delta: Delta) -> None:
        if delta.text:
            sent = float(delta.text[:_DATE])  # of its first chunk, if it has several
            self.seen.append((delta.id, sent, time.monotonic() - sent))


class _CannedFn(beam.DoFn):  # type: ignore[misc]
    """Emits the deltas of some streams from a timer, as a committed stream does."""

    LEFT = userstate.ReadModifyWriteStateSpec("left", VarIntCoder())
    TICK = userstate.TimerSpec("tick", TimeDomain.REAL_TIME)

    def __init__(self, streams: int, rate: int, seconds: float) -> None:
        self._count = round(streams * rate * EVERY / SHARDS)
        self._ticks = round(seconds / EVERY)

    def process(
        self,
        keyed: tuple[int, int],
        left: Any = beam.DoFn.StateParam(LEFT),
        tick: Any = beam.DoFn.TimerParam(TICK),
    ) -> None:
        left.write(self._ticks)
        tick.set(Timestamp.of(time.time() + EVERY))

    @userstate.on_timer(TICK)  # type: ignore[untyped-decorator]
    def emit(
        self,
        left: Any = beam.DoFn.StateParam(LEFT),
        tick: Any = beam.DoFn.TimerParam(TICK),
    ) -> Iterator[Delta]:
        now = b"%017.6f" % time.monotonic()
        chunk = orjson.dumps(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "m",
                "choices": [{"index": 0, "delta": {"content": now.decode()}}],
            }
        ).decode()
        for _ in range(self._count):
            yield Delta("x", 1, 0, now.decode(), None, chunk)
        left.write(left.read() - 1)
        if left.read():
            tick.set(Timestamp.of(time.time() + EVERY))


class _ArriveFn(beam.DoFn):  # type: ignore[misc]
    """Records how late elements arrive at a step whose keys all have a timer that ticks."""

    SEEN = userstate.ReadModifyWriteStateSpec("seen", VarIntCoder())
    TICK = userstate.TimerSpec("tick", TimeDomain.REAL_TIME)
    END = 0.0  # when to tick no more
    late: list[float] = []  # noqa: RUF012
    timers_late: list[float] = []  # noqa: RUF012

    def process(
        self,
        keyed: tuple[int, float],
        seen: Any = beam.DoFn.StateParam(SEEN),
        tick: Any = beam.DoFn.TimerParam(TICK),
    ) -> None:
        self.late.append(time.time() - keyed[1])
        if not seen.read():
            self._tick(seen, tick)

    @userstate.on_timer(TICK)  # type: ignore[untyped-decorator]
    def again(
        self, seen: Any = beam.DoFn.StateParam(SEEN), tick: Any = beam.DoFn.TimerParam(TICK)
    ) -> None:
        self.timers_late.append(time.time() - seen.read() / 1000)
        if time.time() < self.END:
            self._tick(seen, tick)

    def _tick(self, seen: Any, tick: Any) -> None:
        due = (int(time.time() * 1000) // 200 + 1) * 200
        seen.write(due)
        tick.set(Timestamp(micros=due * 1000))


def wait(seconds: float = 20.0) -> dict[str, Any]:
    """Return how late elements reach a step with timers, and timers: Beam's and Prism's own part.

    The input and the timers are those of `latency`; no prompt is sent.
    """
    p = _pipeline()
    start = time.time() + _LEAD_SECONDS
    _ArriveFn.END = start + seconds

    def due(tick: float) -> tuple[int, float]:
        _SeeFn.late.append(time.time() - float(tick))
        return round(float(tick) * 10) % SHARDS, float(tick)

    ticks = p | PeriodicImpulse(start, start + seconds, 0.1, apply_windowing=False)
    keyed = ticks | beam.Map(due).with_output_types(tuple[int, float])
    keyed | beam.ParDo(_ArriveFn())
    p.run().wait_until_finish()
    return {
        "source_late": _quantiles(_SeeFn.late),
        "due_to_step": _quantiles(_ArriveFn.late),
        "timer_late": _quantiles(_ArriveFn.timers_late),
    }


def latency(seconds: float = 20.0, core: bool = False, shards: int = SHARDS) -> dict[str, Any]:
    """Return seconds from due to sent, and from the server's socket to the consumer."""
    with servers.serving("paced", chunks=4, gap_ms=100, dated=True, **SLOW) as server:
        start = time.time() + _LEAD_SECONDS
        shift = time.monotonic() - time.time()

        def due(tick: float) -> Prompt:
            when = float(tick) + shift
            _SeeFn.late.append(time.monotonic() - when)
            return Prompt(f"{when:.6f}", BODY)

        options = {} if core else {"commit_every": EVERY, "shards": shards}
        _run(due, start, seconds, 0.1, server.base_url, **options)
        served = server.stats()
    firsts: dict[str, float] = {}
    for id, sent, _ in _SeeFn.seen:
        firsts[id] = min(sent, firsts.get(id, sent))
    waits = [sent - float(id) for id, sent in firsts.items()]
    late = SLOW["slow_ms"] / 1000  # the first chunk of a slow response is sent that much later
    waits = [wait - late if wait > late else wait for wait in waits]
    ages = [age for *_, age in _SeeFn.seen]
    return {
        "prompts": len(firsts),
        "requests": served["requests"],
        "deltas": len(ages),
        "source_late": _quantiles(_SeeFn.late),
        "due_to_sent": _quantiles(waits),
        "delta_to_consumer": _quantiles(ages),
    }


def load(
    streams: int = 500, rate: int = 20, seconds: float = 20.0, buffer_msec: int = 0
) -> dict[str, Any]:
    """Return the delay of deltas and their CPU while `streams` are open."""
    chunks = round(rate * seconds)
    with servers.serving("paced", chunks=chunks, gap_ms=1000 / rate, dated=True) as server:
        start = time.time() + _LEAD_SECONDS

        def all_at_once(tick: float) -> Iterator[Prompt]:
            if float(tick) - start < 0.01:
                yield from (Prompt(str(n), BODY) for n in range(streams))

        options: dict[str, Any] = {"commit_every": EVERY, "shards": SHARDS}
        options["max_in_flight"] = streams
        if buffer_msec:
            options["buffer_msec"] = buffer_msec
        used = _run(all_at_once, start, seconds, 1.0, server.base_url, many=True, **options)
        served = server.stats()
    ages = [age for *_, age in _SeeFn.seen]
    quarter = len(ages) // 4
    return {
        "max_open": served["max_open"],
        "deltas": len(ages),
        "delta_to_consumer": _quantiles(ages),
        "first_quarter": _quantiles(ages[:quarter])["p50"],
        "last_quarter": _quantiles(ages[-quarter:])["p50"],
        **used,
        "server_late_msec": served["max_late_msec"],
    }


def floor(streams: int = 500, rate: int = 20, seconds: float = 20.0) -> dict[str, Any]:
    """Return the CPU of as many deltas that a timer emits: Beam's own cost of such an element."""
    _SeeFn.seen.clear()
    p = _pipeline()
    start = time.time() + _LEAD_SECONDS

    def all_at_once(tick: float) -> Iterator[tuple[int, int]]:
        if float(tick) - start < 0.01:
            yield from ((n, 0) for n in range(SHARDS))

    ticks = p | PeriodicImpulse(start, start + seconds, 1.0, apply_windowing=False)
    keys = ticks | beam.FlatMap(all_at_once).with_output_types(tuple[int, int])
    canned = keys | beam.ParDo(_CannedFn(streams, rate, seconds)).with_output_types(Delta)
    canned | "Commit" >> beam.Reshuffle() | beam.ParDo(_SeeFn())
    used = _measured(p)
    ages = [age for *_, age in _SeeFn.seen]
    return {"deltas": len(ages), "delta_to_consumer": _quantiles(ages), **used}


def _run(
    prompts_of: Any,
    start: float,
    seconds: float,
    interval: float,
    base_url: str,
    many: bool = False,
    **options: Any,
) -> dict[str, float]:
    """Run a pipeline on Prism; return the CPU of a delta."""
    _SeeFn.seen.clear()
    p = _pipeline()
    ticks = p | PeriodicImpulse(start, start + seconds, interval, apply_windowing=False)
    made = (beam.FlatMap if many else beam.Map)(prompts_of)
    streamed = (
        ticks
        | made.with_output_types(Prompt)
        | StreamCompletions("openai/m", base_url=base_url, **options)
    )
    streamed.deltas | "Commit" >> beam.Reshuffle() | beam.ParDo(_SeeFn())
    return _measured(p)


def _measured(p: beam.Pipeline) -> dict[str, float]:
    """Run `p`; return the CPU of a delta, without the start and the end of the job.

    It is that between the first fifth of the deltas and the last tenth.
    """
    samples: list[tuple[int, float, float]] = []
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(0.2):
            samples.append((len(_SeeFn.seen), time.process_time(), _of_prism()))

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        p.run().wait_until_finish()
    finally:
        ended.set()
        sampler.join()
    count = len(_SeeFn.seen)
    middle = [each for each in samples if count / 5 <= each[0] <= count * 9 / 10]
    if len(middle) < 2:
        return {}
    (seen, python, prism), (seen_later, python_later, prism_later) = middle[0], middle[-1]
    deltas = max(1, seen_later - seen)
    return {
        "python_usec_per_delta": round((python_later - python) / deltas * 1e6, 1),
        "prism_usec_per_delta": round((prism_later - prism) / deltas * 1e6, 1),
    }


def _pipeline() -> beam.Pipeline:
    flags = ["--runner=PrismRunner", f"--prism_location={tools.prism()}", "--streaming"]
    return beam.Pipeline(options=PipelineOptions(flags))


def _of_prism() -> float:
    """Return the CPU seconds of the children of this process that are Prism."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = stat.read_text().rpartition(")")
            fields = rest.split()
            if name.endswith("(prism") and int(fields[1]) == os.getpid():
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _quantiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    at = {"p50": 0.5, "p95": 0.95, "max": 1.0}
    return {
        name: round(ordered[min(len(ordered) - 1, int(len(ordered) * q))], 3)
        for name, q in at.items()
    }


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["latency", "load", "floor", "wait"])
    parser.add_argument("--core", action="store_true", help="of `latency`: without commit_every")
    parser.add_argument("--shards", type=int, default=SHARDS, help="of `latency`")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--streams", type=int, default=500, help="of `load`, `floor`")
    parser.add_argument("--buffer_msec", type=int, default=0, help="of `load`: join chunks")
    given = parser.parse_args()
    if given.what == "latency":
        print(latency(given.seconds, given.core, given.shards))
    elif given.what == "load":
        print(load(given.streams, seconds=given.seconds, buffer_msec=given.buffer_msec))
    elif given.what == "wait":
        print(wait(given.seconds))
    else:
        print(floor(given.streams, seconds=given.seconds))


if __name__ == "__main__":
    # Beam sends copies of what is in __main__ to the workers, which would fill a list of their own.
    from benchmarks.jobs import committed

    committed.main()
