"""The part of a schema that a dialect accepts. Pure.

Problem: each dialect accepts another part of JSON Schema, and refuses or ignores the rest.

Idea: what the dialect lacks moves into the `description`, where the model reads it. References are
replaced by what they name. The answer is checked against the whole schema afterwards, so the sent
part guides the model and decides nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from ritellm.answers.schemas import resolve
from ritellm.wire.schema_keywords import Keywords

# These say nothing about what is valid.
_NOTES = frozenset(
    "$anchor $comment $defs $dynamicAnchor $id $schema $vocabulary contentEncoding"
    " contentMediaType default definitions deprecated examples readOnly title writeOnly".split()
)
_MOST_NOTE = 400
# References may double the schema again and again.
_MOST_NODES = 20_000


class Sent(NamedTuple):
    """The schema to send; `strict` says whether it fits OpenAI's strict mode."""

    schema: dict[str, Any]
    strict: bool


class NotExpressible(ValueError):
    """The dialect cannot express the schema: it leads back to itself, or an object is open."""


def sent(schema: Mapping[str, Any], keywords: Keywords) -> Sent:
    """Return the part of `schema` that `keywords` accept; raises NotExpressible."""
    return _Shaper(schema, keywords).sent()


class _Shaper:
    def __init__(self, root: Mapping[str, Any], keywords: Keywords) -> None:
        self._root = root
        self._keywords = keywords
        self._strict = keywords.all_required
        self._nodes = 0
        self._kept: dict[str, Any] = {}  # the definitions that references still name
        self._names: dict[str, str] = {}

    def sent(self) -> Sent:
        """Return the whole schema."""
        made = self._shape(self._root, ())
        made.setdefault("type", "object")
        self._check_size(made)
        if self._kept:
            made["$defs"] = self._kept
        if not self._strict:
            return Sent(made, False)
        return Sent(_required(made), True)

    def _check_size(self, made: Mapping[str, Any]) -> None:
        """Raise NotExpressible for more optional properties or unions than the dialect takes."""
        optional, unions, waiting = 0, 0, [made]
        while waiting:
            node = waiting.pop()
            properties = node.get("properties") or {}
            optional += len(properties.keys() - {*node.get("required", ())})
            unions += "anyOf" in node or isinstance(node.get("type"), list)
            inner = [*properties.values(), *node.get("anyOf", ()), *node.get("prefixItems", ())]
            inner += [node.get("items"), node.get("additionalProperties")]
            waiting += [each for each in inner if isinstance(each, dict)]
        most_optional, most_unions = self._keywords.most_optional, self._keywords.most_unions
        if most_optional is not None and optional > most_optional:
            raise NotExpressible(f"more than {most_optional} properties may be missing")
        if most_unions is not None and unions > most_unions:
            raise NotExpressible(f"more than {most_unions} parts have several types")

    def _shape(self, node: Any, stack: tuple[str, ...]) -> dict[str, Any]:
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise NotExpressible("the schema is too large without references")
        if not isinstance(node, Mapping):
            return {}
        node, stack = self._inlined(node, stack)
        if "$ref" in node:
            return {"$ref": self._reference(node["$ref"])}
        made: dict[str, Any] = {}
        lost: dict[str, Any] = {}
        for name, value in node.items():
            self._keep(name, value, made, lost, stack)
        self._close(made, node)
        if self._keywords.closed and not made.keys() & {"type", "enum", "anyOf"}:
            raise NotExpressible("each part must have a type")
        if lost:
            made["description"] = _described(made.get("description"), lost)
        return made

    def _inlined(
        self, node: Mapping[str, Any], stack: tuple[str, ...]
    ) -> tuple[Mapping[str, Any], tuple[str, ...]]:
        """Return `node` with its references and `allOf` in place."""
        while isinstance(pointer := node.get("$ref"), str):
            if pointer in stack:
                if not self._keywords.references:
                    raise NotExpressible(f"{pointer} leads back to itself")
                return {"$ref": pointer}, stack
            stack = (*stack, pointer)
            target = resolve(self._root, pointer)
            rest = {name: value for name, value in node.items() if name != "$ref"}
            node = _merged(target if isinstance(target, Mapping) else {}, rest)
        parts = node.get("allOf")
        if isinstance(parts, list):
            whole: Mapping[str, Any] = {k: v for k, v in node.items() if k != "allOf"}
            for part in parts:
                inner, stack = self._inlined(part if isinstance(part, Mapping) else {}, stack)
                whole = _merged(inner, whole)
            return whole, stack
        return node, stack

    def _reference(self, pointer: str) -> str:
        name = self._names.get(pointer)
        if name is None:
            name = self._names[pointer] = f"part{len(self._names) + 1}"
            self._kept[name] = self._shape(resolve(self._root, pointer), (pointer,))
        return f"#/$defs/{name}"

    def _keep(
        self,
        name: str,
        value: Any,
        made: dict[str, Any],
        lost: dict[str, Any],
        stack: tuple[str, ...],
    ) -> None:
        """Put the keyword into `made` if the dialect accepts it, else into `lost`."""
        keywords = self._keywords
        if name == "oneOf" and "oneOf" not in keywords.accepted and "anyOf" not in made:
            name = "anyOf"
        if name == "const" and "const" not in keywords.accepted:
            name, value = "enum", [value]
        if name in _NOTES:
            return
        if name not in keywords.accepted or not self._takes(name, value):
            lost[name] = value
        elif name == "properties" and isinstance(value, Mapping):
            made[name] = {key: self._shape(each, stack) for key, each in value.items()}
        elif name in ("anyOf", "prefixItems") and isinstance(value, list):
            made[name] = [self._shape(each, stack) for each in value]
        elif name in ("items", "additionalProperties") and isinstance(value, Mapping):
            made[name] = self._shape(value, stack)
        else:
            made[name] = value

    def _takes(self, name: str, value: Any) -> bool:
        keywords = self._keywords
        if name == "format":
            return keywords.formats is None or value in keywords.formats
        if name == "enum" and keywords.plain_enums:
            return not any(isinstance(each, (dict, list)) for each in value)
        if name == "minItems" and keywords.most_min_items is not None:
            return isinstance(value, int) and value <= keywords.most_min_items
        if name == "pattern" and keywords.anchored:
            return str(value).startswith("^") and str(value).endswith("$")
        if name == "additionalProperties" and keywords.closed:
            return value is False
        return True

    def _close(self, made: dict[str, Any], node: Mapping[str, Any]) -> None:
        """Say that an object has no other properties, where the dialect demands it."""
        if made.get("type") != "object" and "properties" not in made:
            return
        if self._keywords.closed:
            if node.get("additionalProperties", False) is not False or not made.get("properties"):
                raise NotExpressible("an object must not be open")
            made["additionalProperties"] = False
        if self._strict:
            extra = node.get("additionalProperties", False)
            names = made.get("properties") or {}
            missing = {*names} - {*made.get("required", ())}
            is_closed = extra is False and names and "patternProperties" not in node
            if not is_closed or not all(_admits_null(names[name]) for name in missing):
                self._strict = False


def _required(node: Any) -> Any:
    """Return a schema for the strict mode: objects are closed, and all properties required."""
    if isinstance(node, list):
        return [_required(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {
        name: value if name in ("enum", "const", "required") else _required(value)
        for name, value in node.items()
    }
    if isinstance(made.get("properties"), dict) and isinstance(made.get("type", ""), (str, list)):
        made["required"] = [*made["properties"]]
        made["additionalProperties"] = False
    return made


def _admits_null(node: Mapping[str, Any]) -> bool:
    """Return whether null is valid, so that a required property may still be left open."""
    kinds = node.get("type")
    if kinds == "null" or (isinstance(kinds, list) and "null" in kinds):
        return "enum" not in node or None in node["enum"]
    return any(_admits_null(each) for each in node.get("anyOf", ()) if isinstance(each, Mapping))


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return both schemas as one; `over` counts where they differ."""
    made = {**under, **over}
    if isinstance(under.get("properties"), Mapping) and isinstance(over.get("properties"), Mapping):
        made["properties"] = {**under["properties"], **over["properties"]}
    if isinstance(under.get("required"), list) and isinstance(over.get("required"), list):
        made["required"] = [*dict.fromkeys([*under["required"], *over["required"]])]
    return made


def _described(description: Any, lost: Mapping[str, Any]) -> str:
    """Return the description with the keywords that the dialect lacks."""
    rules = ", ".join(f"{name}: {json.dumps(value)}" for name, value in lost.items())
    rules = rules if len(rules) <= _MOST_NOTE else rules[: _MOST_NOTE - 1] + "…"
    return f"{description} ({rules})" if isinstance(description, str) else rules
