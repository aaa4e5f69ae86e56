"""One delta of an answer, as readers need it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from pipelines.serve_deltas.position import Rank

_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Piece:
    """Delta number `seq` of the text `rank`.

    `chunk` is the JSON of its `chat.completion.chunk`. The last piece of a whole answer is `final`,
    and `outcome` is the JSON of what is known only then. `failed` is the class of the error of a
    prompt that has failed; such a piece ends the answer too.
    """

    rank: Rank
    seq: int
    text: str
    chunk: bytes
    final: bool = False
    outcome: bytes = b""
    failed: str | None = None

    @property
    def ends(self) -> bool:
        """Whether nothing comes after it."""
        return self.final or self.failed is not None

    @cached_property
    def parsed(self) -> Mapping[str, Any]:
        """The chunk; an empty one if it is not the JSON of one."""
        value = parsed(self.chunk)
        choices = value.get("choices")
        sound = isinstance(choices, list) and all(map(_is_choice, choices))
        return value if sound else {"object": "chat.completion.chunk", "choices": []}

    @property
    def reasoning(self) -> str:
        """What it adds to the reasoning of the first choice."""
        if b"reasoning_content" not in self.chunk:
            return ""
        value = self.delta.get("reasoning_content")
        return value if isinstance(value, str) else ""

    @property
    def tool_calls(self) -> list[Any]:
        """The parts of tool calls that it adds to those of the first choice."""
        value = self.delta.get("tool_calls") if b'"tool_calls":[' in self.chunk else None
        return value if isinstance(value, list) else []

    @property
    def delta(self) -> Mapping[str, Any]:
        """The `delta` of the first choice."""
        for choice in self.parsed["choices"]:
            if not choice.get("index"):
                return choice.get("delta") or _NOTHING
        return _NOTHING

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended, None while it has not."""
        if b'"finish_reason":"' not in self.chunk:
            return None
        for choice in self.parsed["choices"]:
            value = choice.get("finish_reason")
            if not choice.get("index") and isinstance(value, str):
                return value
        return None

    @property
    def usage(self) -> Mapping[str, Any] | None:
        """The tokens that the provider has counted, if it has."""
        value = self.parsed.get("usage") if b'"usage":{' in self.chunk else None
        return value if isinstance(value, Mapping) else None


def _is_choice(choice: Any) -> bool:
    return (
        isinstance(choice, dict)
        and isinstance(choice.get("delta"), (dict, type(None)))
        and isinstance(choice.get("index"), (int, type(None)))
    )


def parsed(json: bytes) -> Mapping[str, Any]:
    """Return the JSON object in `json`; an empty one if it is none."""
    try:
        value = orjson.loads(json) if json else None
    except orjson.JSONDecodeError:
        value = None
    return value if isinstance(value, dict) else _NOTHING
