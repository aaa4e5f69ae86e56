"""Add the chunks of a stream up to one completion. Pure.

The problem: a completion arrives in thousands of chunks. Parts of it are summed on different
workers, and each sum must be the same as if one process had added all chunks in order. The cost of
a chunk must not grow with the length of the completion.

The idea: `ChunkSum` does not interpret what it adds. For each field of each choice it appends the
values to a list. Only `completion()` and `chunk()` decide what a list means: text is joined, tool
calls are put together from fragments, for other fields the last value counts.

The invariants:
- A new sum is empty, and merging is associative: (a + b) + c equals a + (b + c). Order matters.
- `a.chunk()`, added to another sum, gives the same completion as the chunks that made `a`.
- A field that this module does not know survives, summed by its type.
- Adding a run of chunks (`ritellm.chunks.run`) equals adding each of them.

`SequencedSum` (`ritellm.chunks.sequenced`) numbers the chunks, and so tolerates any order and any
repetition.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ritellm.chunks.run import Kind, Piece, Run, joined
from ritellm.chunks.tool_calls import Values, sum_thinking_blocks, sum_tool_calls
from ritellm.chunks.usage import merged
from ritellm.types import Chunk, Completion


class ChunkSum:
    """The sum of neighbouring chunks of one completion, in order."""

    __slots__ = ("_choices", "_head", "_kind", "_texts", "_top", "_uncounted", "count")

    def __init__(self) -> None:
        # The sum itself.
        self.count = 0  # chunks added
        self._top: dict[str, Any] = {}  # the fields beside the choices
        self._choices: dict[int, _ChoiceSum] = {}
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
            self._choice(choice.get("index") or 0).add(choice)
            self._uncounted = True
        # Nearly all chunks of a stream have equal heads: comparing is cheaper than merging.
        if head != self._head:
            self._head = head
            self._note(head)
            if head.get("usage"):
                self._uncounted = False

    def add_run(self, run: Run) -> None:
        """Add all chunks of `run`."""
        if run.kind is not self._kind:
            kind = run.kind
            # A chunk with an empty delta brings in what all chunks of the run share.
            self.add({**kind.head, "choices": [{**kind.choice, "delta": {}}]})
            self.count -= 1
            self._kind = kind
            self._texts = self._choice(kind.choice["index"]).delta.setdefault(kind.name, [])
        self._texts += run.texts
        self._uncounted = True
        self.count += len(run.texts)

    def merge(self, later: ChunkSum) -> None:
        """Append the chunks of `later` to this sum."""
        self.count += later.count
        if later.usage or later._choices:
            self._uncounted = later._uncounted
        self._note(later._top)
        self._head = self._kind = None
        for index, choice in later._choices.items():
            self._choice(index).merge(choice)

    def _note(self, head: Mapping[str, Any]) -> None:
        top = self._top
        for key, value in head.items():
            if value is None or value == "" or (key in _FIRST and top.get(key)):
                continue
            if key == "usage" and isinstance(known := top.get(key), Mapping):
                # A later usage may lack details that an earlier one had.
                value = merged(known, value) if isinstance(value, Mapping) else known
            top[key] = value

    @property
    def usage(self) -> dict[str, Any] | None:
        """The provider's count of tokens so far, or None if there is none."""
        return self._top.get("usage")

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

    def completion(self) -> Completion:
        """Return the sum in OpenAI's `chat.completion` shape.

        A finish_reason or a usage that never arrived is None. `usage_source` is "provider" if the
        provider counted the tokens, "missing" if there is no count, and "partial" if a request was
        interrupted before the provider had counted all of it.
        """
        head = {"id": None, "object": "chat.completion", "created": None, "model": None}
        usage = self.usage
        return Completion(
            {**head, **{k: v for k, v in self._top.items() if k not in _DROPPED}},
            object="chat.completion",
            choices=[self._choices[index].completed(index) for index in sorted(self._choices)],
            usage=usage,
            usage_source=_source(usage),
        )

    def chunk(self) -> Chunk:
        """Return the sum as one chunk, which can be added to other sums."""
        choices = [self._choices[index].piece(index) for index in sorted(self._choices)]
        return Chunk({**self._top, "choices": choices})

    def _choice(self, index: int) -> _ChoiceSum:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _ChoiceSum()
        return choice


def _source(usage: Any) -> str:
    if usage is None:
        return "missing"
    broken = isinstance(usage, Mapping) and usage.get("interrupted_requests")
    return "partial" if broken else "provider"


# The first value that is not empty counts: Azure's first chunk has blank ones. For `model` the last
# value counts: a router names the real model only after it has chosen.
_FIRST = frozenset({"id", "created", "object"})
# `obfuscation` is random padding, which hides the length of the text from eavesdroppers.
_DROPPED = frozenset({"obfuscation", "choices"})


class _ChoiceSum:
    """The values of one choice, by field and in order, not yet interpreted."""

    __slots__ = ("delta", "fields")

    def __init__(self) -> None:
        self.delta: dict[str, Values] = {}
        self.fields: dict[str, Values] = {}

    def add(self, choice: Mapping[str, Any]) -> None:
        for key, value in choice.items():
            if value is None or key == "index":
                continue
            if key != "delta":
                _collect(self.fields, key, value)
                continue
            for name, part in value.items():
                if part is not None:
                    _collect(self.delta, name, part)

    def merge(self, later: _ChoiceSum) -> None:
        for mine, theirs in ((self.delta, later.delta), (self.fields, later.fields)):
            for key, values in theirs.items():
                mine.setdefault(key, []).extend(values)

    @property
    def finish_reason(self) -> str | None:
        reasons = self.fields.get("finish_reason")
        return reasons[-1] if reasons else None

    def piece(self, index: int) -> dict[str, Any]:
        delta: dict[str, Any] = {"content": None}
        for name, values in self.delta.items():
            delta[name] = _sum_as(_extend if name in _FRAGMENTED else _sum_of(name), values)
        fields = {k: _sum_as(_FIELD_SUMS.get(k, _last), v) for k, v in self.fields.items()}
        return {"index": index, "delta": delta, "finish_reason": None, **fields}

    def completed(self, index: int) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": None}
        for name, values in self.delta.items():
            message[name] = _sum_as(_sum_of(name), values)
        fields = {k: _sum_as(_FIELD_SUMS.get(k, _last), v) for k, v in self.fields.items()}
        head = {"index": index, "message": message, "finish_reason": None, "logprobs": None}
        return {**head, **fields}


def _collect(lists: dict[str, Values], key: str, value: Any) -> None:
    try:
        lists[key].append(value)
    except KeyError:
        lists[key] = [value]


def _sum_as(summed: Callable[[Values], Any], values: Values) -> Any:
    """Return the sum of a field; values of an unexpected type are summed as an unknown field."""
    try:
        return summed(values)
    except (AttributeError, TypeError, ValueError):
        return _sum_unknown(values)


def _join(values: Values) -> Any:
    """Return the text joined; content in parts (lists) becomes one list."""
    if all(isinstance(value, str) for value in values):
        return "".join(values)
    return _extend([value if isinstance(value, list) else [value] for value in values])


def _last(values: Values) -> Any:
    return values[-1]


def _extend(values: Values) -> list[Any]:
    return [item for value in values for item in value]


def _first(values: Values) -> Any:
    return next((value for value in values if value), values[0])


def _sum_unknown(values: Values) -> Any:
    """Return the sum of an unknown field by the type of its values."""
    if all(isinstance(value, str) for value in values):
        return "".join(values)
    if all(isinstance(value, list) for value in values):
        return _extend(values)
    if all(isinstance(value, dict) for value in values):
        return {key: item for value in values for key, item in value.items()}
    return values[-1]


def _sum_logprobs(values: Values) -> dict[str, Any]:
    summed: dict[str, Any] = {"content": None, "refusal": None}
    for value in values:
        for key, items in value.items():
            known = summed.get(key)
            if isinstance(items, list) and isinstance(known, list):
                known.extend(items)
            elif items is not None:
                summed[key] = list(items) if isinstance(items, list) else items
    return summed


def _sum_function_call(values: Values) -> dict[str, Any]:
    return {
        "name": _first([value.get("name") or "" for value in values]),
        "arguments": "".join(value.get("arguments") or "" for value in values),
    }


def _sum_audio(values: Values) -> dict[str, Any]:
    """Return the audio with its data and its transcript joined."""
    summed = {k: v for value in values for k, v in value.items() if v is not None}
    for key, join in (("data", _join_base64), ("transcript", "".join)):
        if key in summed:
            summed[key] = join([value[key] for value in values if value.get(key)])
    return summed


def _join_base64(pieces: Sequence[str]) -> str:
    """Return pieces of base64 as one; each piece may end in padding of its own."""
    return b64encode(b"".join(b64decode(piece) for piece in pieces)).decode()


# Their pieces carry an index, so `chunk()` keeps them as pieces instead of joining them.
_FRAGMENTED = frozenset({"tool_calls", "thinking_blocks"})


def _sum_of(name: str) -> Callable[[Values], Any]:
    return _DELTA_SUMS.get(name, _sum_unknown)


_DELTA_SUMS: dict[str, Callable[[Values], Any]] = {
    "role": _first,
    "content": _join,
    "refusal": _join,
    "reasoning_content": _join,
    "tool_calls": sum_tool_calls,
    "function_call": _sum_function_call,
    "audio": _sum_audio,
    "thinking_blocks": sum_thinking_blocks,
}

_FIELD_SUMS: dict[str, Callable[[Values], Any]] = {
    "logprobs": _sum_logprobs,
    "content_filter_results": _sum_unknown,
    "token_ids": _sum_unknown,
}


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
        message = dict(choice.get("message") or {})
        for name in ("tool_calls", "thinking_blocks"):
            if message.get(name):
                message[name] = [
                    {"index": index, **item} for index, item in enumerate(message[name])
                ]
        choices.append({**fields, "delta": message})
    dropped = ("choices", "usage_source")
    rest = {key: value for key, value in completion.items() if key not in dropped}
    return Chunk({**rest, "object": "chat.completion.chunk", "choices": choices})
