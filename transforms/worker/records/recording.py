"""Completes one prompt whose answer is read as records, while it arrives. No Beam.

The problem: a consumer of records needs no deltas, and `max_tokens` may cut an answer off in the
middle of a record.

The idea: the deltas of a prompt become records where they are made, on the event loop. So records
leave the process like deltas do: at once, or with `commit_every`. An answer that its length cut off
is requested once more with more room, as a further attempt, like an answer that is not valid
(`transforms.worker.answers`). Where the provider continues answers (`on_length`), none is cut off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ritellm.answers.usages import usage_sum
from ritellm.chunks.sum import completion_to_chunk
from ritellm.errors import ABOUT_VALUES
from ritellm.structured.chunks import ChunkElements
from ritellm.structured.paths import JsonPath
from ritellm.types import Completion
from transforms.elements import Delta, Outcome
from transforms.worker.records.checking import Checking
from transforms.worker.records.reading import DeltaRecords


@dataclass(frozen=True, slots=True)
class Recording:
    """Which parts of an answer are records, what each must fit, and the room for a second try.

    Without `grow_max_tokens`, an answer that is cut off gets twice its `max_tokens`.
    """

    path: JsonPath
    checking: Checking
    grow_max_tokens: int | None = None

    def reader(self) -> RecordReader:
        """Return what turns the outcomes of one prompt into records."""
        return RecordReader(DeltaRecords(self.path, self.checking.check))


class RecordReader:
    """Turns the deltas among the outcomes of one prompt into records, in order."""

    def __init__(self, records: DeltaRecords) -> None:
        self._records = records

    def read(self, outcomes: Iterable[Outcome]) -> list[Outcome]:
        """Return `outcomes` with the records that close in place of the deltas."""
        found: list[Outcome] = []
        for outcome in outcomes:
            if isinstance(outcome, Delta):
                found += self._records.add(outcome)
            else:
                found.append(outcome)
        return found


class Room:
    """The requests for one answer of records: a second one with more room, if it was cut off."""

    def __init__(
        self, recording: Recording, messages: Sequence[Mapping[str, Any]], max_tokens: int | None
    ) -> None:
        self.messages = list(messages)
        self.max_tokens: int | None = None
        self.usage: dict[str, Any] | None = None  # the sum over the requests so far
        self._recording, self._first_max = recording, max_tokens or 0

    def judge(
        self, completion: Mapping[str, Any], mode: str, stopped: Any = None
    ) -> Mapping[str, Any] | None:
        """Return `completion`; None if it must be requested once more, with `max_tokens`."""
        self.usage = usage_sum(self.usage, completion.get("usage"))
        limit = self._recording.grow_max_tokens or 2 * self._first_max
        if self.max_tokens is None and limit > self._first_max and self._is_cut_off(completion):
            self.max_tokens = limit
            return None
        return completion

    def answered(self, completion: Mapping[str, Any], accepted: Any) -> Completion:
        """Return `completion` with the tokens of all requests."""
        return Completion({**completion, **({"usage": self.usage} if self.usage else {})})

    def usage_with(self, usage: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Return the tokens of all requests, and of one more that was not judged."""
        return usage_sum(self.usage, usage)

    def _is_cut_off(self, completion: Mapping[str, Any]) -> bool:
        choices = completion.get("choices") or [{}]
        if choices[0].get("finish_reason") != "length":
            return False
        elements = ChunkElements(self._recording.path)
        try:
            elements.elements(completion_to_chunk(completion))
            elements.close()
        except ABOUT_VALUES:
            return False  # more room does not make JSON of it
        return elements.truncated
