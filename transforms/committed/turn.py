"""One call of the DoFn for one shard: reads its state, emits, and writes the state back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Protocol

import apache_beam as beam
from apache_beam.coders import Coder
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Timestamp

from transforms.committed.log import ShardLogs, StreamLog
from transforms.committed.process import ProcessStreams
from transforms.committed.shard import Shard
from transforms.committed.timers import set_timer
from transforms.elements import DeadLetter, Outcome, Prompt
from transforms.metrics import Meter

INCOMPLETE = "incomplete"

# While the process is full, how often `wait_for_room` looks for room.
_ROOM_SECONDS = 0.05
_MOST_ROOM_SECONDS = 30.0


class HasStreams(Protocol):
    """The DoFn, as a turn uses it. `every` and `drain` are milliseconds."""

    streams: ProcessStreams
    prompt_coder: Coder
    meter: Meter
    every: int
    drain: int

    def is_first_of_bundle(self, shard: Any) -> bool:
        """Return whether this bundle has not had `shard` before."""

    def is_full(self) -> bool:
        """Return whether the process has too many streams."""

    def tagged(self, windowed: Any, outcome: Outcome) -> Any:
        """Return `outcome` for its output, with the timestamp and windows of its prompt."""


class Turn:
    """One call for one shard: reads its state, emits, and writes the state back."""

    def __init__(self, fn: HasStreams, key: Any, state: Any, prompts: Any) -> None:
        self._fn, self._state, self._prompts = fn, state, prompts
        self._shard = Shard.decode(state.read())
        self._known: dict[int, bytes] = {}
        self._is_end = False
        self._decode = fn.prompt_coder.decode
        self._logs = ShardLogs(fn.streams, key, self._prompt, self._decode)
        if fn.is_first_of_bundle(key):  # else the state may have what this bundle wrote
            self._shard.drop_committed(self._logs)
            self._logs.drop(self._shard.needs)

    def wait_for_room(self) -> Iterator[Any]:
        """While the process has too many streams, emit what comes for this shard.

        The wait ends early if a stream waits for the commit of this bundle, and after a time: the
        streams of other shards may wait for the thread that this call has.
        """
        until = time.monotonic() + _MOST_ROOM_SECONDS
        while self._shard.open and self._fn.is_full():
            yield from self.emit()
            if self._logs.has_full() or time.monotonic() > until:
                return
            time.sleep(_ROOM_SECONDS)

    def admit(self, encoded: bytes) -> None:
        """Keep a prompt in the state and start its stream."""
        timestamp = self._decode(encoded).timestamp.micros
        prompt = self._shard.admit(timestamp)
        self._prompts.add((prompt.number, encoded))
        self._known[prompt.number] = encoded
        prompt.send(self._logs)

    def wait_until_due(self) -> None:
        """Wait if the runner does not: at the end of the input, timers may fire at once."""
        early = min(self._shard.due - _now(), self._fn.every)
        if self._shard.open and early > 0:
            time.sleep(early / 1000)

    def end(self) -> None:
        """Give the open prompts `drain_seconds` from now, if that time has not begun yet."""
        self._is_end, self._shard.awaits_end = True, False
        if self._shard.deadline is None:
            self._shard.deadline = _now() + self._fn.drain

    def emit(self) -> Iterator[Any]:
        """Yield what has come for the open prompts, and give them up after the deadline."""
        for prompt, outcomes in self._shard.take(self._logs):
            self._fn.meter.count(outcomes)
            windowed = self._logs.prompt_of(prompt.number, prompt.name)
            for outcome in outcomes:
                yield self._fn.tagged(windowed, outcome)
        deadline = self._shard.deadline
        if deadline is not None and _now() >= deadline:
            yield from self._give_up()
        self._fn.meter.count_pacing()

    def close(self, commit: Any, end: Any) -> None:
        """Write the state, and set the timers if a prompt is open."""
        shard = self._shard
        if (hold := shard.hold) is not None:
            due = Timestamp(micros=shard.next_due(_now(), self._fn.every) * 1000)
            set_timer(commit, due, Timestamp(micros=hold))
            if not shard.awaits_end:
                shard.awaits_end = True
                end.set(GlobalWindow().max_timestamp())
        else:
            shard.deadline = None
            if self._is_end:
                # Its hold would remain: once the input has ended, Flink fires no timer in real
                # time, and waits for the watermark.
                commit.clear()
        self._tidy_bag()
        self._state.write(shard.encode())

    def _give_up(self) -> Iterator[Any]:
        for prompt in self._shard.open.values():
            log = self._logs.give_up(prompt.number, prompt.name)
            windowed = log.prompt if log else self._decode(self._prompt(prompt.number))
            letter = incomplete(windowed.value, log, prompt.submission)
            self._fn.meter.count([letter])
            yield beam.pvalue.TaggedOutput(INCOMPLETE, windowed.with_value(letter))
        self._shard.open.clear()

    def _tidy_bag(self) -> None:
        """Remove the prompts that are complete from the bag, many at a time."""
        shard = self._shard
        if not shard.open and shard.stored:
            self._prompts.clear()
            shard.stored = 0
        elif shard.is_bag_stale:
            kept = [entry for entry in self._prompts.read() if entry[0] in shard.open]
            self._prompts.clear()
            for entry in kept:
                self._prompts.add(entry)
            shard.stored = len(kept)

    def _prompt(self, number: int) -> bytes:
        """Return a prompt of the shard; reads the bag if this bundle does not have it."""
        if number not in self._known:
            self._known = dict(self._prompts.read())
        return self._known[number]


def incomplete(prompt: Prompt, log: StreamLog | None, submission: int) -> DeadLetter:
    """Return the dead letter of a prompt whose stream was open when the job ended."""
    return DeadLetter(
        id=prompt.id,
        request=prompt.request,
        error_type="IncompleteStream",
        message="the job ended before the answer did; a longer drain_seconds waits for it",
        status_code=None,
        retryable=True,
        attempts=submission,
        partial_text="".join(log.text) if log else "",
        input=prompt.input,
        place=prompt.place,
    )


def _now() -> int:
    return round(time.time() * 1000)
