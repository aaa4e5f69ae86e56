"""The JSON form of each Arrow type: one form for a type, which converts whole columns.

The problem: a row travels as JSON text, and JSON has no decimals, times, binary values or NaN. The
output must have the types of the input again, with the same values.

The idea: each type has one JSON form from which its value can be restored if the type is known. A
`Form` converts a column at once, because a function call for each value would be slow.

    Arrow array  --Form.values-->  list of JSON values  --Form.array-->  Arrow array

Invariants:
- `form.array(form.values(array))` equals `array`, if its type is one of those that `storable`
  returns.
- `Form.array` raises Unfit rather than changing a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import pyarrow as pa


class Unfit(ValueError):
    """A JSON value that is not the form of any value of the type."""


class Form(Protocol):
    """The JSON form of one type."""

    def values(self, array: pa.Array) -> list[Any]:
        """Return the JSON value of each element; None for null.

        Raises UnicodeDecodeError for text that is not UTF-8.
        """

    def array(self, values: Sequence[Any]) -> pa.Array:
        """Return the elements with these JSON values; raises Unfit."""


def check_kinds(values: Sequence[Any], kinds: set[type], name: object) -> None:
    """Raise Unfit unless each value is null or of one of the Python types `kinds`."""
    if others := set(map(type, values)) - kinds - {type(None)}:
        found = ", ".join(sorted(other.__name__ for other in others))
        raise Unfit(f"{name} cannot hold {found}")


def to_array(values: Sequence[Any], type: pa.DataType) -> pa.Array:
    """Return `pa.array(values, type)`; raises Unfit in place of Arrow's errors."""
    try:
        return pa.array(values, type)
    except (pa.ArrowException, OverflowError, TypeError, UnicodeEncodeError, ValueError) as error:
        raise Unfit(f"{type}: {error}") from None


def cast(array: pa.Array, type: pa.DataType) -> pa.Array:
    """Return `array.cast(type)`; raises Unfit in place of Arrow's errors."""
    try:
        return array.cast(type)
    except pa.ArrowException as error:
        raise Unfit(f"{type}: {error}") from None
