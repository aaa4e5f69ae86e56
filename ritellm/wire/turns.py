"""Check what is left of a conversation once messages that say nothing are left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ritellm.errors import InvalidRequestError


def check_turns(
    messages: Iterable[Mapping[str, Any]], turns: Sequence[Mapping[str, Any]], dialect: str
) -> None:
    """Raise InvalidRequestError if an empty message decides whose turn it is.

    Most servers refuse an empty message. In the middle it changes nothing. At the end the
    assistant's message before it would become the beginning of the next completion.
    """
    spoken = [m.get("role") for m in messages if m.get("role") not in ("system", "developer")]
    if not turns:
        raise InvalidRequestError(f"{dialect} needs a message of the user with content")
    for end, where in ((0, "first"), (-1, "last")):
        if spoken[end] != "assistant" and turns[end].get("role") in ("assistant", "model"):
            raise InvalidRequestError(
                f"the {where} message must have content, since {dialect} refuses an empty one:"
                " give it text, or leave it out"
            )
