"""The columns of answers: the properties of their JSON schema as types of Arrow. Pure.

A property without one type (a union, an object with any properties, a part that leads back to
itself) is a column of JSON texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipelines.tables.rows import json_field
from ritellm.answers.shapes import ListOf, Scalar, Shape, shapes_of

_SIMPLE = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
}
_DATE = Scalar("string", "date")


def fields_of(schema: Mapping[str, Any], properties: Mapping[str, Any]) -> list[pa.Field]:
    """Return the column of each of `properties`, which are those of `schema`."""
    shapes = shapes_of(schema, properties)
    return [
        json_field(name) if shape is None else pa.field(name, _type(shape))
        for name, shape in shapes.items()
    ]


def _type(shape: Shape) -> pa.DataType:
    if isinstance(shape, ListOf):
        return pa.list_(_type(shape.element))
    if isinstance(shape, Scalar):
        return pa.date32() if shape == _DATE else _SIMPLE[shape.kind]
    return pa.struct([pa.field(name, _type(inner)) for name, inner in shape.fields.items()])


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
