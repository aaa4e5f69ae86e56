"""Odd values in the place of each value of a JSON document, or nothing in its place."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterator
from typing import Any

from dialect_samples import frame

DEEP: Any = functools.reduce(lambda inner, _: [inner], range(300), "odd")
ODD: dict[str, Any] = {
    "text": "odd",
    "list": ["odd"],
    "object": {"odd": "odd"},
    "true": True,
    "null": None,
    "huge": 1e308,
    "long": 2**63,
    "negative": -1,
    "deep": DEEP,
}

Path = tuple[Any, ...]


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the path of each value in a JSON document, the document itself included."""
    yield path
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in items:
        yield from paths(inner, (*path, key))


def replaced(document: Any, path: Path, value: Any) -> Any:
    """Return a copy of `document` with `value` at `path`."""
    if not path:
        return value
    changed = copy.copy(document)
    changed[path[0]] = replaced(document[path[0]], path[1:], value)
    return changed


def without(document: Any, path: Path) -> Any:
    """Return a copy of `document` that has nothing at `path`."""
    changed = copy.copy(document)
    if len(path) == 1:
        del changed[path[0]]
    else:
        changed[path[0]] = without(document[path[0]], path[1:])
    return changed


def variants(document: Any) -> Iterator[tuple[str, Any]]:
    """Yield each document that has one odd value or lacks one, with a name for it."""
    for path in paths(document):
        where = ".".join(map(str, path)) or "all"
        for name, value in ODD.items():
            yield f"{where} = {name}", replaced(document, path, value)
        if path:
            yield f"{where} is missing", without(document, path)


def as_json(value: Any) -> bytes:
    """Return the JSON of `value`, of any depth."""
    return json.dumps(value).encode()


def events(payloads: list[Any]) -> bytes:
    """Return `payloads` as server-sent events, each named after its `type`."""
    blocks = []
    for each in payloads:
        kind = each.get("type") if isinstance(each, dict) else None
        head = f"event: {kind}\n".encode() if isinstance(kind, str) else b""
        blocks.append(head + b"data: " + as_json(each) + b"\n\n")
    return b"".join(blocks)


def chat_events(payloads: list[Any]) -> bytes:
    """Return `payloads` as the chunks of a chat stream, with its terminator."""
    return b"".join(b"data: " + as_json(p) + b"\n\n" for p in payloads) + b"data: [DONE]\n\n"


def lines(payloads: list[Any]) -> bytes:
    """Return `payloads` as JSON lines."""
    return b"".join(as_json(each) + b"\n" for each in payloads)


def frames(payloads: list[Any]) -> bytes:
    """Return `payloads`, pairs of a type and a document, as an AWS event stream."""
    return b"".join(frame(kind, as_json(each)) for kind, each in payloads)
