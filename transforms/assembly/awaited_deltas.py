"""Awaits the deltas of a prompt in a stream: until they are whole, or until the prompt goes silent.

    (none) --a final delta and all before it--> JUDGED: completion is out
       '------------ silence timer -----------> JUDGED: dead letter is out

What holds: each prompt has one outcome per window. A timer never moves back. The deltas are read
only when they may be whole, so the cost of a delta does not grow with their number. The coders of
the state are part of a running job: an update keeps the state only if they stay the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import orjson
from apache_beam.coders import StrUtf8Coder, VarIntCoder, registry
from apache_beam.transforms import userstate
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Timestamp

from ritellm.chunks.submission import prompt_of
from transforms.assembly.delta_sum import DeltaSum
from transforms.elements import Completion, DeadLetter, Delta, Record
from transforms.graph.tags import INCOMPLETE

# The id of a prompt, and the digest of its request: two prompts may have one id.
Key = tuple[str, str]


def prompt_key(delta: Delta) -> Key:
    """Return the key that all deltas of one prompt have in common, and those of no other."""
    return delta.id, prompt_of(delta.submission)


def by_prompt(delta: Delta) -> tuple[Key, Delta]:
    """Return `delta` with its key."""
    return prompt_key(delta), delta


def sorted_out(_: Key, outcome: Completion | DeadLetter) -> Iterator[Any]:
    """Yield an outcome for its output."""
    if isinstance(outcome, DeadLetter):
        yield beam.pvalue.TaggedOutput(INCOMPLETE, outcome)
    else:
        yield outcome


# The progress of a prompt: no value, then its outcome is out.
JUDGED = 2


class AwaitFn(beam.DoFn):  # type: ignore[misc]
    """Keeps the deltas of a prompt until an attempt is whole, or until no delta arrives."""

    DELTAS = userstate.BagStateSpec("deltas", registry.get_coder(Delta))
    PROGRESS = userstate.ReadModifyWriteStateSpec("progress", VarIntCoder())
    # How many deltas are missing in the texts whose final delta is there, by rank. JSON.
    MISSING = userstate.ReadModifyWriteStateSpec("missing", StrUtf8Coder())
    # The newest timestamp in microseconds: deltas may arrive out of order.
    NEWEST = userstate.ReadModifyWriteStateSpec("newest", VarIntCoder())
    SILENCE = userstate.TimerSpec("silence", TimeDomain.WATERMARK)

    def __init__(self, wait_seconds: float, allowed_lateness: Any) -> None:
        self._wait = wait_seconds
        self._lateness = allowed_lateness

    def process(
        self,
        keyed: tuple[Key, Delta],
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
        deltas: Any = beam.DoFn.StateParam(DELTAS),
        progress: Any = beam.DoFn.StateParam(PROGRESS),
        missing: Any = beam.DoFn.StateParam(MISSING),
        newest: Any = beam.DoFn.StateParam(NEWEST),
        silence: Any = beam.DoFn.TimerParam(SILENCE),
    ) -> Iterator[Any]:
        """Add a delta; emit the completion if it is whole now."""
        if progress.read() == JUDGED:
            return
        key, delta = keyed
        deltas.add(delta)
        timestamp = later(newest, timestamp)
        # A newer delta starts the wait again, but the window ends it.
        silence.set(min(timestamp + self._wait, window.max_timestamp() + self._lateness))
        if not may_be_whole(missing, delta):
            return
        total = _sum_of(deltas.read())
        outcome = total.outcome()
        if isinstance(outcome, Completion):
            deltas.clear()
            missing.clear()
            progress.write(JUDGED)
            # The state remembers that the outcome is out, to drop late repeats. In the global
            # window it would stay forever, so a timer clears it.
            if isinstance(window, GlobalWindow):
                silence.set(timestamp + 2 * self._wait)
            yield from sorted_out(key, outcome)
        else:
            note_missing(missing, delta, total.missing(delta))

    @userstate.on_timer(SILENCE)  # type: ignore[untyped-decorator]
    def expire(
        self,
        key: Key = beam.DoFn.KeyParam,
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
        deltas: Any = beam.DoFn.StateParam(DELTAS),
        progress: Any = beam.DoFn.StateParam(PROGRESS),
        missing: Any = beam.DoFn.StateParam(MISSING),
        newest: Any = beam.DoFn.StateParam(NEWEST),
        silence: Any = beam.DoFn.TimerParam(SILENCE),
    ) -> Iterator[Any]:
        """Emit a dead letter if the prompt is not whole; forget it later."""
        known = progress.read()
        endless = isinstance(window, GlobalWindow)  # its state stays until it is cleared
        if known != JUDGED:
            yield from sorted_out(key, _sum_of(deltas.read()).outcome())
            deltas.clear()
            missing.clear()
            progress.write(JUDGED)
            if endless:
                silence.set(timestamp + self._wait)
        elif endless:
            progress.clear()
            newest.clear()


def later(newest: Any, timestamp: Timestamp) -> Timestamp:
    """Return the later of `timestamp` and the state `newest`, and keep it."""
    known = newest.read()
    if known is not None and known >= timestamp.micros:
        return Timestamp(micros=known)
    newest.write(timestamp.micros)
    return timestamp


def may_be_whole(missing: Any, row: Delta | Record) -> bool:
    """Return whether `row` may be the last one that its answer lacked."""
    counts = _counts(missing)
    left = counts.get(_name(row))
    if left is None:
        return row.final
    counts[_name(row)] = left - 1
    missing.write(orjson.dumps(counts).decode())
    return left <= 1


def note_missing(missing: Any, row: Delta | Record, count: int) -> None:
    """Note that the answer of `row` lacks `count` rows: repeated ones were counted before."""
    missing.write(orjson.dumps({**_counts(missing), _name(row): count}).decode())


def _counts(missing: Any) -> dict[str, int]:
    known: dict[str, int] = orjson.loads(missing.read() or "{}")
    return known


def _name(row: Delta | Record) -> str:
    return f"{row.submission} {row.attempt}"


def _sum_of(deltas: Iterable[Delta]) -> DeltaSum:
    total = DeltaSum()
    for delta in deltas:
        total.add(delta)
    return total
