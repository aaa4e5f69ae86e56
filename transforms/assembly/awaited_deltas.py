"""Awaits the deltas of a prompt in a stream: until they are whole, or until the prompt goes silent.

`transforms.assembly.awaited` has the states of a prompt, and what holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.coders import StrUtf8Coder, VarIntCoder, registry
from apache_beam.transforms import userstate
from apache_beam.transforms.timeutil import TimeDomain

from ritellm.chunks.submission import prompt_of
from transforms.assembly.awaited import Awaited
from transforms.assembly.delta_sum import DeltaSum
from transforms.elements import Completion, DeadLetter, Delta
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
        prompt = Awaited(self._wait, window, deltas, progress, missing, newest, silence)
        key, delta = keyed
        if prompt.is_judged or not prompt.add(delta, timestamp, self._lateness):
            return
        total = _sum_of(deltas.read())
        outcome = total.outcome()
        if isinstance(outcome, Completion):
            prompt.judge(timestamp)
            yield from sorted_out(key, outcome)
        else:
            prompt.note_missing(delta, total.missing(delta))

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
        prompt = Awaited(self._wait, window, deltas, progress, missing, newest, silence)
        if prompt.is_judged:
            prompt.forget()
            return
        yield from sorted_out(key, _sum_of(deltas.read()).outcome())
        prompt.give_up(timestamp)


def _sum_of(deltas: Iterable[Delta]) -> DeltaSum:
    total = DeltaSum()
    for delta in deltas:
        total.add(delta)
    return total
