"""Deltas put together again, in any order and with repeats: the monoid as a CombineFn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import orjson

from ritellm.sequenced import SequencedSum
from transforms.asking import text_of, to_completion
from transforms.elements import Completion, DeadLetter, Delta

COMPLETIONS = "completions"
INCOMPLETE = "incomplete"


class DeltaSum:
    """The sum of some deltas of one prompt; a final delta says that its attempt is whole."""

    __slots__ = ("chunks", "finals", "id")

    def __init__(self) -> None:
        self.id = ""
        self.chunks = SequencedSum()
        self.finals: dict[int, Delta] = {}

    def add(self, delta: Delta) -> None:
        """Add `delta`; the same one again changes nothing."""
        self.id = self.id or delta.id
        self.chunks.add(delta.attempt, delta.seq, delta.chunk)
        if delta.final:
            self.finals[delta.attempt] = delta

    def merge(self, other: DeltaSum) -> None:
        """Add everything that `other` holds."""
        self.id = self.id or other.id
        self.chunks.merge(other.chunks)
        self.finals.update(other.finals)

    def outcome(self) -> Completion | DeadLetter:
        """Return the newest whole attempt, or a dead letter that says what is missing."""
        for attempt in sorted(self.finals, reverse=True):
            final = self.finals[attempt]
            if self.chunks.length(attempt) > final.seq:
                completion = self.chunks.sum(attempt).completion()
                closing = orjson.loads(final.outcome or "{}")
                return to_completion(self.id, completion, closing, final.input)
        return self._incomplete()

    def _incomplete(self) -> DeadLetter:
        attempts = self.chunks.attempts
        newest = attempts[0] if attempts else 0
        seen = self.chunks.length(newest)
        final = self.finals.get(newest)
        missing = f"delta {seen} of {final.seq}" if final else "its final delta"
        return DeadLetter(
            id=self.id,
            request="",
            error_type="IncompleteDeltas",
            message=f"attempt {newest} has {seen} deltas without a gap; {missing} is missing",
            status_code=None,
            retryable=True,
            attempts=newest,
            partial_text=text_of(self.chunks.sum(newest).completion()),
            input=final.input if final else None,
        )


class StreamChunkBuilder(beam.CombineFn):  # type: ignore[misc]
    """`Delta -> Completion`, whatever order and however often the deltas of one prompt come.

    The newest whole attempt counts. Deltas that make up no whole attempt come out as a `DeadLetter`
    with the text so far: never as a completion.
    """

    def create_accumulator(self) -> DeltaSum:
        """Return the empty sum."""
        return DeltaSum()

    def add_input(self, accumulator: DeltaSum, delta: Delta) -> DeltaSum:
        """Add one delta."""
        accumulator.add(delta)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[DeltaSum]) -> DeltaSum:
        """Add sums up."""
        total = DeltaSum()
        for accumulator in accumulators:
            total.merge(accumulator)
        return total

    def extract_output(self, accumulator: DeltaSum) -> Completion | DeadLetter:
        """Return what the deltas amount to."""
        return accumulator.outcome()


class AssembleCompletions(beam.PTransform):  # type: ignore[misc]
    """`Delta -> Completion` by prompt id, in each window; returns `.completions`, `.incomplete`."""

    def expand(self, deltas: beam.PCollection[Delta]) -> Any:
        """Sum up by id."""
        return (
            deltas
            | "ById" >> beam.Map(_by_id).with_output_types(tuple[str, Delta])
            | "Sum" >> beam.CombinePerKey(StreamChunkBuilder())
            | "Sort" >> beam.FlatMapTuple(_sorted_out).with_outputs(INCOMPLETE, main=COMPLETIONS)
        )


def _by_id(delta: Delta) -> tuple[str, Delta]:
    return delta.id, delta


def _sorted_out(_: str, outcome: Completion | DeadLetter) -> Iterator[Any]:
    if isinstance(outcome, DeadLetter):
        yield beam.pvalue.TaggedOutput(INCOMPLETE, outcome)
    else:
        yield outcome
