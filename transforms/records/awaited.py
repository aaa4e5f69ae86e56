"""Awaits the records of a prompt in a stream: until an answer is whole, or the prompt goes silent.

The same machine as for deltas (`transforms.assembly.awaited_deltas`), with records as its state.
What holds: each prompt has one outcome per window, and the records of two answers never mix. The
coders of the state are part of a running job: an update keeps it only if they stay the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.coders import StrUtf8Coder, VarIntCoder, registry
from apache_beam.transforms import userstate
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.window import GlobalWindow

from transforms.assembly.awaited_deltas import JUDGED, Key, later, may_be_whole, note_missing
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
        if progress.read() == JUDGED:
            return
        key, record = keyed
        records.add(record)
        timestamp = later(newest, timestamp)
        silence.set(min(timestamp + self._wait, window.max_timestamp() + self._lateness))
        if not may_be_whole(missing, record):
            return
        known = list(records.read())
        found = whole_answer(key[0], known)
        if isinstance(found, DeadLetter):
            note_missing(missing, record, missing_of(known, record))
            return
        records.clear()
        missing.clear()
        progress.write(JUDGED)
        # The state drops late repeats. In the global window a timer clears it.
        if isinstance(window, GlobalWindow):
            silence.set(timestamp + 2 * self._wait)
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
        is_endless = isinstance(window, GlobalWindow)  # its state stays until it is cleared
        if progress.read() != JUDGED:
            yield from sorted_out(whole_answer(key[0], records.read()))
            records.clear()
            missing.clear()
            progress.write(JUDGED)
            if is_endless:
                silence.set(timestamp + self._wait)
        elif is_endless:
            progress.clear()
            newest.clear()
