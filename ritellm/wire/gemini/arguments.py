"""Put the arguments of a tool call together from pieces with JSON paths (Vertex only).

https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

# One step of a path in the form of RFC 9535: $.foo.bar[0]['data']
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[(?:'([^']*)'|\"([^\"]*)\")\]")
_VALUES = ("stringValue", "numberValue", "boolValue", "nullValue")


class PartialArgs:
    """The arguments of one call so far."""

    __slots__ = ("_pieces", "_start")

    def __init__(self, start: Mapping[str, Any]) -> None:
        self._start = dict(start)
        self._pieces: dict[str, list[Any]] = {}

    def add(self, pieces: Iterable[Mapping[str, Any]]) -> None:
        """Add pieces; texts with the same path are joined."""
        for piece in pieces:
            key = next((name for name in _VALUES if name in piece), None)
            if key is not None:
                value = None if key == "nullValue" else piece[key]
                self._pieces.setdefault(piece.get("jsonPath") or "$", []).append(value)

    @property
    def value(self) -> Any:
        """The arguments so far."""
        root: Any = {"$": self._start}
        for path, pieces in self._pieces.items():
            texts = all(isinstance(piece, str) for piece in pieces)
            _put(root, ["$", *_steps(path)], "".join(pieces) if texts else pieces[-1])
        return root["$"]


def _steps(path: str) -> list[str | int]:
    steps: list[str | int] = []
    for name, number, single, double in _STEP.findall(path):
        steps.append(int(number) if number else name or single or double)
    return steps


def _put(node: Any, steps: list[str | int], value: Any) -> None:
    """Put `value` at the end of `steps`, and create missing containers on the way."""
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        if isinstance(step, int):
            node.extend([None] * (step + 1 - len(node)))
        if following is None:
            node[step] = value
        else:
            child = node[step] if isinstance(step, int) else node.get(step)
            if child is None:
                child = node[step] = [] if isinstance(following, int) else {}
            node = child
