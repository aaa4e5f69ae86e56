"""What a reader of published deltas learns: the events of `ritellm.follow`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ritellm.chunks.delta_rows import PromptKey
from ritellm.chunks.submission import prompt_of
from ritellm.types import Chunk, Completion


class DeltaEvent:
    """What all events have in common."""

    __slots__ = ()
    id: str
    submission: str

    @property
    def key(self) -> PromptKey:
        """The key of the completion: two prompts may have the same `id`."""
        return self.id, prompt_of(self.submission)


@dataclass(frozen=True, slots=True)
class Grown(DeltaEvent):
    """The text of `id` has grown by `added`; `chunks` are the new chunks, in order."""

    id: str
    attempt: int
    added: str
    chunks: tuple[Chunk, ...]
    _pieces: list[str] = field(repr=False, compare=False)
    _count: int = field(repr=False, compare=False)
    submission: str = ""

    @property
    def text(self) -> str:
        """The text up to this event; it is joined on each access."""
        return "".join(self._pieces[: self._count])


@dataclass(frozen=True, slots=True)
class Superseded(DeltaEvent):
    """The text of `attempt` of `submission` is void: `by` of `by_submission` replaces it."""

    id: str
    attempt: int
    by: int
    submission: str = ""
    by_submission: str = ""


@dataclass(frozen=True, slots=True)
class Finished(DeltaEvent):
    """The completion of `id` is whole. `outcome` has timing and attempts, `input` its row."""

    id: str
    attempt: int
    completion: Completion
    outcome: Mapping[str, Any]
    input: Any
    submission: str = ""

    @property
    def text(self) -> str:
        """The text of the first choice."""
        return _text(self.completion)


@dataclass(frozen=True, slots=True)
class Unfinished(DeltaEvent):
    """The completion of `id` is given up, since delta number `missing` never arrived.

    `completion` is the part before that delta.
    """

    id: str
    attempt: int
    completion: Completion
    missing: int
    submission: str = ""

    @property
    def text(self) -> str:
        """The text of the first choice, as far as it arrived."""
        return _text(self.completion)


Event = Grown | Superseded | Finished | Unfinished


def _text(completion: Completion) -> str:
    for choice in completion["choices"]:
        if not choice["index"]:
            content = choice["message"]["content"]
            return content if isinstance(content, str) else ""
    return ""
