"""Assembles completions from deltas that arrive in any order and more than once.

The problem: sinks and shuffles may repeat and reorder deltas, and a prompt may have deltas of
several submissions and attempts. A completion must never have a gap or be mixed from two of them.

The idea: adding deltas per attempt (`DeltaSum`) is associative, commutative and idempotent, so a
CombineFn may add them in any order. The final delta of an attempt says how many deltas it has.

    batch:    StreamChunkBuilder, a CombineFn by prompt: its id and the digest of its request
    streams:  AwaitFn, which keeps deltas as state (`transforms.assembly.awaited_deltas`)

What holds: the newest whole submission counts; each prompt has one outcome per window.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.transforms.trigger import AccumulationMode

from transforms.assembly.awaited_deltas import (
    AwaitFn,
    Key,
    by_prompt,
    prompt_key,
)
from transforms.assembly.delta_sum import DeltaSum
from transforms.elements import Assembled, Completion, DeadLetter, Delta
from transforms.graph.display import given
from transforms.graph.element_types import HOW_TO_GET_DELTAS, check_input, with_types
from transforms.graph.error_output import OF_DELTAS, ErrorOutput, checked
from transforms.graph.panes import fires_once
from transforms.graph.tags import COMPLETIONS, INCOMPLETE

__all__ = ["AssembleCompletions", "StreamChunkBuilder", "prompt_key"]


class StreamChunkBuilder(beam.CombineFn):  # type: ignore[misc]
    """`Delta -> Completion` for the deltas of one prompt, in any order and with repeats.

    The newest whole submission counts, and its newest whole attempt. Deltas without a whole attempt
    become a `DeadLetter` with the text so far, never a completion. Group the deltas by `prompt_key`
    before: two prompts may have one id.
    """

    def create_accumulator(self) -> DeltaSum:
        """Return the empty sum."""
        return DeltaSum()

    def add_input(self, accumulator: DeltaSum, delta: Delta) -> DeltaSum:
        """Add one delta."""
        accumulator.add(delta)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[DeltaSum]) -> DeltaSum:
        """Return the sum of the accumulators."""
        total = DeltaSum()
        for accumulator in accumulators:
            total.merge(accumulator)
        return total

    def compact(self, accumulator: DeltaSum) -> DeltaSum:
        """Return the sum in less memory."""
        accumulator.compact()
        return accumulator

    def extract_output(self, accumulator: DeltaSum) -> Completion | DeadLetter:
        """Return the completion of the deltas, or a dead letter."""
        return accumulator.outcome()

    def get_accumulator_coder(self) -> DeltaSumCoder:
        """Return the coder of the sums between two stages, which an update of the job keeps."""
        return DeltaSumCoder()


class DeltaSumCoder(beam.coders.Coder):  # type: ignore[misc]
    """The bytes of a `DeltaSum`: JSON with a version."""

    def encode(self, value: DeltaSum) -> bytes:
        """Return the bytes of `value`."""
        return value.to_bytes()

    def decode(self, encoded: bytes) -> DeltaSum:
        """Return the sum in `encoded`; raises ValueError for anything else."""
        return DeltaSum.of_bytes(encoded)

    def is_deterministic(self) -> bool:
        """Return False: equal sums may have different bytes."""
        return False

    def to_type_hint(self) -> type[DeltaSum]:
        """Return the type of its values."""
        return DeltaSum

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))


class AssembleCompletions(ErrorOutput, beam.PTransform):  # type: ignore[misc]
    """`Delta -> Completion` by prompt, in each window; returns `.completions` and `.incomplete`.

    The outcome of a prompt is emitted when the trigger of the window fires: by default once, at the
    end of the window. Prompts with one id and different requests have an outcome each. Without
    `wait_seconds`, a trigger that fires more than once must accumulate (ValueError).

    Args:
        wait_seconds: for streams. A completion is emitted once, as soon as it is whole. A prompt
            that is not whole and has no delta for this many seconds of event time is emitted as
            incomplete; at the latest when its window and its allowed lateness are over. Deltas
            after that are dropped; in the global window for another `wait_seconds` only.
        error_handler: Beam's ErrorHandler, which gets the incomplete ones; the transform then
            returns the completions alone (`transforms.graph.error_output`).
    """

    def __init__(self, wait_seconds: float | None = None, *, error_handler: Any = None) -> None:
        super().__init__()
        self._error_handler = checked(error_handler)
        if wait_seconds is not None and wait_seconds <= 0:
            raise ValueError(f"wait_seconds must be positive, got {wait_seconds}")
        self._wait_seconds = wait_seconds

    def display_data(self) -> dict[str, Any]:
        """Return the wait, for the page of the step in the runner's console."""
        return {**super().display_data(), **given(wait_seconds=self._wait_seconds)}

    def expand(self, deltas: beam.PCollection[Delta]) -> Any:
        """Sum up the deltas of each id."""
        check_input(deltas, Delta, type(self).__name__, HOW_TO_GET_DELTAS)
        return self._handled(self._outcomes(deltas), COMPLETIONS, (INCOMPLETE,), OF_DELTAS)

    def _outcomes(self, deltas: Any) -> Any:
        by_id = deltas | "ById" >> beam.Map(by_prompt).with_output_types(tuple[Key, Delta])
        if self._wait_seconds is None:
            _check_panes(deltas)
            add_up = _Assemble().with_input_types(Delta).with_output_types(Assembled)
            assembled = by_id | "Sum" >> beam.CombinePerKey(add_up)
            sort = beam.FlatMapTuple(_sorted_out).with_outputs(INCOMPLETE, main=COMPLETIONS)
            outcomes = assembled | "Sort" >> sort
        else:
            fn = AwaitFn(self._wait_seconds, deltas.windowing.allowed_lateness)
            await_all = beam.ParDo(fn).with_outputs(INCOMPLETE, main=COMPLETIONS)
            outcomes = by_id | "Await" >> await_all
        return with_types(outcomes, {COMPLETIONS: Completion, INCOMPLETE: DeadLetter})


class _Assemble(StreamChunkBuilder):
    """`StreamChunkBuilder` with an output that Beam has a coder for."""

    def extract_output(self, accumulator: DeltaSum) -> Any:
        """Return the outcome in its column."""
        outcome = accumulator.outcome()
        if isinstance(outcome, DeadLetter):
            return Assembled(incomplete=outcome)
        return Assembled(completion=outcome)


def _check_panes(deltas: beam.PCollection[Delta]) -> None:
    """Raise ValueError if a pane may have only some of the deltas that have arrived."""
    if deltas.windowing.accumulation_mode != AccumulationMode.DISCARDING or fires_once(deltas):
        return
    raise ValueError(
        "the trigger of the deltas must not fire more than once per window and discard: a"
        " completion whose deltas arrive in two panes would be incomplete in both. Use"
        " accumulation_mode=AccumulationMode.ACCUMULATING, an allowed_lateness of 0, or"
        " AssembleCompletions(wait_seconds=...)"
    )


def _sorted_out(_: Key, assembled: Assembled) -> Iterator[Any]:
    if assembled.completion is not None:
        yield assembled.completion
    else:
        yield beam.pvalue.TaggedOutput(INCOMPLETE, assembled.incomplete)
