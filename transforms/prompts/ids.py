"""Gives each prompt an id that no other prompt of the job has.

The problem: rows of other people's pipelines may have no id, or repeat one. Two equal texts are two
prompts. A bundle or a job that runs again must find the same ids, or it pays again.

The idea: the id of a row without one is a digest of the row and a number. Number 2 is the second
row of the job with that content. Which of them is the second may differ between runs, which is
harmless, because equal rows are interchangeable.

    batch:   rows --> by id or digest --> stateful: the first passes; equal rows get numbers,
                                          other rows with the id are dead letters
    stream:  rows --> a random number in place of the count --> shuffle, which fixes it

A stream would keep a count for each row forever. There, a repeated bundle finds the same random
number, because it begins after the shuffle. A new run of the job draws new ones.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any
from uuid import uuid4

import apache_beam as beam
from apache_beam.coders import VarIntCoder
from apache_beam.transforms import userstate
from apache_beam.transforms.core import Windowing
from apache_beam.transforms.trigger import AccumulationMode, Always
from apache_beam.transforms.window import GlobalWindows, TimestampCombiner
from apache_beam.typehints.native_type_compatibility import TypedWindowedValue

from transforms.elements import DeadLetter, Prompt
from transforms.graph.element_types import with_types
from transforms.graph.tags import DEAD_LETTERS

DUPLICATE = "DuplicateIdError"
# The group of a row: rows with an id of their own, and rows that are named by their content.
_OWN, _CONTENT = "id:", "row:"


def own(id: str) -> str:
    """Return the group of the rows with this id."""
    return _OWN + id


def by_content(*parts: str) -> str:
    """Return the group of the rows that are equal to one with these texts."""
    digest = blake2b(digest_size=16, person=b"ritellm-rows")
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return _CONTENT + digest.hexdigest()


def id_of(group: str) -> str:
    """Return the id of the first row of a group."""
    return group.partition(":")[2]


class Unique(beam.PTransform):  # type: ignore[misc]
    """`(group, Prompt) -> Prompt`, for batch: numbers equal rows, and finds repeated ids."""

    def expand(self, grouped: Any) -> Any:
        """Look at the rows of each group, one after the other."""
        number = beam.ParDo(_NumberFn()).with_outputs(DEAD_LETTERS, main="prompts")
        numbered = grouped | "Number" >> number
        return with_types(numbered, {"prompts": Prompt, DEAD_LETTERS: DeadLetter})


class _NumberFn(beam.DoFn):  # type: ignore[misc]
    COUNT = userstate.ReadModifyWriteStateSpec("count", VarIntCoder())

    def process(
        self, grouped: tuple[str, Prompt], count: Any = beam.DoFn.StateParam(COUNT)
    ) -> Iterator[Any]:
        group, prompt = grouped
        number = (count.read() or 0) + 1
        count.write(number)
        if number == 1:
            yield prompt
        elif group.startswith(_CONTENT):
            yield prompt._replace(id=f"{prompt.id}:{number}")
        else:
            yield beam.pvalue.TaggedOutput(DEAD_LETTERS, repeated(prompt))


def repeated(prompt: Prompt) -> DeadLetter:
    """Return the dead letter of a prompt whose id another one has."""
    reason = f"another row has the id {prompt.id!r}; ids must be unique"
    return refused(prompt.id, reason, prompt.input, DUPLICATE, prompt.request)


def refused(
    id: str, reason: str, input: str | None, error_type: str = "RowError", request: str = ""
) -> DeadLetter:
    """Return the dead letter of a row that is not sent."""
    return DeadLetter(
        id=id,
        request=request,
        error_type=error_type,
        message=reason.encode("utf-8", "backslashreplace").decode(),
        status_code=None,
        retryable=False,
        attempts=0,
        partial_text="",
        input=input,
    )


class Own(beam.PTransform):  # type: ignore[misc]
    """`(group, Prompt) -> Prompt` for rows that all have an id."""

    def expand(self, grouped: Any) -> Any:
        """Leave the groups out."""
        return grouped | beam.Values().with_output_types(Prompt)


class Drawn(beam.PTransform):  # type: ignore[misc]
    """`(group, Prompt) -> Prompt`, for streams: draws ids for rows without one, and keeps them.

    Each row stays one element with all its windows.
    """

    def expand(self, grouped: Any) -> Any:
        """Draw, and shuffle."""
        keyed = grouped | "Draw" >> beam.ParDo(_DrawFn()).with_output_types(
            tuple[int, TypedWindowedValue[Prompt]]
        )
        # As Beam's Reshuffle, which would make an element of each window.
        keyed._windowing = Windowing(
            GlobalWindows(),
            triggerfn=Always(),
            accumulation_mode=AccumulationMode.DISCARDING,
            timestamp_combiner=TimestampCombiner.OUTPUT_AT_EARLIEST,
        )
        drawn = (
            keyed
            | "Shuffle" >> beam.GroupByKey()
            | "Restore" >> beam.FlatMapTuple(_restored).with_output_types(Prompt)
        )
        drawn._windowing = grouped.windowing
        return drawn


class _DrawFn(beam.DoFn):  # type: ignore[misc]
    def process(
        self, grouped: tuple[str, Prompt], windowed: Any = beam.DoFn.WindowedValueParam
    ) -> Iterator[Any]:
        group, prompt = grouped
        if group.startswith(_CONTENT):
            prompt = prompt._replace(id=f"{prompt.id}:{uuid4().hex}")
        yield random.getrandbits(32), windowed.with_value(prompt)


def _restored(_: int, prompts: Iterable[Any]) -> Iterator[Any]:
    yield from prompts
