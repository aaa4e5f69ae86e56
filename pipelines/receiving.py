"""A live source inside the job: one element that never ends, fused with all that follows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import orjson

from pipelines.feeds import Feed, FeedEnded, Message, NewFeed
from pipelines.intake import Intake, IntakeOf
from pipelines.rows import parse, unusable
from transforms.elements import PUMP, DeadLetter, Prompt

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


class _ReceiveFn(beam.DoFn):  # type: ignore[misc]
    def __init__(
        self, new_feed: NewFeed, intake_of: IntakeOf, most_bytes: int, drain_seconds: float
    ) -> None:
        self._new_feed = new_feed
        self._intake_of = intake_of
        self._most_bytes = most_bytes
        self._drain_seconds = drain_seconds

    def process(self, _: bytes) -> Iterator[Any]:
        feed, intake = self._new_feed(), self._intake_of()
        intake.on_settled = feed.settle
        try:
            yield from self._take_in(feed, intake)
            yield from self._drain(intake)
        finally:
            feed.close()

    def _take_in(self, feed: Feed, intake: Intake) -> Iterator[Any]:
        """Yield what comes; while nothing does, have the core hand on what it has."""
        while not intake.stopping.is_set():
            try:
                message = feed.poll(0 if intake.open else _IDLE_SECONDS)
            except FeedEnded:
                return
            if message is not None:
                yield from self._admitted(message, intake)
            elif intake.open:
                yield from self._pump(intake)

    def _drain(self, intake: Intake) -> Iterator[Any]:
        """Wait until every message has its outcome; when stopped, not for ever."""
        stopped_at = None
        while intake.open:
            if intake.stopping.is_set():
                stopped_at = stopped_at or time.monotonic()
                if time.monotonic() - stopped_at > self._drain_seconds:
                    raise DrainTimeout
            yield from self._pump(intake)

    def _pump(self, intake: Intake) -> Iterator[Any]:
        """Have the core hand on what comes; raises what a sink was given up for."""
        if intake.failure is not None:
            raise intake.failure
        yield PUMP

    def _admitted(self, message: Message, intake: Intake) -> Iterator[Any]:
        row = to_row(message, self._most_bytes)
        goes_on = intake.admit(row, message.receipt)
        if goes_on is None:
            reason = f"the id {row.id!r} is that of another prompt that is being answered"
            row = unusable(row.id, message, "DuplicateIdError", reason)
            goes_on = intake.admit(row, message.receipt)
        if goes_on:
            yield beam.pvalue.TaggedOutput(DEAD_LETTERS, row) if _is_letter(row) else row


def to_row(message: Message, most_bytes: int) -> Prompt | DeadLetter:
    """Return the prompt in `message`, or a dead letter that says what is wrong with it."""
    if len(message.data) <= most_bytes:
        return parse(message)
    size = len(message.data)
    reason = f"the message has {size:,} bytes; at most {most_bytes:,} are asked"
    letter = unusable(
        message.id, message, "MessageTooLargeError", f"{reason} (--max_message_bytes)"
    )
    return letter._replace(input=orjson.dumps(message.text[:_EXCERPT]).decode())


def _is_letter(row: Prompt | DeadLetter) -> bool:
    return isinstance(row, DeadLetter)
