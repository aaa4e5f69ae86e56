"""Finds duplicate ids and numbers equal rows, over all workers.

The problem: a row without an id needs a key in the journal that survives edits of the input. Its
file and line would change when a line is inserted above it.

The idea: the key is the content of the request and a number. Number 3 is the third row of the job
with that content. Which row is the third may differ between runs. That is harmless, because equal
requests are interchangeable: only their count decides how many completions the journal provides.

    rows --> group by id --> first of each id --> has an id -------> output
                |                             +--> has none --> group by content
                |                                               --> number ---> output
                +--> the other rows of the id --> dead letters

A row of a table has no line number. Its default id is a digest of its content, so equal rows share
the id. They are not duplicates: all pass, and the second and later ones get the number in their id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import apache_beam as beam

from pipelines.inputs.rows import DUPLICATE, Line, unusable
from transforms.elements import DeadLetter, Prompt

Item = TypeVar("Item")
Parsed = tuple[Line, Prompt | DeadLetter]

_ONCE = "once"
_UNNUMBERED = "unnumbered"


def shuffled(rows: Any) -> Any:
    """Return the prompts with unique ids and keys, and dead letters for duplicates."""
    first = (
        rows
        | "ById" >> beam.GroupBy(_group)
        | "FirstOfEachId" >> beam.FlatMapTuple(_first).with_outputs(_UNNUMBERED, main=_ONCE)
    )
    numbered = (
        first[_UNNUMBERED]
        | "ByContent" >> beam.GroupBy(_key)
        | "Number" >> beam.FlatMapTuple(_numbered)
    )
    return (first[_ONCE], numbered) | "Together" >> beam.Flatten()


def _group(parsed: Parsed) -> str:
    """Return the key by which a row meets the rows that could be its duplicates."""
    line, row = parsed
    key = _key(row)
    return f"{row.id} {key}" if key and not line.number else row.id


def _key(row: Prompt | DeadLetter) -> str | None:
    """Return the content of a row without an id of its own, else None."""
    return row.key if isinstance(row, Prompt) else None


def _first(id: str, rows: Iterable[Parsed]) -> Iterator[Any]:
    """Yield the first row, and duplicates for the others; rows of a table without ids all pass."""
    in_order = _in_order(rows, key=lambda parsed: (parsed[0].path, parsed[0].number))
    for earlier, (line, row) in enumerate(in_order):
        if earlier and (line.number or not _key(row)):
            yield duplicate(row.id, line)
        else:
            yield beam.pvalue.TaggedOutput(_UNNUMBERED, row) if _key(row) else row


def _numbered(content: str, prompts: Iterable[Prompt]) -> Iterator[Prompt]:
    """Yield prompts with equal requests, each with a number in its key."""
    for number, prompt in enumerate(_in_order(prompts, key=_position), 1):
        is_second = number > 1 and prompt.place is not None and prompt.place.endswith(":0")
        id = f"{prompt.id}:{number}" if is_second else prompt.id
        yield prompt._replace(id=id, key=f"{content}:{number}")


def _position(prompt: Prompt) -> tuple[str, int, str]:
    path, _, number = (prompt.place or "").rpartition(":")
    return path, int(number or 0), prompt.id


# Only this many rows are sorted: a group of equal rows may not fit in memory.
_IN_ORDER = 10_000


def _in_order(rows: Iterable[Item], key: Callable[[Item], Any]) -> Iterator[Item]:
    """Yield the first `_IN_ORDER` rows sorted, and the others as they come."""
    left = iter(rows)
    yield from sorted(islice(left, _IN_ORDER), key=key)
    yield from left


def duplicate(id: str, line: Line) -> DeadLetter:
    """Return the dead letter of a row whose id an earlier row has."""
    return unusable(id, line, DUPLICATE, f"an earlier row has the id {id!r}; ids must be unique")
