"""Read a published delta: a row, a mapping, or JSON. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import NoneType
from typing import Any, NamedTuple

import orjson

from ritellm.chunks.submission import prompt_of

# The key of a completion: its id, and the digest of its request.
PromptKey = tuple[str, str]
# A submission and an attempt. A text with a greater rank is newer.
Rank = tuple[str, int]


class DeltaRow(NamedTuple):
    """The fields of a delta that a reader needs."""

    id: str
    submission: str
    attempt: int
    seq: int
    chunk: Mapping[str, Any]
    final: bool
    outcome: Any
    input: Any

    @property
    def prompt(self) -> PromptKey:
        """The key of its completion."""
        return self.id, prompt_of(self.submission)

    @property
    def rank(self) -> Rank:
        """The text that it belongs to, among those of its prompt."""
        return self.submission, self.attempt


def read_delta(delta: Any) -> DeltaRow:
    """Return the fields of `delta`; raises ValueError if it is not a delta.

    A delta of a program that knows no submissions has the submission "".
    """
    if isinstance(delta, (str, bytes)):
        delta = _json(delta)
    get: Callable[[str], Any] = partial(_field, delta)
    id, submission, chunk = get("id"), get("submission"), get("chunk")
    attempt, seq = _number(get("attempt")), _number(get("seq"))
    submission = "" if submission is None else submission
    if not isinstance(id, str) or attempt is None or seq is None:
        raise ValueError(f"a delta must have id, attempt and seq, got {repr(delta)[:200]}")
    if not isinstance(submission, str):
        raise ValueError(f"the submission of a delta must be a text, got {repr(submission)[:200]}")
    chunk = chunk if isinstance(chunk, Mapping) else _json(chunk)
    if not all(map(_is_choice, _choices(chunk))):
        raise ValueError(f"the chunk of a delta must have a list of choices, got {chunk!r:.200}")
    final = get("final") not in _NOT
    return DeltaRow(id, submission, attempt, seq, chunk, final, get("outcome"), get("input"))


def _choices(chunk: Mapping[str, Any]) -> list[Any]:
    """Return the choices of a chunk; None in them if they are not a list."""
    choices = chunk.get("choices")
    return choices if isinstance(choices, list) else [] if choices is None else [None]


def _is_choice(choice: Any) -> bool:
    return (
        isinstance(choice, Mapping)
        and isinstance(choice.get("delta"), (Mapping, NoneType))
        and isinstance(choice.get("index"), (int, NoneType))
    )


# Values of `final` that mean no; Redis has only strings.
_NOT = (None, False, "", "0")


def _field(delta: Any, name: str) -> Any:
    return delta.get(name) if isinstance(delta, Mapping) else getattr(delta, name, None)


def _number(value: Any) -> int | None:
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return value if isinstance(value, int) else None


def _json(text: Any) -> Mapping[str, Any]:
    """Return the JSON object in `text`; raises ValueError."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, Mapping):
        shown = repr(text)[:200]
        raise ValueError(f"a delta and its chunk must be JSON objects, got {shown}")
    return value
