"""Parses one row of input into a prompt, or into a dead letter with file, line and reason. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import orjson

from pipelines.inputs import columns
from pipelines.inputs.columns import UnusedColumn
from transforms.elements import DeadLetter, Prompt
from transforms.journal import request_hash


class Line(NamedTuple):
    """One row of a file or of a table, as JSON text.

    For a file, `path` is its path, `name` is the end of the path, which is short enough for an
    id, and `number` is the number of the row from 1. For a table, `number` is 0 and `name` is the
    name of the row.
    """

    path: str
    name: str
    number: int
    text: str

    @property
    def location(self) -> str:
        """Where a person finds the row: file and line, or table and row."""
        return f"{self.path}, " + (f"line {self.number}" if self.number else f"row {self.name}")

    @property
    def id(self) -> str:
        """The id of the row if it has no id column."""
        return f"{self.name}:{self.number}" if self.number else self.name

    @property
    def key(self) -> str:
        """Path and number, which become the `place` of the row's elements."""
        return f"{self.path}:{self.number}"


class Row(Protocol):
    """What `read` needs of a row: its text, a default id, and its location for messages."""

    @property
    def text(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def location(self) -> str: ...
    @property
    def key(self) -> str:
        """The `place` of the row's elements, to sort by; "" for rows without an order."""


class RowError(ValueError):
    """A row that cannot become a request; the message says why."""


class Reading(NamedTuple):
    """A parsed row, and its columns that are not sent although they look like parameters."""

    row: Prompt | DeadLetter
    unused: tuple[UnusedColumn, ...] = ()


def parse(line: Row) -> Prompt | DeadLetter:
    """Return the prompt in `line`, or a dead letter that says why there is none."""
    return read(line).row


def read(line: Row, by_content: bool = False) -> Reading:
    """Return the prompt in `line`: a JSON object with `prompt` or `messages`, or a batch request.

    The column `id` or `custom_id` gives the prompt its id; without one, the file and the line do.
    A line of `failed-*.jsonl` is parsed as the row that it contains. With `by_content` a prompt
    without an id has a `key`, which is equal for rows with equal requests.
    """
    id = line.id
    try:
        row = _object(line.text)
        id = _id(row) or id
        row = _failed_row(row)
        request = _request(row)
    except RowError as error:
        return Reading(unusable(id, line, type(error).__name__, str(error)))
    key = _content(request) if by_content and _id(row) is None else None
    prompt = Prompt(id, _dumps(request), _dumps(row), line.key, key)
    return Reading(prompt, tuple(columns.unused(row)))


def _content(request: Mapping[str, Any]) -> str:
    """Return a digest of the row's own request, without the parameters of the job."""
    return "=" + request_hash("", None, {}, request)


def unusable(id: str, line: Row, error_type: str, reason: str) -> DeadLetter:
    """Return the dead letter of a row that is not sent."""
    return DeadLetter(
        id=id,
        request="",
        error_type=error_type,
        message=f"{line.location}: {reason}",
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
        raise RowError(f"a row must be a JSON object, got {_kind(row)}")
    return row


def _id(row: Mapping[str, Any]) -> str | None:
    for name in ("id", "custom_id"):
        value = row.get(name)
        if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
            return str(value)
    return None


def _failed_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return the original row if `row` is a line of `failed-*.jsonl`, else `row` itself."""
    if not _is_failed(row):
        return row
    original = row["input"]
    if not isinstance(original, dict):
        raise RowError(f"'input' of a failed row must be a JSON object, got {original!r:.80}")
    return original


def _request(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of the chat request in `row`."""
    body = row.get("body")
    given = body if isinstance(body, dict) else row
    if refused := columns.refused(given):
        hint = "" if given is body else "; rename a column that is not a parameter"
        raise RowError(f"a row may not set {', '.join(refused)}: only the job may{hint}")
    if isinstance(body, dict):  # OpenAI's batch files; the job chooses the model
        return {k: v for k, v in body.items() if k != "model" and v is not None}
    params = columns.parameters(row)
    if row.get("messages") is not None:
        return {"messages": row["messages"], **params}
    prompt = row.get("prompt")
    if isinstance(prompt, str) and prompt.strip():
        return {"messages": [{"role": "user", "content": prompt}], **params}
    raise RowError(_no_prompt(row))


def _no_prompt(row: Mapping[str, Any]) -> str:
    if "prompt" not in row:
        names = ", ".join(row) or "nothing"
        return f"a row must have 'prompt' or 'messages', got {names}"
    prompt = row["prompt"]
    got = "an empty string" if isinstance(prompt, str) else _kind(prompt)
    return f"'prompt' must be a text, got {got}"


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return names.get(type(value), "null" if value is None else "a number")


def _is_failed(row: Any) -> bool:
    """Return whether `row` is a line of `failed-*.jsonl`."""
    known = isinstance(row, dict) and {"error_type", "message", "input"} <= row.keys()
    return known and row["error_type"] is not None


def _row_in(text: str) -> str:
    """Return the JSON of the original row, also for a line of `failed-*.jsonl`."""
    try:
        row = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _dumps(text)
    return _dumps(row["input"]) if _is_failed(row) else text


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()
