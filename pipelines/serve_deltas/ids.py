"""Which texts are ids that readers can name. Pure."""

from __future__ import annotations

# The longest id that a request may name, in characters.
MOST_ID = 1_000


def is_id(text: str) -> bool:
    """Return whether a request may name the stream of `text`."""
    return bool(text) and len(text) <= MOST_ID and text.isprintable()
