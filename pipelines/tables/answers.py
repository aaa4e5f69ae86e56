"""The columns of answers: the properties of their JSON schema as types of Arrow. Pure.

A property without one type (a union, an object with any properties, a part that leads back to
itself) is a column of JSON texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipelines.tables.rows import json_field
from ritellm.answers.schemas import resolve

_SIMPLE = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
}
_FORMATS = {"date": pa.date32()}
_MOST_LEVELS = 20


def fields_of(schema: Mapping[str, Any], properties: Mapping[str, Any]) -> list[pa.Field]:
    """Return the column of each of `properties`, which are those of `schema`."""
    return [_field(schema, name, part) for name, part in properties.items()]


def _field(root: Mapping[str, Any], name: str, part: Any) -> pa.Field:
    type = _type(root, part, 0)
    return json_field(name) if type is None else pa.field(name, type)


def _type(root: Mapping[str, Any], part: Any, level: int) -> pa.DataType | None:
    """Return the type of the values of `part`, None if they have no single one."""
    if not isinstance(part, Mapping) or level > _MOST_LEVELS:
        return None
    if isinstance(part.get("$ref"), str):
        return _type(root, resolve(root, part["$ref"]), level + 1)
    for name in ("anyOf", "oneOf", "allOf"):
        if name in part:
            rest = [each for each in part[name] if each != {"type": "null"}]
            return _type(root, rest[0], level + 1) if len(rest) == 1 else None
    kind = _kind(part)
    if kind == "array":
        items = _type(root, part.get("items"), level + 1)
        return None if items is None else pa.list_(items)
    if kind == "object":
        return _struct(root, part, level)
    if kind == "string" and part.get("format") in _FORMATS:
        return _FORMATS[part["format"]]
    return _SIMPLE.get(kind)


def _kind(part: Mapping[str, Any]) -> str:
    """Return the name of the one type of `part`, beside null; "" for none or several."""
    named = part.get("type")
    if named is None:
        values = part.get("enum") or ([part["const"]] if "const" in part else [])
        kinds = {_kind_of(value) for value in values} - {"null"}
    else:
        kinds = {*(named if isinstance(named, list) else [named])} - {"null"}
    if kinds == {"integer", "number"}:
        return "number"
    return str(kinds.pop()) if len(kinds) == 1 else ""


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "integer", float: "number", type(None): "null"}
    return names.get(type(value), "")


def _struct(root: Mapping[str, Any], part: Mapping[str, Any], level: int) -> pa.DataType | None:
    fields = []
    for name, inner in (part.get("properties") or {}).items():
        type = _type(root, inner, level + 1)
        if type is None:
            return None
        fields.append(pa.field(name, type))
    is_open = part.get("additionalProperties") not in (None, False)
    return pa.struct(fields) if fields and not is_open else None


def fitted(value: Any, type: pa.DataType) -> Any:
    """Return `value` with 2 for 2.0 in places of integers: JSON Schema takes both for one."""
    if pa.types.is_integer(type):
        return int(value) if isinstance(value, float) and value.is_integer() else value
    if pa.types.is_list(type) and isinstance(value, list):
        return [fitted(each, type.value_type) for each in value]
    if pa.types.is_struct(type) and isinstance(value, dict):
        types = {field.name: field.type for field in type}
        return {n: fitted(v, types[n]) if n in types else v for n, v in value.items()}
    return value
