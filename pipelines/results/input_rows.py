"""The rows of a job's input with the keys of their journal entries.

The problem: a row becomes a prompt by many rules, and its key by many more. Each row of the input
would pass through all of them.

The idea: nearly all rows are an id and one text. Such a row is parsed once, its key needs only the
hash of the text, and its prompt is made only if something about its entry is unusual.

What holds: a row has the same id and the same key either way, or passes through the rules. A row
that repeats the id of an earlier one is left out, as the job leaves it out. `SeenIds` has the ids
of rows that have not come out, `is_shown` knows the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson

from pipelines.inputs.columns import PARAMETERS
from pipelines.inputs.row_form import RowForm
from pipelines.inputs.rows import Line, read
from pipelines.results.quick_lines import is_shallow
from pipelines.results.row import IsShown, entry_name
from ritellm.calls.params import CALLER_ONLY
from transforms.elements import Prompt
from transforms.exact_json import has_large_integer
from transforms.journal.key import JournalKey, TextHashes
from transforms.prompts.form import MESSAGES
from transforms.prompts.records import TEXT, RowError
from transforms.prompts.seen_ids import SeenIds

# Columns that make a row another request, or another kind of row.
_UNUSUAL = CALLER_ONLY | PARAMETERS | {"body", "custom_id", "error_type", MESSAGES}


class InputRow:
    """A row that is an id and a text, and its JSON object. `is_out` once it has come out."""

    __slots__ = ("fields", "id", "is_out", "text")

    def __init__(self, id: str, text: str, fields: dict[str, Any]) -> None:
        self.id, self.text, self.fields = id, text, fields
        self.is_out = False


class InputRows:
    """Finds the prompts in lines, in the form `rows`; `hashes` are None if no row is typical."""

    def __init__(
        self,
        rows: RowForm,
        key_of: Callable[[Prompt], JournalKey | None],
        hashes: TextHashes | None,
        is_shown: IsShown,
    ) -> None:
        self._rows = rows
        self._key_of = key_of
        self._is_shown = is_shown
        self._ids = SeenIds()
        self._id_column = rows.id_column or "id"
        form = rows.form
        is_text = not (form.messages or form.is_more or rows.param_columns)
        self._hashes = hashes if is_text else None
        ours = frozenset({"custom_id", "error_type"} if rows.id_column is None else {"error_type"})
        self._unusual = _UNUSUAL if form.is_default else ours

    def keyed(self, lines: Iterable[Line]) -> Iterator[tuple[str, InputRow | Prompt]]:
        """Yield the rows that have not come out, each with the name of its entry."""
        for line in lines:
            row = None if line.fault else self.typical(line.text)
            key = None if row is None else self._key(row)
            if row is None or key is None:
                yield from self._prompts(line)
            elif not self._is_shown(row.id) and row.id not in self._ids:
                yield key, row
                if not row.is_out:
                    self._ids.claim(row.id, line.location)

    def typical(self, text: str) -> InputRow | None:
        """Return the row in `text` if it is an id and a text; None for all other rows."""
        if self._hashes is None or not is_shallow(text) or has_large_integer(text):
            return None
        try:
            row = orjson.loads(text)
        except ValueError:
            return None
        if type(row) is not dict or not self._unusual.isdisjoint(row):
            return None
        id = row.get(self._id_column)
        if type(id) is not str or not id or _is_of_a_place(id):
            return None
        return InputRow(id, text, row)

    def prompt(self, row: InputRow) -> Prompt | None:
        """Return the prompt of a typical row."""
        made = read(Line("", "", 0, row.text), by_content=True, rows=self._rows).row
        return made if isinstance(made, Prompt) else None

    def _key(self, row: InputRow) -> str | None:
        """Return the name of a typical row's entry; None for a text that the job may refuse."""
        form = self._rows.form
        text: Any
        try:
            if form.template is not None:
                text = form.template.render(row.fields)
            else:
                text = row.fields.get(form.prompt or TEXT)
            if type(text) is not str or not text.strip():
                return None
            return self._hashes.of(text) + row.id  # type: ignore[union-attr]
        except (RowError, TypeError):
            return None

    def _prompts(self, line: Line) -> Iterator[tuple[str, Prompt]]:
        """Yield the prompt of a line that needs the rules.

        A prompt with an id that has come out is left out, as its entry is. The entry of one without
        an id is not known by the id, so its prompt must take it from those that wait.
        """
        if self._rows.id_column is None and (id := _own_id(line.text)) and self._is_shown(id):
            return
        row = read(line, by_content=True, rows=self._rows).row
        if not isinstance(row, Prompt):
            return
        number = self._ids.claim(row.id, line.location, row.key)
        if not number or (row.key is None and self._is_shown(row.id)):
            return
        prompt = row if row.key is None else row._replace(key=f"{row.key}:{number}")
        if (key := self._key_of(prompt)) is not None:
            yield entry_name(key), prompt


def _own_id(text: str) -> str | None:
    """Return the id of a row if it is a plain one, without the work of reading all of the row."""
    try:
        row = orjson.loads(text)
    except ValueError:
        return None
    if not isinstance(row, dict) or "custom_id" in row or "error_type" in row:
        return None
    id = row.get("id")
    return id if isinstance(id, str) else None


def _is_of_a_place(id: str) -> bool:
    """Return whether an id may be that of a row without one, which is its file and line."""
    return ":" in id and id[-1].isdigit()
