"""Checks a JSON schema before it is used: schemas are foreign data too. Pure.

A schema is bounded in size, depth and in the work that one answer may cost, and it refers to
nothing outside itself. So no check of an answer opens a connection, and none takes long.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

MOST_BYTES = 256 << 10
MOST_LEVELS = 64
# In-place parts (allOf, $ref, ...) multiply: this many parts may apply to one value.
MOST_PARTS = 10_000

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_LISTS = ("allOf", "anyOf", "oneOf")
_ONE = ("not", "if", "then", "else")
_BY_NAME = ("dependentSchemas",)


class SchemaError(ValueError):
    """The schema cannot be used; the message says why."""


def checked(schema: Any) -> dict[str, Any]:
    """Return `schema` as plain JSON; raises SchemaError."""
    if not isinstance(schema, Mapping):
        raise SchemaError(f"the schema must be a JSON object, got {type(schema).__name__}")
    try:
        text = json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise SchemaError(f"the schema must be JSON: {error}") from None
    if len(text) > MOST_BYTES:
        raise SchemaError(f"the schema must have at most {MOST_BYTES:,} bytes, got {len(text):,}")
    made: dict[str, Any] = json.loads(text)
    _check_nodes(made)
    if _root(made).get("type") != "object":
        raise SchemaError(
            'the schema must describe an object ("type": "object" at the top): its properties'
            " are the columns"
        )
    try:
        _Parts(made).check()
    except RecursionError:
        raise SchemaError("the schema must not have a chain of hundreds of references") from None
    return made


def _check_nodes(schema: Any) -> None:
    waiting = [(schema, 1)]
    while waiting:
        each, level = waiting.pop()
        if level > MOST_LEVELS:
            raise SchemaError(f"the schema must have at most {MOST_LEVELS} levels")
        if isinstance(each, dict):
            for name in _REFERENCES:
                _check_reference(each.get(name), name)
            if "$id" in each and each is not schema:
                raise SchemaError("the schema must not have a $id inside it: it moves references")
            waiting.extend((part, level + 1) for part in each.values())
        elif isinstance(each, list):
            waiting.extend((part, level + 1) for part in each)


def _check_reference(target: Any, name: str) -> None:
    if isinstance(target, str) and not target.startswith("#"):
        raise SchemaError(
            f"{name} must point into the schema itself (#/$defs/...), got {target[:80]!r}; remote"
            " schemas are never fetched"
        )


def resolve(root: Mapping[str, Any], pointer: str) -> Any:
    """Return the part of `root` that `#/a/b` points to; raises SchemaError."""
    if pointer in ("#", "#/"):
        return root
    target: Any = root
    for name in pointer.removeprefix("#/").split("/"):
        name = name.replace("~1", "/").replace("~0", "~")
        try:
            target = target[int(name)] if isinstance(target, list) else target[name]
        except (KeyError, IndexError, TypeError, ValueError):
            raise SchemaError(f"$ref points to {pointer[:80]!r}, which is not there") from None
    return target


def _root(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema that describes the answer: the target of a reference at the top."""
    seen = 0
    while "type" not in schema and isinstance(schema.get("$ref"), str) and seen < MOST_LEVELS:
        target = resolve(schema, schema["$ref"])
        if not isinstance(target, dict):
            break
        schema = {**{k: v for k, v in schema.items() if k in ("$defs", "definitions")}, **target}
        seen += 1
    return schema


def properties_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the top-level properties of a checked `schema`: the columns."""
    return dict(_root(schema).get("properties") or {})


class _Parts:
    """Counts the parts of a schema that apply to one value: loops, and sums that explode."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._known: dict[int, int] = {}
        self._open: set[int] = set()

    def check(self) -> None:
        """Raise SchemaError for a loop, or for too many parts."""
        waiting: list[Any] = [self._root]
        while waiting:
            each = waiting.pop()
            if isinstance(each, dict):
                self._count(each)
                waiting.extend(each.values())
            elif isinstance(each, list):
                waiting.extend(each)

    def _count(self, node: Any) -> int:
        if not isinstance(node, dict):
            return 1
        key = id(node)
        if key in self._known:
            return self._known[key]
        if key in self._open:
            raise SchemaError("the schema must not have a $ref that leads back to itself in place")
        self._open.add(key)
        total = 1 + sum(map(self._count, self._in_place(node)))
        self._open.discard(key)
        if total > MOST_PARTS:
            raise SchemaError(f"at most {MOST_PARTS:,} parts of the schema may apply to one value")
        self._known[key] = total
        return total

    def _in_place(self, node: Mapping[str, Any]) -> Iterator[Any]:
        for name in _LISTS:
            parts = node.get(name)
            yield from parts if isinstance(parts, list) else ()
        for name in _ONE:
            if isinstance(node.get(name), dict):
                yield node[name]
        for name in _BY_NAME:
            parts = node.get(name)
            yield from parts.values() if isinstance(parts, dict) else ()
        target = node.get("$ref")
        if isinstance(target, str) and (target == "#" or target.startswith("#/")):
            yield resolve(self._root, target)
