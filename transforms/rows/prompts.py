"""Rows as prompts, with an id and a key in the journal that are unique in their run.

A row without an id is found again in the journal by its request and its number among the rows with
the same request. So rows may be inserted, removed and moved between two runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transforms.elements import DeadLetter, Prompt
from transforms.prompts import ids
from transforms.prompts.records import RowError, record_of
from transforms.prompts.row_prompts import RowPrompts
from transforms.prompts.seen_ids import SeenIds


class NumberedPrompts:
    """Makes the prompts of one run. What it remembers of each row is on the disk."""

    def __init__(self, rows: RowPrompts) -> None:
        self._rows = rows
        self._seen = SeenIds()

    def prompt(self, number: int, row: Any) -> Prompt | DeadLetter:
        """Return the prompt of row `number`, from 0, or a dead letter that says why it has none."""
        record: Mapping[str, Any] = {}
        default = f"row-{number}"
        try:
            record = record_of(row)
            request = self._rows.request(record)
            if self._rows.is_unnamed(record):
                content = ids.by_content(request)
                return Prompt(default, request, key=f"{content}:{self._seen.number(content)}")
            id = self._rows.named(record)
        except RowError as error:
            id = self._rows.own_id(record) or default
            return ids.refused(id, f"row {number}: {error}", None)
        if self._seen.number(ids.own(id)) > 1:
            return ids.repeated(Prompt(id, request))
        return Prompt(id, request)
