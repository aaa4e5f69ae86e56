"""From the input of a batch job to its prompts: reads and parses rows, and finds duplicate ids."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.utils.shared import Shared

from pipelines.inputs.columns import NewColumns, warning
from pipelines.inputs.formats import format_of
from pipelines.inputs.numbering import Parsed, duplicate, shuffled
from pipelines.inputs.options import InputOptions
from pipelines.inputs.row_form import PLAIN, RowForm
from pipelines.inputs.rows import Line, read
from pipelines.inputs.selection import Selection
from transforms.elements import DeadLetter, Prompt
from transforms.graph.element_types import with_types
from transforms.graph.tags import DEAD_LETTERS, PROMPTS
from transforms.metrics import tally_unusable
from transforms.prompts.seen_ids import SeenIds

ROWS = "rows"
UNUSED = "unused_columns"

_log = logging.getLogger("pipelines")


class Read(NamedTuple):
    """What `ReadPrompts` returns. `unused_columns` may contain a column once for each process."""

    prompts: Any
    dead_letters: Any
    unused_columns: Any


class ReadPrompts(beam.PTransform):  # type: ignore[misc]
    """Read the prompts of the input at `locations`: files, as the options say, or a table.

    `selection` may take a part of the rows. With `spread` the rows are shuffled by id over all
    workers, and duplicate ids are found wherever they are. Without it all steps stay fused in one
    process, and memory stays constant.

    The journal identifies a row without an id by its content, and by its number among the rows of
    equal content. So the row may move to another line or file. The numbers may differ between
    runs: only the count of equal rows matters.
    """

    def __init__(
        self,
        locations: Sequence[str],
        spread: bool,
        options: InputOptions | None = None,
        rows: RowForm = PLAIN,
        selection: Selection | None = None,
    ) -> None:
        super().__init__()
        self._rows = rows
        self._selection = selection or Selection()
        self._locations = locations
        self._spread = spread
        self._options = options

    def expand(self, root: Any) -> Read:
        """Read, parse, let each id through once, and number equal rows."""
        format = format_of(self._locations, self._options, spread=self._spread)
        rows, needed = self._rows, self._rows.needed
        columns = None if needed is None else sorted(needed)
        lines = self._selection.read(root, format, self._locations, columns)
        if format.has_order and not self._spread:
            return _read_here(lines, rows)
        read = lines | "ParseRows" >> beam.ParDo(_ParseFn(rows)).with_outputs(UNUSED, main=ROWS)
        once = shuffled(read[ROWS], rows)
        sort_out = beam.FlatMap(_sorted_out).with_outputs(DEAD_LETTERS, main=PROMPTS)
        found = once | "SortOut" >> sort_out
        with_types(found, {PROMPTS: Prompt, DEAD_LETTERS: DeadLetter})
        return Read(found[PROMPTS], found[DEAD_LETTERS], read[UNUSED])


def _read_here(lines: Any, rows: RowForm) -> Read:
    """Do all in one step of one process: each step costs a short job some milliseconds."""
    step = beam.ParDo(_PromptsFn(rows)).with_outputs(UNUSED, DEAD_LETTERS, main=PROMPTS)
    found = lines | "ParseRows" >> step
    with_types(found, {PROMPTS: Prompt, DEAD_LETTERS: DeadLetter})
    return Read(found[PROMPTS], found[DEAD_LETTERS], found[UNUSED])


class _ParseFn(beam.DoFn):  # type: ignore[misc]
    """Yields each line with its parsed row; warns once of each column that is not sent."""

    def __init__(self, rows: RowForm = PLAIN) -> None:
        self._rows = rows
        self._shared = Shared()

    def setup(self) -> None:
        self._new_columns: NewColumns = self._shared.acquire(NewColumns)

    def process(self, line: Line) -> Iterator[Any]:
        found = read(line, by_content=True, rows=self._rows)
        for column in self._new_columns.take(found.unused):
            _log.warning(warning(column))
            yield beam.pvalue.TaggedOutput(UNUSED, column)
        yield line, found.row


def _sorted_out(row: Prompt | DeadLetter) -> Iterator[Any]:
    if isinstance(row, DeadLetter):
        tally_unusable()
        yield beam.pvalue.TaggedOutput(DEAD_LETTERS, row)
    else:
        yield row


class _FirstOfEachIdFn(beam.DoFn):  # type: ignore[misc]
    """Yields the first row of each id, and dead letters for the others, within one process."""

    def __init__(self, rows: RowForm = PLAIN) -> None:
        self._rows = rows
        self._shared = Shared()

    def setup(self) -> None:
        self._ids: SeenIds = self._shared.acquire(SeenIds)

    def process(self, parsed: Parsed) -> Iterator[Prompt | DeadLetter]:
        line, row = parsed
        if isinstance(row, DeadLetter):
            yield row
        elif number := self._ids.claim(row.id, line.location, row.key):
            yield row if row.key is None else row._replace(key=f"{row.key}:{number}")
        else:
            yield duplicate(row.id, line, self._rows)


class _PromptsFn(beam.DoFn):  # type: ignore[misc]
    """Parses each line and lets each id through once, within one process."""

    def __init__(self, rows: RowForm = PLAIN) -> None:
        self._parse = _ParseFn(rows)
        # The row's number tells a retried bundle from a duplicate.
        self._first = _FirstOfEachIdFn(rows)

    def setup(self) -> None:
        self._parse.setup()
        self._first.setup()

    def process(self, line: Line) -> Iterator[Any]:
        for parsed in self._parse.process(line):
            if isinstance(parsed, beam.pvalue.TaggedOutput):
                yield parsed
                continue
            for row in self._first.process(parsed):
                yield from _sorted_out(row)
