"""What is asked in these tests, and what must come of it."""

from __future__ import annotations

from typing import Any

import orjson
from streaming_backends import Place

from ritellm import Finished, follow

WORDS = "one two three four five six seven eight"


def prompts(count: int, start: int = 0) -> list[bytes]:
    """Return messages."""
    rows = [{"id": f"p{n}", "prompt": f"{WORDS} {n}"} for n in range(start, start + count)]
    return [orjson.dumps(row) for row in rows]


def answers(count: int, start: int = 0) -> dict[str, str]:
    """Return the texts of their answers."""
    return {f"p{n}": f"{WORDS} {n}" for n in range(start, start + count)}


def whole(place: Place) -> dict[str, str]:
    """Return the texts of the answers that are whole, from deltas that agree with each other."""
    deltas = place.received()["delta"]
    seen: dict[Any, Any] = {}
    for delta in deltas:
        key = delta["id"], delta["submission"], delta["attempt"], delta["seq"]
        assert seen.setdefault(key, delta["chunk"]) == delta["chunk"], f"{key} is two deltas"
    return {event.id: event.text for event in follow(deltas) if isinstance(event, Finished)}
