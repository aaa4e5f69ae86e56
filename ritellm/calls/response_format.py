"""Turns a pydantic model into a `response_format`, as OpenAI's own client does. Pure.

pydantic is not imported, because the model provides its schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def response_format(value: Any) -> Any:
    """Return the `response_format` for a pydantic model; any other `value` as it is."""
    if not (isinstance(value, type) and hasattr(value, "model_json_schema")):
        return value
    schema = value.model_json_schema()
    shape = {"name": value.__name__, "strict": True, "schema": _strict(schema, schema)}
    return {"type": "json_schema", "json_schema": shape}


def _strict(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """Return `schema` as structured outputs want it: every property required, and no others."""
    if "$ref" in schema and len(schema) > 1:  # a reference may have nothing beside it
        target: Any = root
        for name in schema["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        schema = {**target, **{k: v for k, v in schema.items() if k != "$ref"}}
    if len(schema.get("allOf", ())) == 1:
        schema = {**schema["allOf"][0], **{k: v for k, v in schema.items() if k != "allOf"}}
        return _strict(schema, root)
    made = {name: _part(name, value, root) for name, value in schema.items()}
    if made.get("type") == "object":
        made.setdefault("additionalProperties", False)
    if "properties" in made:
        made["required"] = list(made["properties"])
    if made.get("default", ...) is None:
        del made["default"]
    return made


def _part(name: str, value: Any, root: Mapping[str, Any]) -> Any:
    if name in ("$defs", "definitions", "properties"):
        return {key: _strict(each, root) for key, each in value.items()}
    if name in ("anyOf", "allOf"):
        return [_strict(each, root) for each in value]
    return _strict(value, root) if name == "items" and isinstance(value, Mapping) else value
