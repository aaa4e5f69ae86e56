"""A place in the stream of one id, as a reader names it. Pure.

The problem: a reader comes back after minutes, perhaps to another server, and must get the rest of
the answer once. Meanwhile the prompt may have been sent again, so the rest is of another text.

The idea: a position says which text it is in, by the order of its submission and its attempt, and
the number of the next delta. It needs no memory of the server. Redis numbers the entries of a
stream in the same way (`transforms.sinks.redis`).

What holds: as texts, positions sort like the deltas that they stand before.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# The text that a position is in: the order of its submission, and its attempt. Greater is newer.
Rank = tuple[int, int]

_FORM = re.compile(r"([0-9a-f]{16})_([0-9a-f]{8})_([0-9a-f]{8})", re.ASCII)


class Position(NamedTuple):
    """The place before delta number `next` (from 0) of an attempt of a submission."""

    order: int
    attempt: int
    next: int

    @property
    def rank(self) -> Rank:
        """The text that it is in."""
        return self.order, self.attempt

    def __str__(self) -> str:
        return f"{self.order:016x}_{self.attempt:08x}_{self.next:08x}"


def parse_position(text: str) -> Position | None:
    """Return the position that `text` names; None for any other text."""
    found = _FORM.fullmatch(text)
    return Position(*(int(part, 16) for part in found.groups())) if found else None
