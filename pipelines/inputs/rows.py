"""From a line of input to a prompt, or to a dead letter that says file, line and reason. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import orjson

from pipelines.inputs import columns
from pipelines.inputs.columns import UnusedColumn
from transforms.elements import DeadLetter, Prompt
from transforms.journal import request_hash


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


class Row(Protocol):
    """The text of one row, what it is called if it does not say, and where a reader finds it."""

    @property
    def text(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def place(self) -> str: ...
    @property
    def key(self) -> str:
        """Its place as elements carry it, to be sorted by; "" where there is no order."""


class RowError(ValueError):
    """A row that cannot be asked; the message says why."""


class Reading(NamedTuple):
    """What came of a line, and the columns that are not sent but look like parameters."""

    row: Prompt | DeadLetter
    unused: tuple[UnusedColumn, ...] = ()


def parse(line: Row) -> Prompt | DeadLetter:
    """Return what `read` finds in `line`: a prompt, or a dead letter that says why not."""
    return read(line).row


def read(line: Row, by_content: bool = False) -> Reading:
    """Return the prompt in `line`: a JSON object with `prompt` or `messages`, or a batch request.

    `id` or `custom_id` names it, else its place does. A line of `failed-*.jsonl` is asked again
    as the row that it holds. With `by_content` the prompt of a row without an id of its own has a
    `key`, the same for all that ask the same.
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
    """Return what two rows have in common that ask the same, whatever the job's own parameters."""
    return "=" + request_hash("", None, {}, request)


def unusable(id: str, line: Row, error_type: str, reason: str) -> DeadLetter:
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
    body = row.get("body")
    given = body if isinstance(body, dict) else row
    if refused := columns.refused(given):
        hint = "" if given is body else "; rename a column that is not meant as that"
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
