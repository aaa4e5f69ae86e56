"""Records: parts of JSON answers as elements, while the model still writes the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import apache_beam as beam

from ritellm.chunks.submission import prompt_of
from ritellm.structured.paths import JsonPath, parse_path
from transforms.completions.model_transform import ModelTransform
from transforms.elements import DeadLetter, Delta, Prompt, Record
from transforms.graph.element_types import HOW_TO_GET_RECORDS, check_input, with_types
from transforms.graph.error_output import OF_DELTAS, OF_PROMPT, ErrorOutput, checked
from transforms.graph.outputs import Outputs
from transforms.graph.panes import fires_once
from transforms.graph.tags import DEAD_LETTERS, DELTAS, INCOMPLETE, RECORDS
from transforms.records.checking import Checking
from transforms.records.reading import DeltaRecords
from transforms.records.whole import whole_answer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from transforms.completions.params import JobParams

__all__ = ["AssembleRecords", "StreamRecords"]

# The id of a prompt, and the digest of its request.
Key = tuple[str, str]


class StreamRecords(ModelTransform):
    """`Prompt -> Record`: each part of a JSON answer becomes an element as soon as it closes.

    Returns outputs `.records`, `.incomplete` (answers whose JSON has a fault or does not end) and
    `.dead_letters` (prompts without an answer). Records come out before their answer is whole: the
    final one says that it is. `AssembleRecords` keeps those of whole answers.

    Args:
        model: "provider/model".
        schema: what each record must fit: a JSON schema, its JSON, or a pydantic model. A record
            that does not fit is not `valid`. None checks nothing.
        path: the parts that become records, such as "$.items[*]" (`ritellm.structured.paths`).
        params: the other arguments of `StreamCompletions`, without `commit_every`.
    """

    def __init__(
        self,
        model: str,
        schema: Any = None,
        path: str = "$.items[*]",
        **params: Unpack[JobParams],
    ) -> None:
        super().__init__(model, **params)
        if self._commits is not None:
            raise ValueError(
                "commit_every must be left out: StreamRecords keeps the open answers of a bundle"
            )
        self._path, self._checking = parse_path(path), Checking.of(schema)

    def expand(self, prompts: beam.PCollection[Prompt]) -> Any:
        """Stream each prompt, and read its deltas."""
        completer = replace(self._completer, deltas=True)
        done = self._complete(prompts, completer, {DELTAS: Delta, DEAD_LETTERS: DeadLetter})
        fn = RecordsFn(self._path, self._checking)
        read = done[DELTAS] | "Records" >> beam.ParDo(fn).with_outputs(INCOMPLETE, main=RECORDS)
        read = with_types(read, {RECORDS: Record, INCOMPLETE: DeadLetter})
        outputs = Outputs(
            {
                RECORDS: read[RECORDS],
                INCOMPLETE: read[INCOMPLETE],
                DEAD_LETTERS: done[DEAD_LETTERS],
            }
        )
        return self._handled(outputs, RECORDS, (INCOMPLETE, DEAD_LETTERS), OF_PROMPT)


class RecordsFn(beam.DoFn):  # type: ignore[misc]
    """Reads the deltas of a bundle, which come in order, into records."""

    def __init__(self, path: JsonPath, checking: Checking) -> None:
        self._path, self._checking = path, checking

    def start_bundle(self) -> None:
        """Forget the answers that the last bundle left open."""
        self._records = DeltaRecords(self._path, self._checking.check)

    def process(self, delta: Delta) -> Iterator[Any]:
        """Yield the records that `delta` completes."""
        for found in self._records.add(delta):
            if isinstance(found, DeadLetter):
                yield beam.pvalue.TaggedOutput(INCOMPLETE, found)
            else:
                yield found


class AssembleRecords(ErrorOutput, beam.PTransform):  # type: ignore[misc]
    """`Record -> Record`: the records of whole answers only, each once, in each window.

    The records may come in any order and with repeats, as from a queue. Of several submissions and
    attempts of a prompt the newest whole one counts. Returns `.records`, without the final ones,
    and `.incomplete` with a dead letter for each prompt without a whole answer. The trigger must
    not fire more than once per window (ValueError).
    """

    def __init__(self, *, error_handler: Any = None) -> None:
        super().__init__()
        self._error_handler = checked(error_handler)

    def expand(self, records: beam.PCollection[Record]) -> Any:
        """Collect the records of each prompt."""
        check_input(records, Record, type(self).__name__, HOW_TO_GET_RECORDS)
        if not fires_once(records):
            raise ValueError(
                "the trigger of the records must fire once per window: an answer would come out"
                " more than once. Use the default trigger and an allowed_lateness of 0"
            )
        by_prompt = beam.Map(_by_prompt).with_output_types(tuple[Key, Record])
        sort = beam.FlatMapTuple(_sorted_out).with_outputs(INCOMPLETE, main=RECORDS)
        found = records | "ByPrompt" >> by_prompt | beam.GroupByKey() | "Sort" >> sort
        outcomes = with_types(found, {RECORDS: Record, INCOMPLETE: DeadLetter})
        return self._handled(outcomes, RECORDS, (INCOMPLETE,), OF_DELTAS)


def _by_prompt(record: Record) -> tuple[Key, Record]:
    return (record.id, prompt_of(record.submission)), record


def _sorted_out(key: Key, records: Iterable[Record]) -> Iterator[Any]:
    found = whole_answer(key[0], records)
    if isinstance(found, DeadLetter):
        yield beam.pvalue.TaggedOutput(INCOMPLETE, found)
    else:
        yield from found
