"""Makes the line of a typical row from its journal entry at once. Pure.

The problem: an entry becomes a `Completion`, which becomes a line. That parses the answer three
times and writes it twice, and each of the columns passes through six functions.

The idea: parse the entry and the answer once, and write the line once.

What holds: the line is, to the byte, that of `recorded.entries.from_value` and
`serialization.to_bytes`. None is returned for each entry of which this is not certain: other
columns, other types, a checked answer, tool calls, deep or odd JSON. The caller takes the long way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from transforms.columns import fits
from transforms.elements import Completion

_NAMES = Completion._fields
_UNNAMED = tuple(name for name in _NAMES if name != "submission")
_LARGE = 1 << 63
# The JSON library writes at most 254 levels. A text with fewer brackets has fewer levels.
_FEW_LEVELS = 100


class QuickLines:
    """Makes the lines of rows, whose `input` has some `columns`, None for all."""

    def __init__(self, columns: Sequence[str] | None) -> None:
        self._columns = columns
        # Types of the columns of entries that fit, and where integers are. Most entries of a job
        # have the same ones.
        self._fitting: dict[tuple[type, ...], tuple[int, ...]] = {}

    def line(self, value: bytes, id: str, input: Mapping[str, Any]) -> bytes | None:
        """Return the line of the row `id` with the entry `value`; None for the long way."""
        try:
            return self._line(value, id, input)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    def _line(self, value: bytes, id: str, input: Mapping[str, Any]) -> bytes | None:
        row = orjson.loads(value)
        if not self._fits(row):
            return None
        text = row["completion"]
        if text.startswith('{"answer":') or not is_shallow(text):
            return None
        completion = orjson.loads(text)
        if not _is_plain(completion):
            return None
        line = _columns_of(row, id, completion)
        names = self._columns
        line["input"] = (
            input if names is None else {name: input[name] for name in names if name in input}
        )
        return orjson.dumps(line)

    def _fits(self, row: Any) -> bool:
        """Return whether `row` has the columns of a completion with their types."""
        names = tuple(row)
        if names not in (_UNNAMED, _NAMES):
            return False
        values = tuple(row.values())
        types = tuple(map(type, values))
        integers = self._fitting.get(types)
        if integers is None:
            if not fits(Completion(**{**row, "id": "", "input": None, "place": None})):
                return False
            integers = tuple(at for at, kind in enumerate(types) if kind is int)
            if len(self._fitting) < 1_000:
                self._fitting[types] = integers
        return not integers or max([values[at] for at in integers]) < _LARGE


def is_shallow(text: str) -> bool:
    """Return whether JSON has few levels, so that it can be written again."""
    return text.count("[") + text.count("{") < _FEW_LEVELS


def _is_plain(completion: Any) -> bool:
    """Return whether a chunk can be made of `completion`, without making it."""
    if type(completion) is not dict:
        return False
    choices = completion.get("choices")
    if type(choices) is not list:
        return False
    for choice in choices:
        message = choice.get("message") if type(choice) is dict else None
        if type(message) is not dict or message.get("tool_calls") or message.get("thinking_blocks"):
            return False
    return True


def _columns_of(row: Mapping[str, Any], id: str, completion: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of `serialization.completion_row`, without the input."""
    line: dict[str, Any] = {"id": id}
    if submission := row.get("submission"):
        line["submission"] = submission
    finish_reason = row["finish_reason"]
    line["text"] = row["text"]
    line["finish_reason"] = finish_reason
    line["truncated"] = finish_reason == "length"
    line["shared"] = row["shared"]
    line["usage"] = completion.get("usage")
    line["cost_usd"] = row["cost_usd"]
    line["wasted_tokens"] = row["wasted_tokens"]
    line["wasted_cost_usd"] = row["wasted_cost_usd"]
    line["waste_estimated"] = row["waste_estimated"]
    line["timing"] = {
        "ttft": row["ttft"],
        "inter_chunk_p50": row["inter_chunk_p50"],
        "inter_chunk_p95": row["inter_chunk_p95"],
        "seconds": row["seconds"],
        "ended_at": row["ended_at"],
    }
    line["attempts"] = row["attempts"]
    line["error_type"] = line["message"] = line["status_code"] = line["retryable"] = None
    line["completion"] = completion
    return line
