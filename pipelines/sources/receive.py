"""A live source inside the job: one element that never ends, fused with all that follows."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
import orjson

from pipelines.inputs.columns import Unsaid, warning
from pipelines.inputs.rows import read, unusable
from pipelines.sources.acknowledgements import IntakeOf
from pipelines.sources.base import FeedEnded, Message, NewFeed
from transforms.elements import PUMP, DeadLetter, Prompt

_log = logging.getLogger("pipelines")
_unsaid = Unsaid()  # of this process

PROMPTS = "prompts"
DEAD_LETTERS = "dead_letters"

# How long an idle job waits for a message before it looks whether it shall stop.
_IDLE_SECONDS = 0.1
# Of a message that is too large to be asked so much is kept, for who looks after it.
_EXCERPT = 1_000


class DrainTimeout(Exception):
    """The job was told to stop, and some answers took longer than it was to wait."""


class Receive(beam.PTransform):  # type: ignore[misc]
    """Read prompts from a feed until it ends or the intake is stopped; then wait for the outcomes.

    Returns `.prompts` and `.dead_letters`. It is one bundle that lasts as long as the job, in one
    process: nothing may break its fusion with the sinks, or nothing comes out. Messages of more
    than `most_bytes` are dead letters; after a stop the outcomes have `drain_seconds`.
    """

    def __init__(
        self, new_feed: NewFeed, intake: IntakeOf, most_bytes: int, drain_seconds: float
    ) -> None:
        super().__init__()
        self._fn = _ReceiveFn(new_feed, intake, most_bytes, drain_seconds)

    def expand(self, root: Any) -> Any:
        """Start the reader."""
        started = root | "Start" >> beam.Impulse()
        return started | "Receive" >> beam.ParDo(self._fn).with_outputs(
            DEAD_LETTERS, main=PROMPTS
        ).with_output_types(Prompt)


class Reader:
    """Takes messages in from a feed, and knows by its intake which of them are under way."""

    def __init__(self, new_feed: NewFeed, intake_of: IntakeOf, most_bytes: int) -> None:
        self._feed = new_feed()
        self._most_bytes = most_bytes
        self.intake = intake_of()
        self.intake.on_settled = self._feed.settle

    def take_in(self, enough: Callable[[], bool] = lambda: False) -> Iterator[Any]:
        """Yield what comes; while nothing does, have the core hand on what it has.

        Returns when it is `enough`, or when it is told to stop; raises FeedEnded.
        """
        while not self.intake.stopping.is_set():
            message = self._feed.poll(0 if self.intake.open else _IDLE_SECONDS)
            if message is not None:
                yield from self._admitted(message)
            elif self.intake.open:
                yield from self.pump()
            if enough():
                return

    def answered(self) -> Iterator[Any]:
        """Have the core hand on what comes until all that was taken in has its outcome."""
        while self.intake.open:
            self._feed.keep()
            yield from self.pump()

    def pump(self) -> Iterator[Any]:
        """Have the core hand on what comes; raises what a sink was given up for."""
        if self.intake.failure is not None:
            raise self.intake.failure
        yield PUMP

    def close(self) -> None:
        """Let go of the feed: what is not settled comes again."""
        self._feed.close()

    def _admitted(self, message: Message) -> Iterator[Any]:
        row = to_row(message, self._most_bytes)
        goes_on = self.intake.admit(row, message.receipt)
        if goes_on is None:
            reason = f"the id {row.id!r} is that of another prompt that is being answered"
            row = unusable(row.id, message, "DuplicateIdError", reason)
            goes_on = self.intake.admit(row, message.receipt)
        if goes_on:
            yield beam.pvalue.TaggedOutput(DEAD_LETTERS, row) if _is_letter(row) else row


class _ReceiveFn(beam.DoFn):  # type: ignore[misc]
    def __init__(
        self, new_feed: NewFeed, intake_of: IntakeOf, most_bytes: int, drain_seconds: float
    ) -> None:
        self._new_feed = new_feed
        self._intake_of = intake_of
        self._most_bytes = most_bytes
        self._drain_seconds = drain_seconds

    def process(self, _: bytes) -> Iterator[Any]:
        reader = Reader(self._new_feed, self._intake_of, self._most_bytes)
        try:
            with contextlib.suppress(FeedEnded):
                yield from reader.take_in()
            yield from self._drain(reader)
        finally:
            reader.close()

    def _drain(self, reader: Reader) -> Iterator[Any]:
        """Wait until every message has its outcome; when stopped, not for ever."""
        stopped_at = None
        while reader.intake.open:
            if reader.intake.stopping.is_set():
                stopped_at = stopped_at or time.monotonic()
                if time.monotonic() - stopped_at > self._drain_seconds:
                    raise DrainTimeout
            yield from reader.pump()


def to_row(message: Message, most_bytes: int) -> Prompt | DeadLetter:
    """Return the prompt in `message`, or a dead letter that says what is wrong with it."""
    if len(message.data) <= most_bytes:
        found = read(message)
        for column in _unsaid.take(found.unused):
            _log.warning(warning(column))
        return found.row
    size = len(message.data)
    reason = f"the message has {size:,} bytes; at most {most_bytes:,} are asked"
    letter = unusable(
        message.id, message, "MessageTooLargeError", f"{reason} (--max_message_bytes)"
    )
    return letter._replace(input=orjson.dumps(message.text[:_EXCERPT]).decode())


def _is_letter(row: Prompt | DeadLetter) -> bool:
    return isinstance(row, DeadLetter)
