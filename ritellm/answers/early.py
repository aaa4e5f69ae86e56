"""Finds out, while an answer arrives, that it cannot become valid. Pure.

The problem: a wrong first field is known after ten tokens, and the provider goes on to bill the
rest of the answer.

The idea: the scanner of `ritellm.structured` says where names and values begin and end. For each
value the parts of the schema are known that apply to it in any case: those that `properties`,
`additionalProperties`, `items`, `$ref` and `allOf` lead to. A scalar is checked against them when
it ends. The kind of an object or array is checked when it begins, and its names as they come.

What holds: a fault is found only in a text that `texts.read` and the whole schema refuse, whatever
comes after it. Parts that apply under a condition (`anyOf`, `if`, `not`) are not looked at. The
work for a piece does not depend on what came before it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from ritellm.answers.checking import Checker
from ritellm.answers.faults import Fault, path_of
from ritellm.answers.schemas import SchemaError, resolve
from ritellm.structured.errors import JsonError
from ritellm.structured.scanner import Scanner

_ALL_LEVELS = 1 << 30
# What may be before the object in a text that is no prose: white space, or the start of a fence.
_BEFORE = re.compile(r"\s*(?:`{1,3}|```[A-Za-z0-9_+-]*[ \t]*\r?(?:\n\s*)?)?")
_AFTER = re.compile(r"\s*`{0,3}\s*")
_KINDS = {"{": {"object"}, "[": {"array"}, '"': {"string"}, "n": {"null"}}
_KINDS |= {"t": {"boolean"}, "f": {"boolean"}}
_NUMBER = {"integer", "number"}


class _Wrong(Exception):
    """The value has a fault."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


class Watcher:
    """Reads the text of one answer to `schema` in pieces; `prose` allows sentences around it."""

    def __init__(self, schema: str, *, prose: bool = False) -> None:
        self._reader = _Reader(_schema_of(schema))
        self._prose = prose
        self._before = ""
        self._after = ""
        self._begun = False

    def feed(self, piece: str) -> Fault | None:
        """Return the fault that makes the answer invalid whatever follows; None without one."""
        try:
            return self._feed(piece)
        except _Wrong as wrong:
            return wrong.fault
        except JsonError as error:
            return Fault("$", "json", f"must be one JSON object: {error}")

    def _feed(self, piece: str) -> Fault | None:
        if not self._begun:
            before, brace, rest = piece.partition("{")
            if not self._prose:
                self._before += before
                if _BEFORE.fullmatch(self._before) is None:
                    said = self._before.strip()[:40]
                    return Fault("$", "json", f"must be one JSON object, got {said!r}")
            if not brace:
                return None
            self._begun, piece = True, brace + rest
        end = 0 if self._reader.is_done else self._reader.read_piece(piece)
        return self._check_rest(piece[end:]) if self._reader.is_done else None

    def _check_rest(self, rest: str) -> Fault | None:
        if self._prose:
            if "{" in rest:
                return Fault("$", "json", "must be one JSON object, got another one after it")
            return None
        self._after = (self._after + rest)[-80:] if self._after or rest.strip() else ""
        if _AFTER.fullmatch(self._after) is None:
            got = self._after.strip()[:40]
            return Fault("$", "json", f"must end with the object, got {got!r} after it")
        return None


class _Level:
    """An open object or array: the parts of the schema that apply to it, and where it is."""

    __slots__ = ("count", "key", "names", "parts")

    def __init__(self, parts: list[Mapping[str, Any]], *, is_object: bool) -> None:
        self.parts = parts
        self.names: set[str] | None = set() if is_object else None
        self.key = ""
        self.count = -1


class _Reader(Scanner):
    """Follows the schema down to each name and value."""

    __slots__ = ("_levels", "_next", "_piece", "_schema", "_start", "_waiting")

    def __init__(self, schema: _Schema) -> None:
        super().__init__(_ALL_LEVELS)
        self._schema = schema
        self._levels: list[_Level] = []
        self._next = list(schema.applying(schema.root))  # the parts for the next value
        self._piece = ""
        self._start: int | None = None  # where the open name or scalar begins in the piece
        self._waiting: list[str] = []  # its text in earlier pieces

    def read_piece(self, piece: str) -> int:
        """Read `piece`; return where the value ends. Raises _Wrong and JsonError."""
        self._piece = piece
        if self._start is not None:
            self._start = 0
        end = self.feed(piece)
        if self._start is not None:
            self._waiting.append(piece[self._start :])
        return end

    def _taken(self, at: int) -> str:
        """Return the text of the name or scalar that ends before `at`."""
        assert self._start is not None
        text = self._piece[self._start : at]
        if self._waiting:
            text = "".join([*self._waiting, text])
            self._waiting.clear()
        self._start = None
        return text

    def _key_begins(self, at: int) -> None:
        self._start = at

    def _key_ended(self, at: int) -> None:
        level = self._levels[-1]
        name = level.key = json.loads(self._taken(at))
        assert level.names is not None
        if name in level.names:
            raise _Wrong(Fault("$", "json", f"must not have the property {name[:80]!r} twice"))
        level.names.add(name)
        self._next = []
        for part in level.parts:
            inner = self._schema.property_of(part, name)
            if inner is False:
                message = f"Additional properties are not allowed ({name[:80]!r} was unexpected)"
                raise _Wrong(Fault(self._path(level=-1), "additionalProperties", message))
            self._next += self._schema.applying(inner)

    def _value_begins(self, at: int, first: str) -> None:
        if self._levels and self._levels[-1].names is None:
            level = self._levels[-1]
            level.count += 1
            self._next = [
                found
                for part in level.parts
                if "prefixItems" not in part
                for found in self._schema.applying(part.get("items"))
            ]
        self._check_kind(first)
        if first in "{[":
            self._levels.append(_Level(self._next, is_object=first == "{"))
            self._next = []
        else:
            self._start = at

    def _check_kind(self, first: str) -> None:
        kinds = _KINDS.get(first, _NUMBER)
        for part in self._next:
            named = part.get("type")
            wanted = {named} if isinstance(named, str) else named
            if wanted and kinds.isdisjoint(wanted):
                message = (
                    f"must have the type {json.dumps(named)}, got {' or '.join(sorted(kinds))}"
                )
                raise _Wrong(Fault(self._path(), "type", message))

    def _value_ended(self, at: int) -> None:
        if self._start is None:
            self._levels.pop()
            return
        text = self._taken(at)
        if not self._next:
            return
        value = json.loads(text)
        for part in self._next:
            if faults := self._schema.faults(part, value):
                raise _Wrong(faults[0]._replace(path=self._path()))

    def _path(self, level: int | None = None) -> str:
        levels = self._levels if level is None else self._levels[:level]
        return path_of(each.key if each.names is not None else each.count for each in levels)


class _Schema:
    """A schema, and the checkers of its parts, each made when it is needed first."""

    def __init__(self, text: str) -> None:
        self.root: dict[str, Any] = json.loads(text)
        self._definitions = {n: self.root[n] for n in ("$defs", "definitions") if n in self.root}
        if "$schema" in self.root:
            self._definitions["$schema"] = self.root["$schema"]
        self._checkers: dict[int, Checker | None] = {}

    def applying(self, part: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
        """Yield the parts that apply to each value for which `part` does, itself included."""
        if not isinstance(part, Mapping) or depth > 32:
            return
        target = part.get("$ref")
        if isinstance(target, str):  # older drafts ignore what is beside it
            if target == "#" or target.startswith("#/"):
                yield from self.applying(resolve(self.root, target), depth + 1)
            return
        yield part
        for each in part.get("allOf") or ():
            yield from self.applying(each, depth + 1)

    @staticmethod
    def property_of(part: Mapping[str, Any], name: str) -> Any:
        """Return the schema of the property `name` in `part`; False if there must be none."""
        properties = part.get("properties")
        if isinstance(properties, Mapping) and name in properties:
            return properties[name]
        if part.get("patternProperties") or "additionalProperties" not in part:
            return None
        return part["additionalProperties"]

    def faults(self, part: Mapping[str, Any], value: Any) -> list[Fault]:
        """Return what is wrong with `value` by `part` alone."""
        key = id(part)
        if key not in self._checkers:
            self._checkers[key] = self._checker(part)
        checker = self._checkers[key]
        return [] if checker is None else checker.faults(value)

    def _checker(self, part: Mapping[str, Any]) -> Checker | None:
        """Return the checker of a part; None if it refers to something beyond the definitions."""
        refers = [each for each in _references(part) if not each.startswith(("#/$defs/", "#/def"))]
        if refers or any(_references_back(self._definitions)):
            return None
        try:
            return Checker(json.dumps({**part, **self._definitions}))
        except SchemaError:
            return None


def _references(node: Any) -> Iterator[str]:
    """Yield what the references in a schema name."""
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            for name in ("$ref", "$dynamicRef", "$recursiveRef"):
                if isinstance(each.get(name), str):
                    yield each[name]
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)


def _references_back(definitions: Mapping[str, Any]) -> Iterator[str]:
    """Yield references from the definitions to other places of the schema."""
    return (each for each in _references(definitions) if not each.startswith(("#/$defs/", "#/def")))


@lru_cache(maxsize=16)
def _schema_of(text: str) -> _Schema:
    return _Schema(text)
