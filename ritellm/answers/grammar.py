"""The grammar of `--answer_columns`: columns with their types, as a JSON schema. Pure.

    columns  = column {"," column}
    column   = name ":" type ["?"] [description]
    type     = simple | enum | list
    simple   = "str" | "int" | "float" | "bool" | "date" | "datetime"
    enum     = "enum(" value {"," value} ")"
    list     = "list(" type ")"
    name     = letters, digits and "_", not a digit first
    value    = a word without , ( ) and quotes, or a text in double quotes
    description = a text in double quotes

    label:enum(good,bad) "the tone", score:float, why:str?, tags:list(str)

A column with "?" may be null. All columns are required, and there are no others.
"""

from __future__ import annotations

import json
import re
from typing import Any

_SIMPLE: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
}
_MOST_LISTS = 100
_NAMES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORD = re.compile(r'[^\s,()"][^,()"]*')
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_SPACE = re.compile(r"\s*")


class GrammarError(ValueError):
    """The text is not a list of columns; the message has the position, from 1."""


def schema_of(text: str) -> dict[str, Any]:
    """Return the JSON schema of the columns in `text`; raises GrammarError."""
    return _Reader(text).columns()


class _Reader:
    """Reads from left to right; `_at` is the place of the next character."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lists = 0

    def columns(self) -> dict[str, Any]:
        """Return the schema of the whole text."""
        properties: dict[str, Any] = {}
        while True:
            self._space()
            start = self._at
            name = self._match(_NAME, "the name of a column")
            if name in properties:
                raise self._error(f"the column {name} is there already", start)
            self._take(":")
            properties[name] = self._column()
            if self._at == len(self._text):
                return {
                    "type": "object",
                    "properties": properties,
                    "required": [*properties],
                    "additionalProperties": False,
                }
            self._take(",")

    def _column(self) -> dict[str, Any]:
        made = self._type()
        self._space()
        if self._next("?"):
            made = _nullable(made)
        self._space()
        if quoted := _QUOTED.match(self._text, self._at):
            made = {**made, "description": self._quoted(quoted)}
        self._space()
        return made

    def _type(self) -> dict[str, Any]:
        self._space()
        start = self._at
        name = self._match(_NAME, "a type")
        name = _NAMES.get(name, name)
        if name == "enum":
            return self._enum()
        if name == "list":
            self._lists += 1
            if self._lists > _MOST_LISTS:
                raise self._error(f"there may be at most {_MOST_LISTS} lists", start)
            self._take("(")
            items = self._type()
            self._take(")")
            return {"type": "array", "items": items}
        if name not in _SIMPLE:
            known = ", ".join([*_SIMPLE, "enum(a,b)", "list(type)"])
            raise self._error(f"{name!r} is not a type; use one of {known}", start)
        return dict(_SIMPLE[name])

    def _enum(self) -> dict[str, Any]:
        self._take("(")
        values: list[str] = []
        while True:
            self._space()
            start = self._at
            quoted = _QUOTED.match(self._text, self._at)
            value = self._quoted(quoted) if quoted else self._match(_WORD, "a value").strip()
            if value in values:
                raise self._error(f"the value {value!r} is there already", start)
            values.append(value)
            self._space()
            if self._next(")"):
                return {"type": "string", "enum": values}
            self._take(",")

    def _quoted(self, found: re.Match[str]) -> str:
        try:
            text = json.loads(found[0])
        except ValueError as error:
            raise self._error(f"the text in quotes must be JSON ({error})", self._at) from None
        self._at = found.end()
        return str(text)

    def _match(self, pattern: re.Pattern[str], wanted: str) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise self._error(f"expected {wanted}, got {self._rest()}", self._at)
        self._at = found.end()
        return found[0]

    def _take(self, mark: str) -> None:
        self._space()
        if not self._next(mark):
            raise self._error(f"expected {mark!r}, got {self._rest()}", self._at)

    def _next(self, mark: str) -> bool:
        found = self._text.startswith(mark, self._at)
        self._at += len(mark) if found else 0
        return found

    def _space(self) -> None:
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _rest(self) -> str:
        return repr(self._text[self._at : self._at + 20]) if self._text[self._at :] else "the end"

    @staticmethod
    def _error(message: str, at: int) -> GrammarError:
        return GrammarError(f"{message} (at character {at + 1})")


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if "enum" in schema:
        return {"type": ["string", "null"], "enum": [*schema["enum"], None]}
    return {**schema, "type": [schema["type"], "null"]}
