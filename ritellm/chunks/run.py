"""Neighbouring chunks that differ only in one text, stored as the shared part and the texts. Pure.

Nearly all chunks of a stream are like that. A run saves building a dict for each of them: sums and
merged chunks need only the texts. Chunks are built when a caller iterates over the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ritellm.types import Chunk, set_attempt, set_seq

# The field in which OpenAI hides the length of the text from eavesdroppers, by random letters.
PADDING = "obfuscation"


class Kind:
    """What the chunks of a run share: all of `payload` except the text in field `name`."""

    __slots__ = ("choice", "head", "name")

    def __init__(self, payload: Mapping[str, Any], name: str) -> None:
        self.head = {**payload, "choices": None}
        self.choice = {**payload["choices"][0], "delta": None}
        self.name = name


class Run:
    """Neighbouring chunks of one kind, as their texts and their paddings, if they have any.

    Iterating builds one chunk at a time. A reader that drops each chunk before the next one reuses
    the same memory, which stays in the processor's cache.
    """

    __slots__ = ("attempt", "kind", "paddings", "seq", "texts")

    def __init__(
        self, kind: Kind, texts: Sequence[str], paddings: Sequence[str] | None = None
    ) -> None:
        self.kind = kind
        self.texts = texts
        self.paddings = paddings
        self.attempt = 1
        self.seq = 0

    def number(self, attempt: int, seq: int) -> Run:
        """Return this run, with its first chunk numbered `seq` of `attempt`."""
        self.attempt, self.seq = attempt, seq
        return self

    def __len__(self) -> int:
        return len(self.texts)

    def __iter__(self) -> Iterator[Chunk]:
        head, choice, name = self.kind.head, self.kind.choice, self.kind.name
        attempt, first, paddings = self.attempt, self.seq, self.paddings
        for seq, text in enumerate(self.texts, first):
            chunk = Chunk(head)
            chunk["choices"] = [{**choice, "delta": {"content": None, name: text}}]
            set_attempt(chunk, attempt)
            set_seq(chunk, seq)
            if paddings is not None:
                chunk[PADDING] = paddings[seq - first]
            yield chunk

    def merged(self) -> Run:
        """Return a run of one chunk with the same sum."""
        last = self.paddings[-1:] if self.paddings else None
        return Run(self.kind, ["".join(self.texts)], last)


Piece = Chunk | Run
# The chunks of one read from the network.
Batch = list[Chunk] | Run


def expanded(pieces: Sequence[Piece]) -> list[Chunk]:
    """Return the chunks of `pieces`, with each run expanded."""
    chunks: list[Chunk] = []
    for piece in pieces:
        if isinstance(piece, Run):
            chunks.extend(iter(piece))  # `iter` spares the question for the length
        else:
            chunks.append(piece)
    return chunks


def joined(runs: Sequence[Run]) -> Run | None:
    """Return neighbouring `runs` as one run, or None if their kinds differ."""
    first = runs[0]
    if len(runs) == 1:
        return first
    if any(run.kind is not first.kind for run in runs):
        return None
    paddings = [padding for run in runs for padding in run.paddings or ()]
    return Run(first.kind, [text for run in runs for text in run.texts], paddings or None)
