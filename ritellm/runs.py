"""Neighbouring chunks that differ in one text only: what they share, once, and their texts.

Nearly all chunks of a streamed answer are of this kind. Summed or put together they need not be
made; where somebody watches they are, each its own. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ritellm.types import Chunk, set_attempt, set_seq

# Random letters that OpenAI adds against eavesdroppers who measure lengths.
PADDING = "obfuscation"


class Kind:
    """What the chunks of a run share: all of `payload` but the text called `name`."""

    __slots__ = ("choice", "head", "name")

    def __init__(self, payload: Mapping[str, Any], name: str) -> None:
        self.head = {**payload, "choices": None}
        self.choice = {**payload["choices"][0], "delta": None}
        self.name = name


class Run:
    """Neighbouring chunks of one kind, by their texts; and their paddings, if they have any."""

    __slots__ = ("kind", "paddings", "texts")

    def __init__(
        self, kind: Kind, texts: Sequence[str], paddings: Sequence[str] | None = None
    ) -> None:
        self.kind = kind
        self.texts = texts
        self.paddings = paddings

    def chunks(self, attempt: int = 1, seq: int = 0) -> list[Chunk]:
        """Return the chunks, numbered from `seq` on."""
        head, template, name = self.kind.head, self.kind.choice, self.kind.name
        chunks = []
        for text in self.texts:
            chunk = Chunk(head)
            choice = template.copy()
            choice["delta"] = {"content": None, name: text}
            chunk["choices"] = [choice]
            set_attempt(chunk, attempt)
            set_seq(chunk, seq)
            seq += 1
            chunks.append(chunk)
        if self.paddings is not None:
            for chunk, padding in zip(chunks, self.paddings, strict=True):
                chunk[PADDING] = padding
        return chunks

    def merged(self) -> Chunk:
        """Return one chunk that sums to the same."""
        last = self.paddings[-1:] if self.paddings else None
        return Run(self.kind, ["".join(self.texts)], last).chunks()[0]


Piece = Chunk | Run


def joined(runs: Sequence[Run]) -> Run | None:
    """Return neighbouring `runs` as one, if they are of one kind."""
    first = runs[0]
    if any(run.kind is not first.kind for run in runs):
        return None
    paddings = [padding for run in runs for padding in run.paddings or ()]
    return Run(first.kind, [text for run in runs for text in run.texts], paddings or None)
