"""Awaits the records of a prompt in a stream: until an answer is whole, or the prompt goes silent.

`transforms.assembly.awaited` has the states of a prompt, and what holds. The records of two answers
never mix.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.coders import StrUtf8Coder, VarIntCoder, registry
from apache_beam.transforms import userstate
from apache_beam.transforms.timeutil import TimeDomain

from transforms.assembly.awaited import Awaited
from transforms.assembly.awaited_deltas import Key
from transforms.elements import DeadLetter, Record
from transforms.graph.tags import INCOMPLETE
from transforms.records.whole import missing_of, whole_answer


def sorted_out(found: list[Record] | DeadLetter) -> Iterator[Any]:
    """Yield the records of a whole answer, or the dead letter of a prompt without one."""
    if isinstance(found, DeadLetter):
        yield beam.pvalue.TaggedOutput(INCOMPLETE, found)
    else:
        yield from found


class AwaitRecordsFn(beam.DoFn):  # type: ignore[misc]
    """Keeps the records of a prompt until an answer is whole, or until no record arrives."""

    RECORDS = userstate.BagStateSpec("records", registry.get_coder(Record))
    PROGRESS = userstate.ReadModifyWriteStateSpec("progress", VarIntCoder())
    # How many records are missing in the answers whose final record is there, by rank. JSON.
    MISSING = userstate.ReadModifyWriteStateSpec("missing", StrUtf8Coder())
    # The newest timestamp in microseconds: records may arrive out of order.
    NEWEST = userstate.ReadModifyWriteStateSpec("newest", VarIntCoder())
    SILENCE = userstate.TimerSpec("silence", TimeDomain.WATERMARK)

    def __init__(self, wait_seconds: float, allowed_lateness: Any) -> None:
        self._wait = wait_seconds
        self._lateness = allowed_lateness

    def process(
        self,
        keyed: tuple[Key, Record],
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
        records: Any = beam.DoFn.StateParam(RECORDS),
        progress: Any = beam.DoFn.StateParam(PROGRESS),
        missing: Any = beam.DoFn.StateParam(MISSING),
        newest: Any = beam.DoFn.StateParam(NEWEST),
        silence: Any = beam.DoFn.TimerParam(SILENCE),
    ) -> Iterator[Any]:
        """Add a record; emit the answer if it is whole now."""
        prompt = Awaited(self._wait, window, records, progress, missing, newest, silence)
        key, record = keyed
        if prompt.is_judged or not prompt.add(record, timestamp, self._lateness):
            return
        known = list(records.read())
        found = whole_answer(key[0], known)
        if isinstance(found, DeadLetter):
            prompt.note_missing(record, missing_of(known, record))
            return
        prompt.judge(timestamp)
        yield from sorted_out(found)

    @userstate.on_timer(SILENCE)  # type: ignore[untyped-decorator]
    def expire(
        self,
        key: Key = beam.DoFn.KeyParam,
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
        records: Any = beam.DoFn.StateParam(RECORDS),
        progress: Any = beam.DoFn.StateParam(PROGRESS),
        missing: Any = beam.DoFn.StateParam(MISSING),
        newest: Any = beam.DoFn.StateParam(NEWEST),
        silence: Any = beam.DoFn.TimerParam(SILENCE),
    ) -> Iterator[Any]:
        """Emit a dead letter if no answer is whole; forget the prompt later."""
        prompt = Awaited(self._wait, window, records, progress, missing, newest, silence)
        if prompt.is_judged:
            prompt.forget()
            return
        yield from sorted_out(whole_answer(key[0], records.read()))
        prompt.give_up(timestamp)
