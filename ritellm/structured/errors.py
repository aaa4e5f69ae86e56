"""What is wrong with JSON that arrives in pieces. Pure."""

from __future__ import annotations

from typing import Any


class JsonError(ValueError):
    """The text is not JSON, or is larger than the reader's limits.

    `position` is the number of characters before the fault. Nothing that follows can repair it.
    """

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message, position)
        self.message, self.position = message, position

    def __str__(self) -> str:
        return f"{self.message} at position {self.position}"


class JsonTruncated(JsonError):
    """The text has ended inside the JSON, or before it."""


def unexpected(found: Any, expected: str, position: int) -> JsonError:
    """Return the error for the character `found` where `expected` must be."""
    return JsonError(f"expected {expected}, got {found!r}", position)
