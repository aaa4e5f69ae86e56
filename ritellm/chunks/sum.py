"""Add the chunks of a stream up to one completion. Pure.

The problem: a completion arrives in thousands of chunks. Parts of it are summed on different
workers, and each sum must be the same as if one process had added all chunks in order. The cost of
a chunk must not grow with the length of the completion.

The idea: `ChunkSum` does not interpret what it adds. For each field of each choice it appends the
values to a list (`ritellm.chunks.choice`). Only `completion()` and `chunk()` decide what a list
means: text is joined, tool calls are put together from fragments, and what this library does not
know is summed by its shape (`ritellm.chunks.unknown`).

The invariants:
- A new sum is empty, and merging is associative: (a + b) + c equals a + (b + c). Order matters.
- `a.chunk()`, added to another sum, gives the same completion as the chunks that made `a`.
- A field that this module does not know survives, summed by its type.
- Adding a run of chunks (`ritellm.chunks.run`) equals adding each of them.

`SequencedSum` (`ritellm.chunks.sequenced`) numbers the chunks, and so tolerates any order and any
repetition.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ritellm.chunks.choice import ChoiceSum, End
from ritellm.chunks.run import Kind, Piece, Run, joined
from ritellm.chunks.tool_calls import Values
from ritellm.chunks.unknown import sum_facts
from ritellm.chunks.usage import merged, totalled
from ritellm.types import Chunk, Completion

_NOTHING: Mapping[str, Any] = {}


class ChunkSum:
    """The sum of neighbouring chunks of one completion, in order."""

    __slots__ = ("_choices", "_facts", "_head", "_kind", "_texts", "_top", "_uncounted", "count")

    def __init__(self) -> None:
        # The sum itself.
        self.count = 0  # chunks added
        self._top: dict[str, Any] = {}  # the fields beside the choices: the newest value of each
        self._facts: dict[str, Values] = {}  # all values of those that are lists or objects
        self._choices: dict[int, ChoiceSum] = {}
        self._uncounted = False  # choices have arrived since the last usage

        # Shortcuts for a chunk that is like the one before.
        self._head: dict[str, Any] | None = None  # the fields beside the choices of the last chunk
        self._kind: Kind | None = None  # the kind of the run that was added last
        self._texts: Values = []  # the list that its texts were appended to

    def add(self, chunk: Mapping[str, Any]) -> None:
        """Add the next chunk."""
        self.count += 1
        self._kind = None
        head = {**chunk}
        for choice in head.pop("choices", None) or ():
            index = choice.get("index") or 0
            (self._choices.get(index) or self._choice(index)).add(choice)
            self._uncounted = True
        # Nearly all chunks of a stream have equal heads: comparing is cheaper than merging.
        last = self._head
        if head != last:
            self._head = head
            self._note(head, last or _NOTHING)
            if isinstance(head.get("usage"), dict):
                self._uncounted = False

    def add_run(self, run: Run) -> None:
        """Add all chunks of `run`."""
        if run.kind is not self._kind:
            kind = run.kind
            # A chunk with an empty delta brings in what all chunks of the run share.
            self.add({**kind.head, "choices": [{**kind.choice, "delta": {}}]})
            self.count -= 1
            choice = self._choice(kind.choice["index"])
            if any(run.texts):
                choice.reopen()
                self._kind = kind
            self._texts = choice.delta.setdefault(kind.name, [])
        self._texts += run.texts
        self._uncounted = True
        self.count += len(run.texts)

    def merge(self, later: ChunkSum) -> None:
        """Append the chunks of `later` to this sum."""
        self.count += later.count
        if later.usage or later._choices:
            self._uncounted = later._uncounted
        self._note({k: v for k, v in later._top.items() if k not in later._facts})
        for key, values in later._facts.items():
            for value in values:
                self._note_fact(key, value)
        self._head = self._kind = None
        for index, choice in later._choices.items():
            self._choice(index).merge(choice)

    def _note(self, head: Mapping[str, Any], last: Mapping[str, Any] = _NOTHING) -> None:
        """Merge `head`. What it has in common with `last`, the head before, is merged already."""
        top, facts = self._top, self._facts
        for key, value in head.items():
            if last.get(key) == value or value is None or value == "":
                continue
            if key in _FIRST and top.get(key):
                continue
            if key == "usage":
                if not isinstance(value, dict):
                    continue  # not a usage: the tokens count as not counted
                # A later usage may lack details that an earlier one had.
                value = merged(top.get(key) or {}, value)
            elif type(value) not in _PLAIN or (facts and key in facts):
                self._note_fact(key, value)
                continue
            top[key] = value

    def _note_fact(self, key: str, value: Any) -> None:
        """Keep a list or an object beside the choices: each may have something new."""
        known = self._facts.get(key)
        if known is None:
            known = self._facts[key] = [before] if (before := self._top.get(key)) else []
        if not known or known[-1] != value:
            known.append(value)
        self._top[key] = value

    def _summed_top(self) -> dict[str, Any]:
        return {**self._top, **{key: sum_facts(values) for key, values in self._facts.items()}}

    @property
    def usage(self) -> dict[str, Any] | None:
        """The provider's count of tokens so far, or None if there is none."""
        return totalled(self._top.get("usage"))

    @property
    def counted(self) -> bool:
        """Whether the provider's usage covers every choice that has arrived."""
        return self.usage is not None and not self._uncounted

    @property
    def service_tier(self) -> str | None:
        """The service tier that the provider named last, or None."""
        return self._top.get("service_tier")

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended, or None before its end."""
        return self._choices[min(self._choices)].finish_reason if self._choices else None

    @property
    def finish_reasons(self) -> list[str | None]:
        """Why each choice seen so far ended, by index."""
        return [self._choices[index].finish_reason for index in sorted(self._choices)]

    @property
    def ends(self) -> list[End]:
        """Whether each choice seen so far has ended, by index."""
        return [self._choices[index].end for index in sorted(self._choices)]

    @property
    def is_empty(self) -> bool:
        """Whether no choice has anything but a role."""
        return all(choice.is_empty for choice in self._choices.values())

    def pieces(self, field: str, start: int) -> Values:
        """Return what a field of the delta has gained in the first choice, from piece `start` on.

        The cost does not grow with the pieces before. Any thread may call this.
        """
        choice = self._choices.get(0)
        return choice.delta.get(field, [])[start:] if choice is not None else []

    def completion(self) -> Completion:
        """Return the sum in OpenAI's `chat.completion` shape.

        A finish_reason or a usage that never arrived is None. `usage_source` is "provider" if the
        provider counted the tokens, "missing" if there is no count, and "partial" if a request was
        interrupted before the provider had counted all of it.
        """
        head = {"id": None, "object": "chat.completion", "created": None, "model": None}
        usage = self.usage
        return Completion(
            {**head, **{k: v for k, v in self._summed_top().items() if k not in _DROPPED}},
            object="chat.completion",
            choices=[self._choices[index].completed(index) for index in sorted(self._choices)],
            usage=usage,
            usage_source=_source(usage),
        )

    def chunk(self) -> Chunk:
        """Return the sum as one chunk, which can be added to other sums."""
        choices = [self._choices[index].piece(index) for index in sorted(self._choices)]
        return Chunk({**self._summed_top(), "choices": choices})

    def _choice(self, index: int) -> ChoiceSum:
        choice = self._choices.get(index)
        if choice is None:
            if not isinstance(index, int):
                raise TypeError(f"the index of a choice must be a number, got {index!r:.80}")
            choice = self._choices[index] = ChoiceSum()
        return choice


def _source(usage: Any) -> str:
    if usage is None:
        return "missing"
    broken = isinstance(usage, Mapping) and usage.get("interrupted_requests")
    return "partial" if broken else "provider"


_PLAIN = frozenset({str, int, float, bool})  # the rest are lists and objects
# The first value that is not empty counts: Azure's first chunk has blank ones. For `model` the last
# value counts: a router names the real model only after it has chosen.
_FIRST = frozenset({"id", "created", "object"})
# `obfuscation` is random padding, which hides the length of the text from eavesdroppers.
_DROPPED = frozenset({"obfuscation", "choices"})


def merge_chunks(pieces: Sequence[Piece]) -> Piece:
    """Return neighbouring chunks, or runs of them, as one chunk with the same sum.

    Runs of one kind become a run of one chunk.
    """
    if len(pieces) == 1 and not isinstance(pieces[0], Run):
        return pieces[0]
    runs = [piece for piece in pieces if isinstance(piece, Run)]
    if len(runs) == len(pieces) and (run := joined(runs)):
        return run.merged()
    total = ChunkSum()
    for piece in pieces:
        if isinstance(piece, Run):
            total.add_run(piece)
        else:
            total.add(piece)
    return total.chunk()


def stream_chunk_builder(
    chunks: Iterable[Mapping[str, Any]], messages: Any = None, **_: Any
) -> Completion | None:
    """Return the completion that `chunks` add up to, or None if there are none.

    The chunks must be in order; plain dicts will do. If the stream was restarted, its newest
    attempt counts. `messages` and litellm's other arguments are accepted and ignored: this function
    does not estimate tokens.
    """
    sums: dict[int, ChunkSum] = {}
    for chunk in chunks:
        attempt = chunk.attempt if isinstance(chunk, Chunk) else 1
        sums.setdefault(attempt, ChunkSum()).add(chunk)
    return sums[max(sums)].completion() if sums else None


def completion_to_chunk(completion: Mapping[str, Any]) -> Chunk:
    """Return one chunk whose sum is `completion`."""
    choices = []
    for choice in completion.get("choices") or ():
        fields = {key: value for key, value in choice.items() if key != "message"}
        choices.append({**fields, "delta": message_to_delta(choice.get("message") or {})})
    dropped = ("choices", "usage_source")
    rest = {key: value for key, value in completion.items() if key not in dropped}
    return Chunk({**rest, "object": "chat.completion.chunk", "choices": choices})


def message_to_delta(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the delta of one chunk that has all of `message`."""
    delta = dict(message)
    for name in ("tool_calls", "thinking_blocks"):
        if delta.get(name):
            delta[name] = [{"index": index, **item} for index, item in enumerate(delta[name])]
    return delta
