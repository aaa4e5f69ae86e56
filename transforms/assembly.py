"""Assembles completions from deltas that arrive in any order and more than once.

The problem: sinks and shuffles may repeat and reorder deltas, and a prompt may have deltas of
several attempts. A completion must never have a gap or be mixed from two attempts.

The idea: adding deltas per attempt (`SequencedSum`) is associative, commutative and idempotent, so
a CombineFn may add them in any order. The final delta of an attempt says how many deltas it has.

    batch:    StreamChunkBuilder, a CombineFn by prompt id
    streams:  _AwaitFn keeps deltas as state until the attempt is whole or the prompt goes silent

    _AwaitFn:  (none) --final delta--> _CLOSED --all deltas there--> _JUDGED: completion is out
                  '------ silence timer ----------'---------------> _JUDGED: dead letter is out

What holds: the newest whole attempt counts; each prompt has one outcome per window.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import orjson
from apache_beam.coders import VarIntCoder, registry
from apache_beam.transforms import userstate
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.window import GlobalWindow

from ritellm.chunks.sequenced import SequencedSum
from ritellm.chunks.submission import prompt_of
from ritellm.errors import ABOUT_VALUES
from transforms.columns import fits
from transforms.display import given
from transforms.element_types import HOW_TO_GET_DELTAS, check_input, with_types
from transforms.elements import Assembled, Completion, DeadLetter, Delta
from transforms.error_output import OF_DELTAS, ErrorOutput, checked
from transforms.worker.outcomes import text_of, to_completion

COMPLETIONS = "completions"
INCOMPLETE = "incomplete"


class DeltaSum:
    """The sum of some deltas of one prompt. A final delta has the length of its attempt."""

    __slots__ = ("chunks", "finals", "id")

    def __init__(self) -> None:
        self.id = ""
        self.chunks = SequencedSum()
        self.finals: dict[tuple[str, int], Delta] = {}

    def add(self, delta: Delta) -> None:
        """Add `delta`; adding it again changes nothing."""
        self.id = self.id or delta.id
        rank = delta.submission, delta.attempt
        self.chunks.add(rank, delta.seq, delta.chunk)
        if delta.final:
            self.finals[rank] = delta

    def merge(self, other: DeltaSum) -> None:
        """Add the deltas of `other`."""
        self.id = self.id or other.id
        self.chunks.merge(other.chunks)
        self.finals.update(other.finals)

    def outcome(self) -> Completion | DeadLetter:
        """Return the completion of the newest whole attempt, else a dead letter.

        Deltas from a topic may hold anything: an odd one never raises.
        """
        try:
            return self._outcome()
        except ABOUT_VALUES as error:
            return self._unreadable(error)

    def _outcome(self) -> Completion | DeadLetter:
        # The newest first: a newer attempt voids an older one.
        for rank in sorted(self.finals, reverse=True):
            final = self.finals[rank]
            if self.chunks.length(rank) > final.seq:
                completion = self.chunks.sum(rank).completion()
                closing = orjson.loads(final.outcome or "{}")
                found = to_completion(self.id, completion, closing, final.input)
                found = found._replace(submission=final.submission or None)
                if not fits(found):
                    raise TypeError("the outcome in the final delta has a value of another type")
                return found
        return self._incomplete()

    def _unreadable(self, error: Exception) -> DeadLetter:
        return DeadLetter(
            id=self.id,
            request="",
            error_type="UnreadableDeltas",
            message=f"a delta has a value that cannot be read ({error!r:.200})",
            status_code=None,
            retryable=False,
            attempts=max((attempt for _, attempt in self.chunks.attempts), default=0),
            partial_text="",
            input=next((final.input for final in self.finals.values()), None),
        )

    def _incomplete(self) -> DeadLetter:
        attempts = self.chunks.attempts
        newest = attempts[0] if attempts else ("", 0)
        seen = self.chunks.length(newest)
        final = self.finals.get(newest)
        missing = f"delta {seen} of {final.seq}" if final else "its final delta"
        return DeadLetter(
            id=self.id,
            request="",
            error_type="IncompleteDeltas",
            message=f"attempt {newest[1]} has {seen} deltas without a gap; {missing} is missing",
            status_code=None,
            retryable=True,
            attempts=newest[1],
            partial_text=text_of(self.chunks.sum(newest).completion()),
            input=final.input if final else None,
        )


class StreamChunkBuilder(beam.CombineFn):  # type: ignore[misc]
    """`Delta -> Completion` for the deltas of one prompt, in any order and with repeats.

    The newest whole attempt counts. Deltas without a whole attempt become a `DeadLetter` with the
    text so far, never a completion.
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

    def extract_output(self, accumulator: DeltaSum) -> Completion | DeadLetter:
        """Return the completion of the deltas, or a dead letter."""
        return accumulator.outcome()


class AssembleCompletions(ErrorOutput, beam.PTransform):  # type: ignore[misc]
    """`Delta -> Completion` by prompt id, in each window; returns `.completions`, `.incomplete`.

    The outcome of a prompt is emitted when the trigger of the window fires: by default once, at the
    end of the window.

    Args:
        wait_seconds: for streams. A completion is emitted once, as soon as it is whole. A prompt
            that is not whole and has no delta for this many seconds of event time is emitted as
            incomplete; at the latest when its window and its allowed lateness are over. Deltas
            after that are dropped; in the global window for another `wait_seconds` only.
        error_handler: Beam's ErrorHandler, which gets the incomplete ones; the transform then
            returns the completions alone (`transforms.error_output`).
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
        by_id = deltas | "ById" >> beam.Map(_by_prompt).with_output_types(tuple[_Key, Delta])
        if self._wait_seconds is None:
            add_up = _Assemble().with_input_types(Delta).with_output_types(Assembled)
            assembled = by_id | "Sum" >> beam.CombinePerKey(add_up)
            sort = beam.FlatMapTuple(_sorted_out).with_outputs(INCOMPLETE, main=COMPLETIONS)
            outcomes = assembled | "Sort" >> sort
        else:
            fn = _AwaitFn(self._wait_seconds, deltas.windowing.allowed_lateness)
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


# The id of a prompt, and the digest of its request: two prompts may have one id.
_Key = tuple[str, str]


def _by_prompt(delta: Delta) -> tuple[_Key, Delta]:
    return (delta.id, prompt_of(delta.submission)), delta


def _sorted_out(_: _Key, assembled: Assembled) -> Iterator[Any]:
    if assembled.completion is not None:
        yield assembled.completion
    else:
        yield beam.pvalue.TaggedOutput(INCOMPLETE, assembled.incomplete)


# The progress of a prompt: no value, then its final delta is there, then its outcome is out.
_CLOSED, _JUDGED = 1, 2


class _AwaitFn(beam.DoFn):  # type: ignore[misc]
    """Keeps the deltas of a prompt until an attempt is whole, or until no delta arrives.

    The deltas are read only after the final one has arrived, so the cost of adding a delta does not
    grow with the length of the completion.
    """

    DELTAS = userstate.BagStateSpec("deltas", registry.get_coder(Delta))
    PROGRESS = userstate.ReadModifyWriteStateSpec("progress", VarIntCoder())
    SILENCE = userstate.TimerSpec("silence", TimeDomain.WATERMARK)

    def __init__(self, wait_seconds: float, allowed_lateness: Any) -> None:
        self._wait = wait_seconds
        self._lateness = allowed_lateness

    def process(
        self,
        keyed: tuple[_Key, Delta],
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
        deltas: Any = beam.DoFn.StateParam(DELTAS),
        progress: Any = beam.DoFn.StateParam(PROGRESS),
        silence: Any = beam.DoFn.TimerParam(SILENCE),
    ) -> Iterator[Any]:
        """Add a delta; emit the completion if it is whole now."""
        known = progress.read()
        if known == _JUDGED:
            return
        delta = keyed[1]
        deltas.add(delta)
        # Each delta starts the wait again, but the window ends it.
        silence.set(min(timestamp + self._wait, window.max_timestamp() + self._lateness))
        if delta.final:
            progress.write(_CLOSED)
        if delta.final or known == _CLOSED:
            outcome = _outcome_of(deltas.read())
            if isinstance(outcome, Completion):
                deltas.clear()
                progress.write(_JUDGED)
                # The state remembers that the outcome is out, to drop late repeats. In the global
                # window it would stay forever, so a timer clears it.
                if isinstance(window, GlobalWindow):
                    silence.set(timestamp + 2 * self._wait)
                yield outcome

    @userstate.on_timer(SILENCE)  # type: ignore[untyped-decorator]
    def expire(
        self,
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
        deltas: Any = beam.DoFn.StateParam(DELTAS),
        progress: Any = beam.DoFn.StateParam(PROGRESS),
        silence: Any = beam.DoFn.TimerParam(SILENCE),
    ) -> Iterator[Any]:
        """Emit a dead letter if the prompt is not whole; forget it later."""
        known = progress.read()
        endless = isinstance(window, GlobalWindow)  # its state stays until it is cleared
        if known != _JUDGED:
            outcome = _outcome_of(deltas.read())
            is_whole = isinstance(outcome, Completion)
            yield outcome if is_whole else beam.pvalue.TaggedOutput(INCOMPLETE, outcome)
            deltas.clear()
            progress.write(_JUDGED)
            if endless:
                silence.set(timestamp + self._wait)
        elif endless:
            progress.clear()


def _outcome_of(deltas: Iterable[Delta]) -> Completion | DeadLetter:
    total = DeltaSum()
    for delta in deltas:
        total.add(delta)
    return total.outcome()
