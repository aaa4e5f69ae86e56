"""The columns of several files of one input. Pure.

A column has one type in the output. If its files have several, it has the type that holds all of
their values, without a change of their JSON forms: a text would be wrong as binary, for its form is
not Base64. Where there is none, the column is JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.types as kinds

from pipelines.tables.rows import is_json, json_field


def unified(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """Return the columns that the schemas have, in the order in which they appear."""
    fields: dict[str, list[pa.Field]] = {}
    for schema in schemas:
        for field in schema:
            fields.setdefault(field.name, []).append(field)
    return pa.schema([_unified(name, found) for name, found in fields.items()])


def _unified(name: str, fields: Sequence[pa.Field]) -> pa.Field:
    typed = [field for field in fields if not kinds.is_null(field.type)] or fields[:1]
    first = typed[0]
    marks = {is_json(field) for field in typed}
    if all(field.type == first.type for field in typed) and len(marks) == 1:
        return first
    groups = {_group(field.type) for field in typed}
    if len(marks) > 1 or len(groups) > 1 or None in groups:
        return json_field(name)
    if groups == {"text"}:
        is_large = any(kinds.is_large_string(field.type) for field in typed)
        return pa.field(name, pa.large_string() if is_large else pa.string())
    try:
        alone = [pa.schema([pa.field(name, field.type)]) for field in typed]
        return pa.unify_schemas(alone, promote_options="permissive").field(0)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return json_field(name)


def _group(type: pa.DataType) -> str | None:
    """Return what values of the type have in common with those of others, None for nothing."""
    if kinds.is_dictionary(type):
        return _group(type.value_type)
    if kinds.is_integer(type) or kinds.is_floating(type):
        return "number"
    if "string" in str(type) and not kinds.is_nested(type):
        return "text"
    if "binary" in str(type) and not kinds.is_nested(type):
        return "binary"
    if kinds.is_decimal(type):
        return "decimal"
    if kinds.is_temporal(type):
        return str(type).partition("[")[0].rstrip("0123456789")
    return None
