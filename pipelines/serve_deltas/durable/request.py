"""What a request asks for. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pipelines.serve_deltas.access import Refused
from pipelines.serve_deltas.position import Position, parse_position


class Live(enum.Enum):
    """How a reader waits for more."""

    NO = ""
    LONG_POLL = "long-poll"
    SSE = "sse"


class Query(Protocol):
    """The parameters of a request."""

    def getlist(self, name: str) -> list[str]:
        """Return all values of a parameter."""


@dataclass(frozen=True)
class Asked:
    """A read from `position` on, None for the beginning, or from the end if it is `from_now`."""

    position: Position | None = None
    from_now: bool = False
    live: Live = Live.NO
    cursor: int | None = None
    known: str = ""  # the entity tag that the reader has


def is_asked(query: Mapping[str, str]) -> bool:
    """Return whether the parameters are those of the protocol."""
    return query.get("as") == "durable" or "offset" in query or "live" in query


def asked(query: Query, headers: Mapping[str, str]) -> Asked:
    """Return what is asked for. Raises Refused for bad parameters."""
    offsets = query.getlist("offset")
    live = _live(query.getlist("live"))
    if len(offsets) > 1 or (live is not Live.NO and not offsets):
        raise Refused(400, f"a read needs one offset, got {len(offsets)}")
    offset = offsets[0] if offsets else "-1"
    position = parse_position(offset)
    if position is None and offset not in ("-1", "now"):
        raise Refused(400, "offset must be -1, now, or a Stream-Next-Offset of this stream")
    cursor = next(iter(query.getlist("cursor")), "")
    is_number = cursor.isascii() and cursor.isdecimal() and len(cursor) <= 15
    known = headers.get("if-none-match", "")
    return Asked(position, offset == "now", live, int(cursor) if is_number else None, known)


def _live(values: list[str]) -> Live:
    try:
        return Live(values[0] if values else "")
    except ValueError:
        raise Refused(400, "live must be long-poll or sse") from None
