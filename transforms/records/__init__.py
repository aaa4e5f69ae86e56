"""Records: parts of JSON answers as elements, while the model still writes the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import apache_beam as beam

from ritellm.chunks.submission import prompt_of
from ritellm.providers import split_model
from ritellm.structured.paths import parse_path
from transforms.assembly.awaited_deltas import Key
from transforms.completions.model_transform import ModelTransform
from transforms.elements import DeadLetter, Prompt, Record
from transforms.graph.display import given
from transforms.graph.element_types import HOW_TO_GET_RECORDS, check_input, with_types
from transforms.graph.error_output import OF_DELTAS, OF_PROMPT, ErrorOutput, checked
from transforms.graph.outputs import Outputs
from transforms.graph.panes import fires_once
from transforms.graph.tags import DEAD_LETTERS, INCOMPLETE, RECORDS
from transforms.records.awaited import AwaitRecordsFn, sorted_out
from transforms.records.whole import whole_answer
from transforms.worker.records.checking import Checking
from transforms.worker.records.reading import INVALID, TRUNCATED
from transforms.worker.records.recording import Recording

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from transforms.completions.params import JobParams

__all__ = ["AssembleRecords", "StreamRecords"]


class StreamRecords(ModelTransform):
    """`Prompt -> Record`: each part of a JSON answer becomes an element as soon as it closes.

    Returns outputs `.records`, `.incomplete` (answers whose JSON has a fault or does not end) and
    `.dead_letters` (prompts without an answer). Records come out before their answer is whole: the
    final one says that it is. `AssembleRecords` keeps those of whole answers.

    An answer that `max_tokens` cuts off goes on after its last record with
    `on_interrupt="continue"`, where a prefill continues it (`on_length`). Elsewhere
    it is requested once more with more room: a further attempt, whose records begin again.

    Args:
        model: "provider/model".
        schema: what each record must fit: a JSON schema, its JSON, or a pydantic model. A record
            that does not fit is not `valid`. None checks nothing.
        path: the parts that become records, such as "$.items[*]" (`ritellm.structured.paths`).
        grow_max_tokens: the `max_tokens` of that further attempt. None is twice the `max_tokens` of
            the request; without both there is none.
        params: the other arguments of `StreamCompletions`.
    """

    def __init__(
        self,
        model: str,
        schema: Any = None,
        path: str = "$.items[*]",
        *,
        grow_max_tokens: int | None = None,
        **params: Unpack[JobParams],
    ) -> None:
        if params.get("on_interrupt") == "continue" and _continues(model):
            params.setdefault("on_length", "continue")
        super().__init__(model, **params)
        if grow_max_tokens is not None and grow_max_tokens < 1:
            raise ValueError(f"grow_max_tokens must be positive, got {grow_max_tokens}")
        self._recording = Recording(parse_path(path), Checking.of(schema), grow_max_tokens)

    def expand(self, prompts: beam.PCollection[Prompt]) -> Any:
        """Stream each prompt, and read its answer."""
        completer = replace(self._completer, deltas=True, records=self._recording)
        done = self._complete(prompts, completer, {RECORDS: Record, DEAD_LETTERS: DeadLetter})
        apart = beam.FlatMap(_apart).with_outputs(INCOMPLETE, main=DEAD_LETTERS)
        letters = done[DEAD_LETTERS] | "Apart" >> apart
        letters = with_types(letters, dict.fromkeys((DEAD_LETTERS, INCOMPLETE), DeadLetter))
        incomplete = letters[INCOMPLETE]
        if self._commits is not None:  # answers that a drain did not wait for
            incomplete = (incomplete, done[INCOMPLETE]) | "AllIncomplete" >> beam.Flatten()
        outputs = Outputs(
            {
                RECORDS: done[RECORDS],
                INCOMPLETE: incomplete,
                DEAD_LETTERS: letters[DEAD_LETTERS],
            }
        )
        return self._handled(outputs, RECORDS, (INCOMPLETE, DEAD_LETTERS), OF_PROMPT)

    def _failed(self) -> tuple[str, ...]:
        return DEAD_LETTERS, INCOMPLETE


def _continues(model: str) -> bool:
    """Return whether the provider may be given the beginning of an answer."""
    return split_model(model)[0].quirks.prefill is not None


def _apart(letter: DeadLetter) -> Iterator[Any]:
    """Yield `letter` for its output: an answer that is not whole JSON, or a prompt without one."""
    broken = letter.error_type in (INVALID, TRUNCATED)
    yield beam.pvalue.TaggedOutput(INCOMPLETE, letter) if broken else letter


class AssembleRecords(ErrorOutput, beam.PTransform):  # type: ignore[misc]
    """`Record -> Record`: the records of whole answers only, each once, in each window.

    The records may come in any order and with repeats, as from a queue. Of several submissions and
    attempts of a prompt the newest whole one counts. Returns `.records`, without the final ones,
    and `.incomplete` with a dead letter for each prompt without a whole answer. Without
    `wait_seconds`, the trigger must not fire more than once per window (ValueError).

    Args:
        wait_seconds: for streams. The records of an answer are emitted once, as soon as it is
            whole. A prompt that has no whole answer and no record for this many seconds of event
            time is emitted as incomplete; at the latest when its window and its allowed lateness
            are over. Records after that are dropped; in the global window for another
            `wait_seconds` only.
        error_handler: Beam's ErrorHandler, which gets the incomplete ones; the transform then
            returns the records alone (`transforms.graph.error_output`).
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

    def expand(self, records: beam.PCollection[Record]) -> Any:
        """Collect the records of each prompt."""
        check_input(records, Record, type(self).__name__, HOW_TO_GET_RECORDS)
        by_prompt = beam.Map(_by_prompt).with_output_types(tuple[Key, Record])
        keyed = records | "ByPrompt" >> by_prompt
        if self._wait_seconds is None:
            _check_trigger(records)
            sort = beam.FlatMapTuple(_sorted).with_outputs(INCOMPLETE, main=RECORDS)
            found = keyed | beam.GroupByKey() | "Sort" >> sort
        else:
            fn = AwaitRecordsFn(self._wait_seconds, records.windowing.allowed_lateness)
            found = keyed | "Await" >> beam.ParDo(fn).with_outputs(INCOMPLETE, main=RECORDS)
        outcomes = with_types(found, {RECORDS: Record, INCOMPLETE: DeadLetter})
        return self._handled(outcomes, RECORDS, (INCOMPLETE,), OF_DELTAS)


def _check_trigger(records: beam.PCollection[Record]) -> None:
    if not fires_once(records):
        raise ValueError(
            "the trigger of the records must fire once per window: an answer would come out"
            " more than once. Use the default trigger and an allowed_lateness of 0, or"
            " AssembleRecords(wait_seconds=...)"
        )


def _by_prompt(record: Record) -> tuple[Key, Record]:
    return (record.id, prompt_of(record.submission)), record


def _sorted(key: Key, records: Iterable[Record]) -> Iterator[Any]:
    yield from sorted_out(whole_answer(key[0], records))
