"""What is wrong with an answer: the place, the rule that it breaks, and a sentence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

# A model may write megabytes: messages show the beginning.
_MOST = 300


class Fault(NamedTuple):
    """One fault. `path` is like `$.items[2].label`; `rule` is a keyword of JSON Schema, or a word.

    The words are `json` (the text is not JSON), `length` (the answer is cut off), `tool` (the model
    did not call the tool) and `validator` (the user's own check).
    """

    path: str
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.path} ({self.rule}): {shortened(self.message)}"


def shortened(text: str, most: int = _MOST) -> str:
    """Return `text` on one line, cut at `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def path_of(parts: Iterable[str | int]) -> str:
    """Return the path `$.a[0]` of these names and places."""
    path = "$"
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if part.isidentifier() else f"[{part!r}]"
    return shortened(path)
