"""Add up one choice of a completion, field by field. Pure.

`ChoiceSum` only collects values in lists. The tables at the end say how the list of each field is
summed; a field that they do not name is summed by the shape of its values
(`ritellm.chunks.unknown`).
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

from ritellm.chunks.tool_calls import (
    Values,
    sum_ended_tool_calls,
    sum_thinking_blocks,
    sum_tool_calls,
)
from ritellm.chunks.unknown import LATEST, sum_facts, sum_unknown, sum_unknown_pieces

# Texts that name no finish_reason: the last one is the default value of Google's enum.
_BLANK = frozenset({"", "null", "FINISH_REASON_UNSPECIFIED"})
# The fields of a delta that hold what the model has written.
WRITTEN = ("content", "reasoning_content", "tool_calls", "refusal", "function_call", "audio")


class End(Enum):
    """Whether a choice has ended, by its finish_reasons."""

    OPEN = "no finish_reason has come, or more text came after it"
    DOUBTFUL = "a finish_reason came, but more text had come after an earlier one"
    CLEAR = "a finish_reason came, and nothing after it"


class ChoiceSum:
    """The values of one choice, by field and in order, not yet interpreted."""

    __slots__ = ("_ended", "_reopened", "delta", "fields")

    def __init__(self) -> None:
        self.delta: dict[str, Values] = {}
        self.fields: dict[str, Values] = {}
        self._ended = False  # a finish_reason has come, and no text after it
        self._reopened = False  # text has come after a finish_reason

    def add(self, choice: Mapping[str, Any]) -> None:
        """Append the values of `choice`, a choice of the next chunk."""
        if self._ended and has_text(choice):
            self.reopen()
        for key, value in choice.items():
            if value is None or key == "index":
                continue
            if key != "delta":
                if key == "finish_reason":
                    if is_blank(value):
                        continue
                    self._ended = True
                _collect(self.fields, key, value)
                continue
            lists = self.delta
            for name, part in value.items():
                if part is not None:
                    # `_collect`, without a call for each piece of text.
                    try:
                        lists[name].append(part)
                    except KeyError:
                        lists[name] = [part]

    def merge(self, later: ChoiceSum) -> None:
        """Append the values of `later`."""
        if self._ended and any(any(later.delta.get(name, ())) for name in WRITTEN):
            self.reopen()
        self._ended = self._ended or later._ended
        self._reopened = self._reopened or later._reopened
        for mine, theirs in ((self.delta, later.delta), (self.fields, later.fields)):
            for key, values in theirs.items():
                mine.setdefault(key, []).extend(values)

    def reopen(self) -> None:
        """Note that more text has come: after a finish_reason, that one was not the end."""
        if self._ended:
            self._ended, self._reopened = False, True

    @property
    def end(self) -> End:
        """Whether the choice has ended, by its finish_reasons."""
        if not self._ended:
            return End.OPEN
        return End.DOUBTFUL if self._reopened else End.CLEAR

    @property
    def is_empty(self) -> bool:
        """Whether the choice has nothing but a role."""
        values = (each for name, each in self.delta.items() if name != "role")
        return not self.fields and not any(value for each in values for value in each)

    @property
    def finish_reason(self) -> str | None:
        """The last finish_reason, or None."""
        reasons = self.fields.get("finish_reason")
        return _sum_reasons(reasons) if reasons else None

    def piece(self, index: int) -> dict[str, Any]:
        """Return the sum as the choice of a chunk."""
        delta: dict[str, Any] = {"content": None}
        for name, values in self.delta.items():
            summed = _DELTA_SUMS.get(name, sum_unknown_pieces)
            delta[name] = _sum_as(_extend if name in _FRAGMENTED else summed, values)
        fields = {k: _sum_as(_FIELD_SUMS.get(k, _piece), v) for k, v in self.fields.items()}
        return {"index": index, "delta": delta, "finish_reason": None, **fields}

    def completed(self, index: int) -> dict[str, Any]:
        """Return the sum as the choice of a completion."""
        message: dict[str, Any] = {"role": "assistant", "content": None}
        ended = self.finish_reason is not None
        for name, values in self.delta.items():
            summed = sum_ended_tool_calls if ended and name == "tool_calls" else _sum_of(name)
            message[name] = _sum_as(summed, values)
        fields = {k: _sum_as(_FIELD_SUMS.get(k, _whole), v) for k, v in self.fields.items()}
        head = {"index": index, "message": message, "finish_reason": None, "logprobs": None}
        return {**head, **fields, "index": index, "message": message}


def is_blank(reason: Any) -> bool:
    """Return whether a finish_reason names no reason."""
    return reason.strip() in _BLANK if isinstance(reason, str) else not reason


def has_text(choice: Mapping[str, Any]) -> bool:
    """Return whether a choice of a chunk adds something that the model has written."""
    delta = choice.get("delta") or {}
    return any(map(delta.get, WRITTEN))


def _collect(lists: dict[str, Values], key: str, value: Any) -> None:
    # Nearly always the list exists; `setdefault` would build an empty one for each value.
    try:
        lists[key].append(value)
    except KeyError:
        lists[key] = [value]


def _sum_as(summed: Callable[[Values], Any], values: Values) -> Any:
    """Return the sum of a field; values of an unexpected type are summed as an unknown field."""
    # A server may send a known field in a shape of its own. That must not fail the completion.
    try:
        return summed(values)
    except Exception:
        return sum_unknown(values)


def _join(values: Values) -> Any:
    """Return the text joined; content in parts (lists) becomes one list."""
    try:
        return "".join(values)
    except TypeError:
        pass
    return _extend([value if isinstance(value, list) else [value] for value in values])


def _last(values: Values) -> Any:
    return values[-1]


def _whole(values: Values) -> Any:
    """Return the sum of an unknown field beside the delta."""
    lists = _lists(values)
    return sum_unknown(lists) if lists else sum_facts(values)


def _piece(values: Values) -> Any:
    """Return the same, in which blocks stay in pieces."""
    lists = _lists(values)
    return sum_unknown_pieces(lists) if lists else sum_facts(values)


def _lists(values: Values) -> Values:
    return [value for value in values if isinstance(value, list)]


def _sum_reasons(values: Values) -> Any:
    """Return the last finish_reason; some servers send "stop" after "tool_calls"."""
    return "tool_calls" if values[-1] == "stop" and "tool_calls" in values else values[-1]


def _extend(values: Values) -> list[Any]:
    return [item for value in values for item in value]


def _first(values: Values) -> Any:
    return next((value for value in values if value), values[0])


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
    return _DELTA_SUMS.get(name, sum_unknown)


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
    **dict.fromkeys(LATEST, _last),
    "finish_reason": _sum_reasons,
    "logprobs": _sum_logprobs,
    "content_filter_results": sum_unknown,
    "token_ids": sum_unknown,
}
