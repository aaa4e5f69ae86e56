"""Parses one row of input into a prompt, or into a dead letter with file, line and reason.

`transforms.prompts` makes the messages. Here is what a row of the batch program has in addition:
the request in `body`, parameters in columns, and rows of `failed-*.jsonl`.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import orjson

from pipelines.inputs import columns
from pipelines.inputs.columns import UnusedColumn
from pipelines.inputs.row_form import PLAIN, RowForm
from ritellm.errors import InvalidRequestError
from transforms import exact_json
from transforms.elements import DeadLetter, Prompt
from transforms.journal import request_hash
from transforms.prompts.form import id_of, whole
from transforms.prompts.records import RowError, kind
from transforms.prompts.requests import message_list

DUPLICATE = "DuplicateIdError"
_REPEATED = (
    "the first run had another row with this id; ids must be unique: give the row an id of its own"
    " in the original input"
)
# Python's own writer of JSON writes these.
_NOT_FINITE = re.compile(r"[:,\[]\s?-?(?:NaN|Infinity)\b")
# The units of `Line.number`, as parts of a message.
LINE, ROW, _REST, _UP_TO = "line {}", "row {}", "from {} on", "{} to {}"


def rest(unit: str, last: int | None = None) -> str:
    """Return the unit of a line that stands for its row and all rows after it, up to `last`."""
    return _REST.format(unit) if last is None else _UP_TO.format(unit.replace(" ", "s ", 1), last)


class Line(NamedTuple):
    """One row of a file or of a table, as JSON text.

    For a file, `path` is its path, `name` is the end of the path, which is short enough for an
    id, and `number` is the number of the row from 1. For a table, `number` is 0 and `name` is the
    name of the row. A row with a `fault` cannot be used, for that reason. `unit` is what the number
    counts: `LINE` or `ROW`. A line of the unit `rest(unit)` stands for its row and all rows after
    it, which cannot be read; `rest(unit, last)` ends with the last row of a part of the file.
    """

    path: str
    name: str
    number: int
    text: str
    fault: str = ""
    unit: str = LINE

    @property
    def location(self) -> str:
        """Where a person finds the row: file and line or row, or table and row."""
        if not self.number:
            return f"{self.path}, row {self.name}"
        return f"{self.path}, {self.unit.format(self.number)}"

    @property
    def is_rest(self) -> bool:
        """Whether the line stands for all rows after it too."""
        return self.unit not in (LINE, ROW)

    @property
    def id(self) -> str:
        """The id of the row if it has no id column."""
        return f"{self.name}:{self.number}" if self.number else self.name

    @property
    def key(self) -> str:
        """Path and number, which become the `place` of the row's elements."""
        return f"{self.path}:{self.number}"


def to_line(path: str, name: str, number: int, data: bytes) -> Line:
    """Return the line in `data`; bytes that are not UTF-8 are its fault.

    A file that was put together from several has a byte order mark before some line.
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    return Line(path, name, number, as_text(data), encoding_fault(data))


def as_text(data: bytes) -> str:
    """Return `data` as text, with escapes for bytes that are not UTF-8."""
    return data.decode("utf-8", "backslashreplace")


def encoding_fault(data: bytes) -> str:
    """Return why `data` is not UTF-8, or ""."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        wrong = f"0x{data[error.start]:02x} at byte {error.start + 1}"
        return f"a row must be UTF-8, got {wrong}; save the data as UTF-8"
    return ""


class Row(Protocol):
    """What `read` needs of a row: its text, a default id, and its location for messages."""

    @property
    def text(self) -> str: ...
    @property
    def fault(self) -> str:
        """Why the row cannot be used, or ""."""

    @property
    def id(self) -> str: ...
    @property
    def location(self) -> str: ...
    @property
    def key(self) -> str:
        """The `place` of the row's elements, to sort by; "" for rows without an order."""


class UnreadableFile(RowError):
    """A file of which no more rows can be read; the message says why."""


class Reading(NamedTuple):
    """A parsed row, and its columns that are not sent although they look like parameters."""

    row: Prompt | DeadLetter
    unused: tuple[UnusedColumn, ...] = ()


def parse(line: Row) -> Prompt | DeadLetter:
    """Return the prompt in `line`, or a dead letter that says why there is none."""
    return read(line).row


def read(line: Row, by_content: bool = False, rows: RowForm = PLAIN) -> Reading:
    """Return the prompt in `line`, a JSON object; `rows` says where its request and its id are.

    Without an id column, `id` or `custom_id` gives the prompt its id, or else the file and the
    line do. A line of `failed-*.jsonl` is parsed as the row that it contains. With `by_content` a
    prompt without an id has a `key`, which is equal for rows with equal requests.
    """
    id = line.id
    try:
        if line.fault:
            is_rest = isinstance(line, Line) and line.is_rest
            raise (UnreadableFile if is_rest else RowError)(line.fault)
        is_large = exact_json.has_large_integer(line.text)
        row = _object(line.text, is_large)
        own_id = _id(row)
        id = own_id or id
        failed = rows.is_failed(row)
        if failed and row["error_type"] == DUPLICATE:
            return Reading(unusable(id, line, DUPLICATE, _REPEATED, rows))
        original = row
        if failed:
            original = _original(row)
            own_id = _id(original)
        if rows.id_column is not None:
            id = id_of(original, rows.id_column)
        request = _request(original, rows)
        if is_large:
            _check_size(request)
        unnamed = rows.id_column is None and own_id is None
        key = _content(request) if by_content and unnamed else None
        prompt = Prompt(id, _dumps(request), _dumps(rows.kept(original)), line.key, key)
        return Reading(prompt, tuple(columns.unused(original, rows.used)))
    except RowError as error:
        return Reading(unusable(id, line, type(error).__name__, str(error), rows))


def _check_size(request: Mapping[str, Any]) -> None:
    """Raise RowError for an integer that the request would send rounded."""
    for name, value in request.items():
        try:
            orjson.dumps(value)
        except TypeError:
            raise RowError(f"{name!r} must not have an integer beyond 64 bits") from None


def _content(request: Mapping[str, Any]) -> str:
    """Return a digest of the row's own request, without the parameters of the job."""
    try:
        return "=" + request_hash("", None, {}, request)
    except InvalidRequestError:
        raise RowError(_TOO_DEEP) from None


def unusable(id: str, line: Row, error_type: str, reason: str, rows: RowForm = PLAIN) -> DeadLetter:
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
        input=_row_in(line.text, rows),
        place=line.key,
    )


def _object(text: str, is_large: bool) -> dict[str, Any]:
    try:
        row = exact_json.loads(text, is_large)
    except (ValueError, RecursionError) as error:
        hint = "; JSON has no NaN and no Infinity, write null" if _NOT_FINITE.search(text) else ""
        raise RowError(f"not JSON ({error}){hint}") from None
    if not isinstance(row, dict):
        raise RowError(f"a row must be a JSON object, got {kind(row)}")
    return row


def _id(row: Mapping[str, Any]) -> str | None:
    # A line of a batch's error file has an `id` of its own.
    is_batch_error = "error" in row and "custom_id" in row
    for name in ("custom_id", "id") if is_batch_error else ("id", "custom_id"):
        value = whole(row.get(name))
        if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
            return str(value)
    return None


def _original(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the original row in a line of `failed-*.jsonl`."""
    original = row["input"]
    if not isinstance(original, dict):
        raise RowError(f"'input' of a failed row must be a JSON object, got {original!r:.80}")
    return original


def _request(row: Mapping[str, Any], rows: RowForm) -> dict[str, Any]:
    """Return the body of the chat request in `row`."""
    if not rows.form.is_default:
        own = columns.parameters(row, rows.param_columns)
        return {"messages": rows.form.messages_of(row), **own}
    body = _body(row)
    given = row if body is None else body
    if refused := columns.refused(given):
        hint = "" if given is body else "; rename a column that is not a parameter"
        raise RowError(f"a row may not set {', '.join(refused)}: only the job may{hint}")
    if body is None:
        return {"messages": rows.form.messages_of(row), **columns.parameters(row)}
    # OpenAI's batch files; the job chooses the model.
    request = {name: v for name, v in body.items() if name != "model" and v is not None}
    if rows.form.is_more and "messages" in request:
        messages = message_list(request["messages"], "the messages of 'body'")
        request["messages"] = rows.form.completed(messages, row)
    return request


def _body(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the request in the column `body`; without a value in any field it is not given."""
    body = columns.structured(row.get("body"))
    if not isinstance(body, dict) or all(value is None for value in body.values()):
        return None
    return body


def _row_in(text: str, rows: RowForm) -> str:
    """Return the JSON of the original row, also for a line of `failed-*.jsonl`."""
    try:
        row = exact_json.loads(text)
        return _dumps(row["input"]) if rows.is_failed(row) else text
    except (ValueError, RecursionError):
        return _dumps(text)


def _dumps(value: Any) -> str:
    try:
        return exact_json.dumps(value)
    except (TypeError, RecursionError):  # the JSON library writes fewer levels than it reads
        raise RowError(_TOO_DEEP) from None


_TOO_DEEP = "the request must have at most 250 levels of lists and objects"
