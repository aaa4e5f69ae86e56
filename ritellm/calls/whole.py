"""Decides whether a response is whole, by what has arrived. No I/O and no clock.

Problem: servers end their responses in different ways, and some of them send a mark of the end in
each chunk, or close a stream that has nothing in it.

Idea: there are two marks of an end. The terminator of the dialect ends the response, and a
finish_reason ends a choice. The terminator is the stronger one. If text follows a finish_reason,
that one was not the end, and from then on only the terminator counts. A dialect without a
terminator (`has_terminator` of its decoder) leaves no other choice than to believe the last one.
"""

from __future__ import annotations

from collections.abc import Iterable

from ritellm.chunks import ChunkSum
from ritellm.chunks.choice import End, has_text, is_blank
from ritellm.chunks.run import Piece, Run


def is_whole(
    total: ChunkSum, choices: int, *, terminated: bool, has_terminator: bool, doubtful: bool
) -> bool:
    """Return whether `total` is a whole response.

    Args:
        choices: the number of choices that were requested.
        terminated: the terminator of the dialect has arrived.
        has_terminator: the dialect has a terminator.
        doubtful: text has followed a finish_reason, which `total` may not show (see `reopens`).
    """
    ends = total.ends
    if terminated:
        return bool(ends) and not total.is_empty
    if len(ends) < choices or not ends:
        return False
    if not has_terminator:
        return End.OPEN not in ends
    return not doubtful and all(end is End.CLEAR for end in ends)


def reopens(pieces: Iterable[Piece]) -> bool:
    """Return whether text follows a finish_reason of the same choice, before chunks are merged."""
    ended: set[object] = set()
    for piece in pieces:
        if isinstance(piece, Run):
            if ended and piece.kind.choice.get("index") in ended and any(piece.texts):
                return True
            continue
        for choice in piece.get("choices") or ():
            if ended and choice.get("index") in ended and has_text(choice):
                return True
            if not is_blank(choice.get("finish_reason")):
                ended.add(choice.get("index"))
    return False
