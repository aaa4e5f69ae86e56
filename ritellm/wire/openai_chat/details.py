"""Join the pieces of OpenRouter's `reasoning_details`, which a stream cuts. No I/O and no clock.

https://openrouter.ai/docs/guides/best-practices/reasoning-tokens. A block that is sent back must be
the one that the model produced: one text, with its signature.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TEXTS = ("text", "summary", "data")


def joined(details: Any) -> Any:
    """Return `details` with the pieces of each block as one block; complete ones are unchanged."""
    if not isinstance(details, (list, tuple)) or not all(isinstance(d, Mapping) for d in details):
        return details
    blocks: list[dict[str, Any]] = []
    for piece in details:
        if blocks and _continues(blocks[-1], piece):
            _add(blocks[-1], piece)
        else:
            blocks.append(dict(piece))
    return blocks


def _continues(block: Mapping[str, Any], piece: Mapping[str, Any]) -> bool:
    """Return whether `piece` belongs to `block`: a signature ends a block, and so does an id."""
    if piece.get("index") is None or block.get("signature"):
        return False
    same = all(block.get(name) == piece.get(name) for name in ("index", "type"))
    ids = {value.get("id") for value in (block, piece)} - {None}
    return same and len(ids) < 2


def _add(block: dict[str, Any], piece: Mapping[str, Any]) -> None:
    for name, value in piece.items():
        mine = block.get(name)
        if name in _TEXTS and isinstance(mine, str) and isinstance(value, str):
            block[name] = mine + value
        elif value is not None:
            block[name] = value
