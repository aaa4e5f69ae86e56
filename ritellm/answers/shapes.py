"""The types that the properties of an answer have: scalars, lists, structs, or any JSON. Pure.

Tables and rows with a schema need one type for each column. A property without one type (a union,
an object with any properties, a part that leads back to itself) has no shape: it is JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ritellm.answers.schemas import resolve

_SIMPLE = frozenset({"string", "integer", "number", "boolean"})
_MOST_LEVELS = 20
_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


class Scalar(NamedTuple):
    """A `string`, `integer`, `number` or `boolean`, or null; `format` is that of the schema."""

    kind: str
    format: str = ""


class ListOf(NamedTuple):
    """A list whose elements have one shape, or null."""

    element: Shape


class Struct(NamedTuple):
    """An object with these properties and no others, or null."""

    fields: dict[str, Shape]


Shape = Scalar | ListOf | Struct


def shapes_of(schema: Mapping[str, Any], properties: Mapping[str, Any]) -> dict[str, Shape | None]:
    """Return the shape of each of `properties`, which are those of `schema`; None for any JSON."""
    return {name: _shape(schema, part, 0) for name, part in properties.items()}


def _shape(root: Mapping[str, Any], part: Any, level: int) -> Shape | None:
    if not isinstance(part, Mapping) or level > _MOST_LEVELS:
        return None
    if isinstance(part.get("$ref"), str):
        return _shape(root, resolve(root, part["$ref"]), level + 1)
    for name in ("anyOf", "oneOf", "allOf"):
        if name in part:
            rest = [each for each in part[name] if each != {"type": "null"}]
            return _shape(root, rest[0], level + 1) if len(rest) == 1 else None
    kind = _kind(part)
    if kind == "array":
        element = _shape(root, part.get("items"), level + 1)
        return None if element is None else ListOf(element)
    if kind == "object":
        return _struct(root, part, level)
    return Scalar(kind, str(part.get("format") or "")) if kind in _SIMPLE else None


def _kind(part: Mapping[str, Any]) -> str:
    """Return the name of the one type of `part`, beside null; "" for none or several."""
    named = part.get("type")
    if named is None:
        values = part.get("enum") or ([part["const"]] if "const" in part else [])
        kinds = {_NAMES.get(type(value), "") for value in values} - {"null"}
    else:
        kinds = {*(named if isinstance(named, list) else [named])} - {"null"}
    if kinds == {"integer", "number"}:
        return "number"
    return str(kinds.pop()) if len(kinds) == 1 else ""


def _struct(root: Mapping[str, Any], part: Mapping[str, Any], level: int) -> Struct | None:
    fields: dict[str, Shape] = {}
    for name, inner in (part.get("properties") or {}).items():
        shape = _shape(root, inner, level + 1)
        if shape is None:
            return None
        fields[name] = shape
    is_open = part.get("additionalProperties") not in (None, False)
    return Struct(fields) if fields and not is_open else None
