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

A shuffle costs bytes. A prompt has its row twice, as `request` and as `input`. So only the line of
the row is shuffled, with what the grouping needs. It is parsed again at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import apache_beam as beam

from pipelines.inputs.row_form import PLAIN, RowForm
from pipelines.inputs.rows import DUPLICATE, Line, read, unusable
from transforms.elements import DeadLetter, Prompt
from transforms.graph.element_types import with_types

Item = TypeVar("Item")
Parsed = tuple[Line, Prompt | DeadLetter]

_ONCE = "once"
_UNNUMBERED = "unnumbered"

# Beam's types: it encodes tuples of known types without pickling them.
_LINE = tuple[str, str, int, str, str, str]  # the columns of `Line`
_WITH_CONTENT = tuple[_LINE, str]
_VERDICT = tuple[_LINE, str, int]

_HAS_ID, _REPEATED = 0, -1


class Verdict(NamedTuple):
    """What the grouping has found out about a line: a number, `_HAS_ID` or `_REPEATED`.

    A line of a row without an id has a number from 1 among the rows with the same `content`.
    """

    line: Line
    content: str = ""
    number: int = _HAS_ID


def shuffled(rows: Any, form: RowForm = PLAIN) -> Any:
    """Return the prompts with unique ids and keys, and dead letters for duplicates.

    `form` says how a row becomes a prompt.
    """
    once = beam.FlatMapTuple(_first).with_outputs(_UNNUMBERED, main=_ONCE)
    first = rows | "ById" >> _ById() | "FirstOfEachId" >> once
    with_types(first, {_ONCE: _VERDICT, _UNNUMBERED: tuple[str, _LINE]})
    number = beam.FlatMapTuple(_numbered).with_output_types(_VERDICT)
    numbered = first[_UNNUMBERED] | "ByContent" >> beam.GroupByKey() | "Number" >> number
    verdicts = (first[_ONCE], numbered) | "Together" >> beam.Flatten()
    return verdicts | "ToRow" >> beam.Map(to_row, form)


class _ById(beam.PTransform):  # type: ignore[misc]
    """Group the lines of rows that could be duplicates of each other."""

    def expand(self, rows: Any) -> Any:
        keyed = beam.Map(_keyed).with_output_types(tuple[str, _WITH_CONTENT])
        return rows | "Key" >> keyed | beam.GroupByKey()


def _keyed(parsed: Parsed) -> tuple[str, tuple[Line, str]]:
    """Return the line of a row with its content, under the key of its possible duplicates."""
    line, row = parsed
    content = (isinstance(row, Prompt) and row.key) or ""
    return f"{row.id} {content}" if content and not line.number else row.id, (line, content)


def _first(_: str, lines: Iterable[tuple[Line, str]]) -> Iterator[Any]:
    """Yield a verdict for the first line, and for its duplicates; lines without an id under a tag.

    Rows of a table without ids all pass.
    """
    in_order = _in_order(((Line(*line), content) for line, content in lines), key=_place)
    for earlier, (line, content) in enumerate(in_order):
        if earlier and (line.number or not content):
            yield Verdict(line, number=_REPEATED)
        elif content:
            yield beam.pvalue.TaggedOutput(_UNNUMBERED, (content, line))
        else:
            yield Verdict(line)


def _place(with_content: tuple[Line, str]) -> tuple[str, int]:
    return with_content[0].path, with_content[0].number


def _numbered(content: str, lines: Iterable[Line]) -> Iterator[Verdict]:
    """Yield a verdict for each line with equal content, with its number."""
    in_order = _in_order((Line(*line) for line in lines), key=_position)
    for number, line in enumerate(in_order, 1):
        yield Verdict(line, content, number)


def _position(line: Line) -> tuple[str, int, str]:
    return line.path, line.number, line.id


def to_row(verdict: Verdict, form: RowForm = PLAIN) -> Prompt | DeadLetter:
    """Return the row of a line, with an id and a key of its own, or a dead letter."""
    fields, content, number = verdict
    line = Line(*fields)
    row = read(line, rows=form).row
    if number == _REPEATED:
        return duplicate(row.id, line, form)
    if number == _HAS_ID or isinstance(row, DeadLetter):
        return row
    id = f"{row.id}:{number}" if number > 1 and not line.number else row.id
    return row._replace(id=id, key=f"{content}:{number}")


# Only this many rows are sorted: a group of equal rows may not fit in memory.
_IN_ORDER = 10_000


def _in_order(rows: Iterable[Item], key: Callable[[Item], Any]) -> Iterator[Item]:
    """Yield the first `_IN_ORDER` rows sorted, and the others as they come."""
    left = iter(rows)
    yield from sorted(islice(left, _IN_ORDER), key=key)
    yield from left


def duplicate(id: str, line: Line, form: RowForm = PLAIN) -> DeadLetter:
    """Return the dead letter of a row whose id an earlier row has."""
    reason = f"an earlier row has the id {id!r}; ids must be unique"
    return unusable(id, line, DUPLICATE, reason, form)
