"""From a line of input to a prompt, or to a dead letter that says file, line and reason. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from transforms.elements import DeadLetter, Prompt

# What a row may bring for its own request, besides `prompt` or `messages`.
_ROW_PARAMS = ("max_tokens", "temperature", "stop", "seed", "top_p", "response_format", "tools")


class Line(NamedTuple):
    """One line of one file. `name` is the file's, short enough to make an id of.

    A row of a table has no `number`: it is 0, and `name` is the row's.
    """

    path: str
    name: str
    number: int
    text: str

    @property
    def place(self) -> str:
        """Where a reader finds it."""
        return f"{self.path}, " + (f"line {self.number}" if self.number else f"row {self.name}")

    @property
    def id(self) -> str:
        """What the row is called if it does not say so itself."""
        return f"{self.name}:{self.number}" if self.number else self.name

    @property
    def key(self) -> str:
        """Its place as elements carry it."""
        return f"{self.path}:{self.number}"


class RowError(ValueError):
    """A row that cannot be asked; the message says why."""


def parse(line: Line) -> Prompt | DeadLetter:
    """Return the prompt in `line`: a JSON object with `prompt` or `messages`, or a batch request.

    `id` or `custom_id` names it, else file and line do. A line of `failed-*.jsonl` is asked again
    as the row that it holds.
    """
    id = line.id
    try:
        row = _object(line.text)
        id = _id(row) or id
        row = _failed_row(row)
        return Prompt(id, orjson.dumps(_request(row)).decode(), _dumps(row), line.key)
    except RowError as error:
        return unusable(id, line, type(error).__name__, str(error))


def unusable(id: str, line: Line, error_type: str, reason: str) -> DeadLetter:
    """Return the dead letter of a row that is not asked."""
    return DeadLetter(
        id=id,
        request="",
        error_type=error_type,
        message=f"{line.place}: {reason}",
        status_code=None,
        retryable=False,
        attempts=0,
        partial_text="",
        input=_row_in(line.text),
        place=line.key,
    )


def _object(text: str) -> dict[str, Any]:
    try:
        row = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RowError(f"not JSON ({error})") from None
    if not isinstance(row, dict):
        raise RowError(f"a row must be a JSON object, not {_kind(row)}")
    return row


def _id(row: Mapping[str, Any]) -> str | None:
    for name in ("id", "custom_id"):
        value = row.get(name)
        if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
            return str(value)
    return None


def _failed_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row that a line of `failed-*.jsonl` stands for, or `row` itself."""
    if not _is_failed(row):
        return row
    held = row["input"]
    if not isinstance(held, dict):
        raise RowError(f"the failed row was no JSON object: {held!r:.80}")
    return held


def _request(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the chat body that `row` asks for."""
    if isinstance(row.get("body"), dict):  # OpenAI's batch files; the job chooses the model
        return {name: value for name, value in row["body"].items() if name != "model"}
    params = {name: row[name] for name in _ROW_PARAMS if row.get(name) is not None}
    if row.get("messages") is not None:
        return {"messages": row["messages"], **params}
    prompt = row.get("prompt")
    if isinstance(prompt, str) and prompt.strip():
        return {"messages": [{"role": "user", "content": prompt}], **params}
    raise RowError(_no_prompt(row))


def _no_prompt(row: Mapping[str, Any]) -> str:
    if "prompt" not in row:
        names = ", ".join(row) or "nothing"
        return f"no 'prompt' and no 'messages' in the row; it has {names}"
    prompt = row["prompt"]
    return "'prompt' is empty" if isinstance(prompt, str) else f"'prompt' is {_kind(prompt)}"


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return names.get(type(value), "null" if value is None else "a number")


def _is_failed(row: Any) -> bool:
    """Return whether `row` is a line of `failed-*.jsonl`."""
    known = isinstance(row, dict) and {"error_type", "message", "input"} <= row.keys()
    return known and row["error_type"] is not None


def _row_in(text: str) -> str:
    """Return the JSON of the row that a line stands for, as it first came."""
    try:
        row = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _dumps(text)
    return _dumps(row["input"]) if _is_failed(row) else text


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()
