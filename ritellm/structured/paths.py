"""The paths that a reader follows: a small part of JSONPath (RFC 9535). Pure.

    $                 the whole value
    $.name, $['a b']  a property
    $.name[*]         each element of an array
    $.name.*          each property of an object
    $.name[0]         one element of an array

These are joined in any order. `[*]` takes elements of arrays alone and `.*` properties of objects
alone, where RFC 9535 takes both with each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

import orjson

_MOST_STEPS = 32
_STEP = re.compile(
    r"""\.(?P<name>[A-Za-z_\u0080-\ud7ff\ue000-\U0010ffff][\w\u0080-\ud7ff\ue000-\U0010ffff]*)"""
    r"""|(?P<every>\.\*|\[\*\])"""
    r"""|\[(?P<index>0|[1-9][0-9]{0,8})\]"""
    r"""|\[(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\]""",
    re.ASCII | re.DOTALL,
)
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")


class Every(Enum):
    """A step that takes all parts of a value."""

    ELEMENT = "[*]"
    PROPERTY = ".*"


# A name, an index, or all of them.
Step = str | int | Every


@dataclass(frozen=True, slots=True)
class JsonPath:
    """A parsed path: `steps` from the top down."""

    text: str
    steps: tuple[Step, ...]


def parse_path(text: str) -> JsonPath:
    """Return the path in `text`; raises ValueError for a path that readers do not follow."""
    if not isinstance(text, str) or not text.startswith("$"):
        raise ValueError(f'a path must start with "$", as in "$.items[*]", got {text!r:.100}')
    steps: list[Step] = []
    at = 1
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None or len(steps) == _MOST_STEPS:
            raise ValueError(
                f"a path must be made of .name, ['name'], [0], [*] and .* (at most {_MOST_STEPS}),"
                f" got {text[at:]!r:.100} in {text!r:.100}"
            )
        steps.append(_step(found))
        at = found.end()
    return JsonPath(text, tuple(steps))


def _step(found: re.Match[str]) -> Step:
    if name := found["name"]:
        return name
    if every := found["every"]:
        return Every(every)
    if index := found["index"]:
        return int(index)
    return _unquoted(found["quoted"])


def _unquoted(quoted: str) -> str:
    """Return the name in quotes; RFC 9535 has the escapes of JSON, and \\' in single quotes."""
    inner = quoted[1:-1]
    if quoted[0] == "'":
        inner = re.sub(r"\\(.)|\"", _requoted, inner, flags=re.DOTALL)
    try:
        name: str = orjson.loads(f'"{inner}"')
    except ValueError:
        raise ValueError(f"a name in a path must be a JSON string, got {quoted!r:.100}") from None
    return name


def _requoted(found: re.Match[str]) -> str:
    """Return a character of a single-quoted name as it is written in double quotes."""
    if found[0] == '"':
        return r"\""
    return "'" if found[1] == "'" else found[0]


def below(path: str, part: str | int) -> str:
    """Return the path of a property or an element of the value at `path`."""
    if isinstance(part, int):
        return f"{path}[{part}]"
    if _PLAIN_NAME.fullmatch(part):
        return f"{path}.{part}"
    return f"{path}[{orjson.dumps(part).decode()}]"
