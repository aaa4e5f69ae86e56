"""Reads a live source in turns, so that bundles end, for runners that make checkpoints.

The problem: a runner such as Flink makes checkpoints and moves work between bundles only. The
endless bundle of `receive.py` would allow none.

The idea: a splittable DoFn whose restriction is the endless range of turns. One bundle claims one
turn:

    claim turn n --> receive for `seconds` --> wait for the outcomes --> defer turns n+1 ... --> end
                                                                          |
                     the runner makes a checkpoint and starts the next bundle

Invariants:
- No message is in flight between two bundles. So a checkpoint needs no state of this reader.
- A failed bundle left messages in flight. Their outcomes are lost, so the next bundle reconnects,
  and the source delivers the messages again.
- A process has one reader. If a bundle contains several restrictions, the first one gets the turn
  and the others end for good.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker

from pipelines.inputs.row_form import PLAIN, RowForm
from pipelines.sources.acknowledgements import JobAcknowledger
from pipelines.sources.base import Source, SourceEnded
from pipelines.sources.receive import Reader
from transforms.elements import DeadLetter, Prompt
from transforms.graph.element_types import with_types
from transforms.graph.tags import DEAD_LETTERS, PROMPTS

# A turn without messages ends after this time, so that checkpoints are not delayed.
_IDLE_TURN_SECONDS = 5.0
_LAST_TURN = 1 << 62
# Runners assign elements to slots by a hash. With this many elements for each slot, almost every
# slot gets one. Where a slot gets several, one reader remains.
_READERS_TO_A_SLOT = 4


class ReceiveSplittable(beam.PTransform):  # type: ignore[misc]
    """Read prompts in turns of `seconds`, until the source ends or the job is stopped.

    Returns `.prompts` and `.dead_letters`. The process that reads a message also settles it, once
    its outcome is published. So no step may break the fusion with the sinks. With `slots` above 0
    each slot of the runner has a reader; otherwise one slot does.
    """

    def __init__(
        self,
        source: Source,
        acknowledger: JobAcknowledger,
        most_bytes: int,
        seconds: float,
        slots: int = 0,
        rows: RowForm = PLAIN,
    ) -> None:
        super().__init__()
        self._fn = _TurnsFn(source, acknowledger, most_bytes, seconds, rows)
        self._readers = slots * _READERS_TO_A_SLOT or 1

    def expand(self, root: Any) -> Any:
        """Start the readers."""
        readers = root | "Readers" >> beam.Create(range(self._readers), reshuffle=False)
        receive = beam.ParDo(self._fn).with_outputs(DEAD_LETTERS, main=PROMPTS)
        rows = readers | "ReceiveByTurns" >> receive
        return with_types(rows, {PROMPTS: Prompt, DEAD_LETTERS: DeadLetter})


class _Turn(OffsetRestrictionTracker):  # type: ignore[misc]
    """The remaining turns. The runner cannot split them between workers."""

    def try_split(self, fraction_of_remainder: float) -> Any:
        """Split off the later turns if the reader defers them; refuse splits by the runner."""
        return None if fraction_of_remainder else super().try_split(0)

    def is_bounded(self) -> bool:
        """Return False: the turns never end."""
        return False


class _Turns(beam.transforms.core.RestrictionProvider):  # type: ignore[misc]
    def initial_restriction(self, element: int) -> OffsetRange:
        return OffsetRange(0, _LAST_TURN)

    def create_tracker(self, restriction: OffsetRange) -> _Turn:
        return _Turn(restriction)

    def restriction_size(self, element: int, restriction: OffsetRange) -> int:
        return 1


@beam.DoFn.unbounded_per_element()
class _TurnsFn(beam.DoFn):  # type: ignore[misc]
    """Keeps one reader from bundle to bundle, and runs one turn in each bundle."""

    def __init__(
        self,
        source: Source,
        acknowledger: JobAcknowledger,
        most_bytes: int,
        seconds: float,
        rows: RowForm,
    ) -> None:
        self._rows = rows
        self._source, self._acknowledger, self._most_bytes = source, acknowledger, most_bytes
        self._seconds = seconds
        self._reader: Reader | None = None
        self._had_turn = False

    def start_bundle(self) -> None:
        """Reconnect after a failed bundle, so that the source delivers its messages again."""
        if self._reader is not None and self._reader.acknowledger.open:
            self.teardown()
        self._had_turn = False

    def process(
        self,
        number: int,
        turns: Any = beam.DoFn.RestrictionParam(_Turns()),  # noqa: B008
    ) -> Iterator[Any]:
        """Run a turn and defer the next one."""
        if self._had_turn or not turns.try_claim(turns.current_restriction().start):
            turns.try_claim(_LAST_TURN)
            return
        self._had_turn = True
        try:
            yield from self._turn()
        except SourceEnded:
            turns.try_claim(_LAST_TURN)
            return
        if self._acknowledger.stopping.is_set():
            turns.try_claim(_LAST_TURN)
        else:
            turns.defer_remainder()

    def teardown(self) -> None:
        """Disconnect; the source delivers unsettled messages again."""
        if self._reader is not None:
            self._acknowledger.forget(self._reader.acknowledger)
            self._reader.close()
            self._reader = None

    def _turn(self) -> Iterator[Any]:
        reader = self._reader or Reader(
            self._source, self._acknowledger, self._most_bytes, self._rows
        )
        self._reader = reader
        started = time.monotonic()

        def enough() -> bool:
            idle = min(_IDLE_TURN_SECONDS, self._seconds)
            most = self._seconds if reader.acknowledger.open else idle
            return time.monotonic() - started >= most

        yield from reader.receive(enough)
        # The reader must poll meanwhile: a consumer group waits for members that do not poll.
        yield from reader.finish()
