"""A live source for an engine of many machines: read by turns, so that bundles end in between.

An engine makes its checkpoints, and gives work to others, between two bundles only. Here a bundle
takes messages in for a while, and ends when they are answered; the next one follows at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker

from pipelines.sources.acknowledgements import IntakeOf
from pipelines.sources.base import FeedEnded, NewFeed
from pipelines.sources.receive import DEAD_LETTERS, PROMPTS, Reader
from transforms.elements import Prompt

# A turn in which nothing is under way is over after this: nobody waits for its end.
_IDLE_TURN_SECONDS = 5.0
_LAST_TURN = 1 << 62
# Engines place elements by a hash: with so many to a slot hardly one is left without. Where there
# are several, one stays.
_READERS_TO_A_SLOT = 4


class ReceiveByTurns(beam.PTransform):  # type: ignore[misc]
    """Read prompts from a feed by turns of `seconds`, until it ends or the intake is stopped.

    Returns `.prompts` and `.dead_letters`. A message is settled when its outcome is published, by
    the process that has read it: nothing may break the fusion with the sinks. With `slots` above 0
    each slot of the engine reads for itself; else one does.
    """

    def __init__(
        self, new_feed: NewFeed, intake: IntakeOf, most_bytes: int, seconds: float, slots: int = 0
    ) -> None:
        super().__init__()
        self._fn = _TurnsFn(new_feed, intake, most_bytes, seconds)
        self._readers = slots * _READERS_TO_A_SLOT or 1

    def expand(self, root: Any) -> Any:
        """Start the readers."""
        readers = root | "Readers" >> beam.Create(range(self._readers), reshuffle=False)
        return readers | "ReceiveByTurns" >> beam.ParDo(self._fn).with_outputs(
            DEAD_LETTERS, main=PROMPTS
        ).with_output_types(Prompt)


class _Turn(OffsetRestrictionTracker):  # type: ignore[misc]
    """The turns that are left: they end one by one, and cannot be dealt out."""

    def try_split(self, fraction_of_remainder: float) -> Any:
        """Split off the turns after this one, when the reader itself asks for it."""
        return None if fraction_of_remainder else super().try_split(0)

    def is_bounded(self) -> bool:
        """There is no end of turns."""
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
    """One reader of a process, kept from bundle to bundle; in one bundle it has one turn."""

    def __init__(
        self, new_feed: NewFeed, intake: IntakeOf, most_bytes: int, seconds: float
    ) -> None:
        self._new_feed, self._intake, self._most_bytes = new_feed, intake, most_bytes
        self._seconds = seconds
        self._reader: Reader | None = None
        self._had_turn = False

    def start_bundle(self) -> None:
        """Go on with the feed; what a bundle that failed had taken in must come again."""
        if self._reader is not None and self._reader.intake.open:
            self.teardown()
        self._had_turn = False

    def process(
        self,
        number: int,
        turns: Any = beam.DoFn.RestrictionParam(_Turns()),  # noqa: B008
    ) -> Iterator[Any]:
        """Have a turn, and ask for the next one."""
        if self._had_turn or not turns.try_claim(turns.current_restriction().start):
            turns.try_claim(_LAST_TURN)
            return
        self._had_turn = True
        try:
            yield from self._turn()
        except FeedEnded:
            turns.try_claim(_LAST_TURN)
            return
        if self._intake.stopping.is_set():
            turns.try_claim(_LAST_TURN)
        else:
            turns.defer_remainder()

    def teardown(self) -> None:
        """Let go of the feed, and of what was not answered: it comes again."""
        if self._reader is not None:
            self._intake.forget(self._reader.intake)
            self._reader.close()
            self._reader = None

    def _turn(self) -> Iterator[Any]:
        reader = self._reader or Reader(self._new_feed, self._intake, self._most_bytes)
        self._reader = reader
        began = time.monotonic()

        def enough() -> bool:
            idle = min(_IDLE_TURN_SECONDS, self._seconds)
            most = self._seconds if reader.intake.open else idle
            return time.monotonic() - began >= most

        yield from reader.take_in(enough)
        # Not left to the end of the bundle: a group of readers waits for who does not poll.
        yield from reader.answered()
