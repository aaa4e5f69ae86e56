"""Reads a live source inside this process: one element that lasts as long as the job.

Beam hands a bundle's outputs on when `process` yields, and the fused steps after it run in the
same thread. So the reader must yield now and then even when no message arrives: otherwise finished
completions would stay in `CompletePrompts`. It yields `PUMP`, an element without content that only
lets the steps after it run.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
import orjson

from pipelines.inputs.columns import NewColumns, warning
from pipelines.inputs.row_form import PLAIN, RowForm
from pipelines.inputs.rows import read, unusable
from pipelines.sources.acknowledgements import JobAcknowledger
from pipelines.sources.base import Message, Source, SourceEnded
from transforms.elements import PUMP, DeadLetter, Prompt
from transforms.graph.element_types import with_types
from transforms.graph.tags import DEAD_LETTERS, PROMPTS

_log = logging.getLogger("pipelines")
_new_columns = NewColumns()  # one for the process


# An idle job checks at this interval whether it has to stop.
_IDLE_SECONDS = 0.1
# The dead letter of a message that is too large contains this many characters of it.
_EXCERPT = 1_000


class DrainTimeout(Exception):
    """The job has to stop, and some completions took longer than `--drain_seconds`."""


class Receive(beam.PTransform):  # type: ignore[misc]
    """Read prompts until the source ends or the job is stopped; then wait for the outcomes.

    Returns `.prompts` and `.dead_letters`. One bundle in one process lasts as long as the job. So
    no step may break the fusion with the sinks: it would wait for the end of the bundle. Messages
    of more than `most_bytes` become dead letters. After a stop the outcomes have `drain_seconds`.
    """

    def __init__(
        self,
        source: Source,
        acknowledger: JobAcknowledger,
        most_bytes: int,
        drain_seconds: float,
        rows: RowForm = PLAIN,
    ) -> None:
        super().__init__()
        self._fn = _ReceiveFn(source, acknowledger, most_bytes, drain_seconds, rows)

    def expand(self, root: Any) -> Any:
        """Start the reader."""
        started = root | "Start" >> beam.Impulse()
        receive = beam.ParDo(self._fn).with_outputs(DEAD_LETTERS, main=PROMPTS)
        rows = started | "Receive" >> receive
        return with_types(rows, {PROMPTS: Prompt, DEAD_LETTERS: DeadLetter})


class Reader:
    """Receives messages from a source, and tracks which of them have no outcome yet."""

    def __init__(
        self,
        source: Source,
        new_acknowledger: JobAcknowledger,
        most_bytes: int,
        rows: RowForm = PLAIN,
    ) -> None:
        self._rows = rows
        self._consumer = source()
        self._most_bytes = most_bytes
        self.acknowledger = new_acknowledger()
        self.acknowledger.on_settled = self._consumer.settle

    def receive(self, enough: Callable[[], bool] = lambda: False) -> Iterator[Any]:
        """Yield the rows of messages, and `PUMP` while none arrives.

        Returns when `enough()` is true or the job has to stop; raises SourceEnded.
        """
        while not self.acknowledger.stopping.is_set():
            message = self._consumer.poll(0 if self.acknowledger.open else _IDLE_SECONDS)
            if message is not None:
                yield from self._admitted(message)
            elif self.acknowledger.open:
                yield from self.pump()
            if enough():
                return

    def finish(self) -> Iterator[Any]:
        """Yield `PUMP` until all received messages have their outcome."""
        while self.acknowledger.open:
            self._consumer.keep()
            yield from self.pump()

    def pump(self) -> Iterator[Any]:
        """Yield `PUMP`, so that the next steps run; raises the error of a sink that has failed."""
        if self.acknowledger.failure is not None:
            raise self.acknowledger.failure
        yield PUMP

    def close(self) -> None:
        """Disconnect; the source delivers unsettled messages again."""
        self._consumer.close()

    def _admitted(self, message: Message) -> Iterator[Any]:
        row = to_row(message, self._most_bytes, self._rows)
        is_new = self.acknowledger.admit(row, message.receipt)
        if is_new is None:
            reason = f"another prompt in flight has the id {row.id!r}; ids must be unique"
            row = unusable(row.id, message, "DuplicateIdError", reason, self._rows)
            is_new = self.acknowledger.admit(row, message.receipt)
        if is_new:
            yield beam.pvalue.TaggedOutput(DEAD_LETTERS, row) if _is_letter(row) else row


class _ReceiveFn(beam.DoFn):  # type: ignore[misc]
    def __init__(
        self,
        source: Source,
        acknowledger: JobAcknowledger,
        most_bytes: int,
        drain_seconds: float,
        rows: RowForm,
    ) -> None:
        self._rows = rows
        self._source = source
        self._acknowledger = acknowledger
        self._most_bytes = most_bytes
        self._drain_seconds = drain_seconds

    def process(self, _: bytes) -> Iterator[Any]:
        reader = Reader(self._source, self._acknowledger, self._most_bytes, self._rows)
        try:
            with contextlib.suppress(SourceEnded):
                yield from reader.receive()
            yield from self._drain(reader)
        finally:
            reader.close()

    def _drain(self, reader: Reader) -> Iterator[Any]:
        """Wait until each message has its outcome; after a stop for `drain_seconds` at most."""
        stopped_at = None
        while reader.acknowledger.open:
            if reader.acknowledger.stopping.is_set():
                stopped_at = stopped_at or time.monotonic()
                if time.monotonic() - stopped_at > self._drain_seconds:
                    raise DrainTimeout
            yield from reader.pump()


def to_row(message: Message, most_bytes: int, rows: RowForm = PLAIN) -> Prompt | DeadLetter:
    """Return the prompt in `message`, or a dead letter with the reason."""
    if len(message.data) <= most_bytes:
        found = read(message, rows=rows)
        for column in _new_columns.take(found.unused):
            _log.warning(warning(column))
        return found.row
    size = len(message.data)
    reason = f"the message must have at most {most_bytes:,} bytes, got {size:,}"
    letter = unusable(
        message.id, message, "MessageTooLargeError", f"{reason} (--max_message_bytes)"
    )
    return letter._replace(input=orjson.dumps(message.text[:_EXCERPT]).decode())


def _is_letter(row: Prompt | DeadLetter) -> bool:
    return isinstance(row, DeadLetter)
