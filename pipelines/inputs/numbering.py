"""Rows that meet by id and by content over all workers: each id once, each equal row a number.

Number 3 of a content is the third row of the job that asks the same. The journal keeps answers by
content and number, so a row keeps its answer wherever it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import apache_beam as beam

from pipelines.inputs.rows import Line, unusable
from transforms.elements import DeadLetter, Prompt

Item = TypeVar("Item")
Parsed = tuple[Line, Prompt | DeadLetter]

_ONCE = "once"
_UNNUMBERED = "unnumbered"


def shuffled(rows: Any) -> Any:
    """Return rows that were let through once, after they met those of the same id and content."""
    first = (
        rows
        | "ById" >> beam.GroupBy(_meeting)
        | "FirstOfEachId" >> beam.FlatMapTuple(_first).with_outputs(_UNNUMBERED, main=_ONCE)
    )
    numbered = (
        first[_UNNUMBERED]
        | "ByContent" >> beam.GroupBy(_key)
        | "Number" >> beam.FlatMapTuple(_numbered)
    )
    return (first[_ONCE], numbered) | "Together" >> beam.Flatten()


def _meeting(parsed: Parsed) -> str:
    """Return what brings a row together with those that it must not be called like."""
    line, row = parsed
    key = _key(row)
    return f"{row.id} {key}" if key and not line.number else row.id


def _key(row: Prompt | DeadLetter) -> str | None:
    """Return what a row asks, if it has no id of its own."""
    return row.key if isinstance(row, Prompt) else None


def _first(id: str, rows: Iterable[Parsed]) -> Iterator[Any]:
    """Yield the first row as it is; rows of a table without an id are all the first."""
    in_order = _in_order(rows, key=lambda parsed: (parsed[0].path, parsed[0].number))
    for earlier, (line, row) in enumerate(in_order):
        if earlier and (line.number or not _key(row)):
            yield duplicate(row.id, line)
        else:
            yield beam.pvalue.TaggedOutput(_UNNUMBERED, row) if _key(row) else row


def _numbered(content: str, prompts: Iterable[Prompt]) -> Iterator[Prompt]:
    """Yield prompts that ask the same, each under a number; names of their own for equal rows."""
    for number, prompt in enumerate(_in_order(prompts, key=_position), 1):
        is_second = number > 1 and prompt.place is not None and prompt.place.endswith(":0")
        id = f"{prompt.id}:{number}" if is_second else prompt.id
        yield prompt._replace(id=id, key=f"{content}:{number}")


def _position(prompt: Prompt) -> tuple[str, int, str]:
    path, _, number = (prompt.place or "").rpartition(":")
    return path, int(number or 0), prompt.id


# So many rows are put in order before they are counted: equal rows may be many.
_IN_ORDER = 10_000


def _in_order(rows: Iterable[Item], key: Callable[[Item], Any]) -> Iterator[Item]:
    """Yield `rows` sorted, as long as they are few; those beyond come as they are."""
    left = iter(rows)
    yield from sorted(islice(left, _IN_ORDER), key=key)
    yield from left


def duplicate(id: str, line: Line) -> DeadLetter:
    """Return the dead letter of a row whose id another row has."""
    return unusable(
        id, line, "DuplicateIdError", f"an earlier row has the id {id!r}; ids must be unique"
    )
