"""What the flags say of a row: where its id and its request are, and what it carries. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipelines.inputs.columns import PARAMETERS
from ritellm.calls.params import CALLER_ONLY
from transforms.prompts.form import MESSAGES, Form
from transforms.prompts.records import ROW, TEXT

_IDS = frozenset({"custom_id", "id"})
# A row with one of these columns asks something itself.
ASKING = frozenset({"body", MESSAGES, TEXT})
# The columns by which a row of `failed-*.jsonl` is known.
FAILED = frozenset({"error_type", "input", "message"})
_DEFAULT = Form()


@dataclass(frozen=True)
class RowForm:
    """How a row becomes a prompt. Without flags its request is in `prompt`, `messages` or `body`.

    `columns` are those that completions carry, None for all.
    """

    form: Form = _DEFAULT
    id_column: str | None = None
    param_columns: tuple[str, ...] = ()
    columns: tuple[str, ...] | None = None

    @cached_property
    def named(self) -> frozenset[str]:
        """The columns that each row must have to be sent."""
        id = () if self.id_column is None else (self.id_column,)
        return self.form.columns.union(id)

    @cached_property
    def used(self) -> frozenset[str] | None:
        """The columns that the flags use; None if a row's own columns are its parameters."""
        if self.form.is_default:
            return None
        return self.named.union(self.param_columns, self.columns or ())

    @cached_property
    def needed(self) -> frozenset[str] | None:
        """The columns to read, None for all: also those that a failed row needs to be sent again.

        Some of them may be missing in the input.
        """
        if self.columns is None or self.form.uses_row:
            return None
        needed = self.named.union(self.columns, self.param_columns, FAILED, (ROW,))
        if self.id_column is None:
            needed |= _IDS
        return needed | ASKING | PARAMETERS | CALLER_ONLY if self.form.is_default else needed

    def kept(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return `row` with the columns that its failed row needs."""
        needed = self.needed
        return row if needed is None else {k: v for k, v in row.items() if k in needed}

    def is_failed(self, row: Any) -> bool:
        """Return whether `row` is a line of `failed-*.jsonl`, and not a row with such columns."""
        if not isinstance(row, dict) or not row.keys() >= FAILED or row["error_type"] is None:
            return False
        if self.form.is_default:
            return not row.keys() & ASKING
        original = row["input"]
        named = self.form.columns
        is_original = isinstance(original, dict) and named <= original.keys()
        return is_original or not named <= row.keys()


PLAIN = RowForm()
