"""Targets for what others may have written: deltas, completions, prices, compressed files."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import tempfile
import zlib
from functools import partial
from pathlib import Path

import orjson
from deltas import deltas_of

from fuzz.target import Target
from pipelines.inputs.compression import DamagedFile, opened
from pipelines.outputs.report import Totals
from ritellm import Finished, Follower, InvalidRequestError
from ritellm.prices import cost, parse_prices
from transforms.assembly.delta_sum import DeltaSum
from transforms.columns import fits
from transforms.elements import Completion, DeadLetter, Delta, Prompt
from transforms.serialization import to_bytes, to_delta
from transforms.worker.outcomes import to_completion
from transforms.worker.recorded.entries import as_deltas, from_value, to_value

ROWS = b"".join(b'{"id": "r%d", "prompt": "hello %d"}\n' % (n, n * n) for n in range(200))
SUBMISSION = "20260101T000000Z-b-c"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
MESSAGE = {"role": "assistant", "content": "Hello", "tool_calls": None}
PRICES = [
    b'{"openai/m": {"input": 0.5, "output": 1, "cached_input": 0.1, "tiers": {"flex": 0.5,'
    b' "priority": {"input": 1, "output": 2}}, "long_above": 1000, "long": {"input": 2,'
    b' "output": 3}}, "x/y": {"input": 0, "output": 0}}'
]


def targets() -> list[Target]:
    """Return the targets of this module."""
    packed = {
        ".gz": gzip.compress(ROWS, mtime=0),
        ".bz2": bz2.compress(ROWS),
        ".xz": lzma.compress(ROWS),
        ".deflate": zlib.compress(ROWS),
    }
    return [
        Target("deltas", [_deltas()], read_deltas),
        Target("completions", [to_value(_completion())], read_completion),
        Target("prices", PRICES, read_prices),
        *(Target(f"packed{s}", [data], partial(read_packed, s)) for s, data in packed.items()),
    ]


def _deltas() -> bytes:
    """Return the deltas of two attempts and of another prompt, one a line."""
    again = [delta._replace(submission=SUBMISSION) for delta in deltas_of("a", 2)]
    rows = [*deltas_of("a", final=False), *again, *deltas_of("b", pieces=("p", "q"))]
    return b"\n".join(map(to_bytes, rows))


def _completion() -> Completion:
    choice = {"index": 0, "message": MESSAGE, "finish_reason": "stop"}
    whole = {"id": "c", "object": "chat.completion", "model": "m", "created": 1}
    timing = {"ttft": 0.1, "inter_chunk": {"p50": 0.1, "p95": 0.2}, "total": 1.5}
    outcome = {"attempts": 1, "ended_at": 1.5, "timing": timing, "cost_usd": 0.1}
    return to_completion("a", {**whole, "choices": [choice], "usage": USAGE}, outcome, None)


def read_deltas(data: bytes) -> None:
    """Follow the deltas in `data`, one a line, and put each prompt together."""
    follower, sums = Follower(max_open=2), dict[str, DeltaSum]()
    events = []
    for line in data.split(b"\n"):
        with contextlib.suppress(ValueError):
            events += follower.feed(line)
        with contextlib.suppress(ValueError):
            delta = to_delta(line)
            assert isinstance(delta, Delta)
            to_bytes(delta)
            sums.setdefault(delta.id, DeltaSum()).add(delta)
    for event in [*events, *follower.close()]:
        assert isinstance(event.id, str)
        assert isinstance(event.text if isinstance(event, Finished) else event.id, str)
    for each in sums.values():
        _report(each.outcome())


def read_completion(data: bytes) -> None:
    """Read `data` as a completion of a journal, and write it as a job does."""
    completion = from_value(data, Prompt("a", "{}"))
    if completion is not None:
        _report(completion)
        for delta in as_deltas(completion, SUBMISSION):
            assert fits(delta)
            assert to_delta(to_bytes(delta)).seq == delta.seq


def _report(outcome: Completion | DeadLetter) -> None:
    orjson.loads(to_bytes(outcome))
    totals = Totals()
    totals.add(outcome)
    orjson.dumps(totals.as_dict())


def read_prices(data: bytes) -> None:
    """Read `data` as a file of prices, and compute a cost."""
    with contextlib.suppress(InvalidRequestError):
        table = parse_prices(data, "prices.json")
        for model in ("openai/m", "x/y"):
            for tier in (None, "flex", "priority"):
                usd = cost(model, USAGE, table, tier)
                assert usd is None or 0 <= usd < float("inf")


def read_packed(suffix: str, data: bytes) -> None:
    """Read the lines of a compressed file: a damaged one raises DamagedFile."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rows.jsonl{suffix}"
        path.write_bytes(data)
        with contextlib.suppress(DamagedFile), opened(str(path)) as file:
            for _ in file:
                pass
