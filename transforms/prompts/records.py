"""Elements of other people's pipelines as records: a value for each column. Pure.

Values may be of any type. A record is never evaluated, and its JSON is always valid text.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import orjson

# The column of an element that is a text and has no columns.
TEXT = "prompt"
# The name of the whole row in a template, for columns whose names Jinja2 cannot write.
ROW = "row"
_FORMS = "a text, a dict, a Row, a NamedTuple or a dataclass"
_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY


class RowError(ValueError):
    """An element that cannot become a prompt; the message says why."""


def record_of(element: Any) -> Mapping[str, Any]:
    """Return the columns of `element`; a text is the column `prompt`. Raises RowError."""
    if isinstance(element, str):
        return {TEXT: element}
    if isinstance(element, bytes):
        return {TEXT: _decoded(element)}
    columns = as_mapping(element)
    if columns is None:
        raise RowError(f"an element must be {_FORMS}, got {kind(element)}")
    return columns


def columns_of(element_type: Any) -> tuple[str, ...] | None:
    """Return the columns that all elements of a type have, None if the type does not tell.

    Raises TypeError for a type whose elements cannot be records.
    """
    if element_type in (str, bytes):
        return (TEXT,)
    from transforms.graph import element_types  # Beam, which the flags of a program do not need

    columns = element_types.columns_of(element_type)
    if columns is not None:
        return tuple(columns)
    if element_type in _NO_RECORDS or type(element_type).__name__ in _NO_RECORD_HINTS:
        name = getattr(element_type, "__name__", None) or str(element_type)
        raise TypeError(f"an element must be {_FORMS}, but the input has elements of type {name}")
    return None


_NO_RECORDS = (bool, float, int, list, set, tuple, type(None))
_NO_RECORD_HINTS = ("TupleConstraint", "TupleSequenceConstraint", "ListConstraint", "SetConstraint")


def record_json(record: Mapping[str, Any]) -> str:
    """Return `record` as a JSON object; values that JSON does not have become texts."""
    try:
        return orjson.dumps(dict(record), default=_plain, option=_OPTIONS).decode()
    except TypeError:  # large integers, deep values, half characters
        pass
    try:
        return json.dumps({str(name): value for name, value in record.items()}, default=_plain)
    except Exception as error:  # an object of the row may raise anything when it becomes a text
        raise RowError(f"the row cannot be written as JSON ({error})") from None


def value_json(value: Any) -> str:
    """Return any value of a record as JSON; values that JSON does not have become texts."""
    try:
        return orjson.dumps(value, default=_plain, option=_OPTIONS).decode()
    except TypeError:
        return json.dumps(value, default=_plain, ensure_ascii=False, separators=(",", ":"))


def plain_json(value: Any) -> str:
    """Return `value` as JSON with exact values; raises RowError for one that JSON does not have."""
    try:
        return orjson.dumps(value, default=_as_record, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    except (RecursionError, TypeError) as error:
        raise RowError(f"the request cannot be written as JSON ({error})") from None


def _plain(value: Any) -> Any:
    """Return `value` in terms of JSON: a record as an object, anything else as its text."""
    columns = as_mapping(value)
    if columns is not None:
        return dict(columns)
    if isinstance(value, (set, frozenset)):
        return list(value)
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _as_record(value: Any) -> Any:
    columns = as_mapping(value)
    if columns is None:
        raise TypeError(f"it has {kind(value)}")
    return dict(columns)


def as_mapping(value: Any) -> Mapping[str, Any] | None:
    """Return the columns of a dict, a Row, a NamedTuple or a dataclass; None for other values."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, type):
        return None
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    as_dict = getattr(value, "_asdict", None)
    columns = as_dict() if callable(as_dict) else None
    return columns if isinstance(columns, Mapping) else None


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        wrong = f"0x{data[error.start]:02x} at byte {error.start + 1}"
        raise RowError(f"a text must be UTF-8, got {wrong}") from None


def kind(value: Any) -> str:
    """Return what `value` is, in words for an error."""
    return _KINDS.get(type(value)) or f"a value of type {type(value).__name__}"


_KINDS = {
    type(None): "null",
    bool: "a boolean",
    dict: "an object",
    float: "a number",
    int: "a number",
    list: "a list",
    str: "a text",
}
