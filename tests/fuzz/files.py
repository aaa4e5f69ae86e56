"""Targets for files: rows, journals, recordings."""

from __future__ import annotations

import contextlib
import functools
import logging
import tempfile
from pathlib import Path
from typing import Any

import orjson
from bodies import ENVIRON
from journals import key, value

from fuzz.target import Target
from pipelines.inputs.rows import Line, read
from ritellm import Client
from ritellm.calls.exchange import Exchange
from ritellm.calls.prepare import plan
from ritellm.errors import RitellmError
from ritellm.rate_limits.queue import estimated_tokens
from ritellm.retry import RetryPolicy
from transforms.elements import DeadLetter, Prompt
from transforms.journal import JournalError, JournalKey
from transforms.journal.base import NOTHING, Record
from transforms.journal.folder.format import from_line, head_of, lines_of, to_file
from transforms.journal.sqlite.journal import SqliteJournal
from transforms.serialization import to_bytes
from transforms.worker.requests import request_of

AT_ONCE = RetryPolicy(first_delay=0.0)
MODELS = ("openai/m", "anthropic/m", "gemini/m", "bedrock/m", "cohere/m", "ollama/m")
ROWS = [
    b'{"id": "a", "prompt": "hello", "temperature": 0.5, "metadata": {"x": [1, 2]}}',
    b'{"custom_id": "b", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m",'
    b' "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}}',
    b'{"messages": [{"role": "system", "content": "s"}, {"role": "assistant", "content": null,'
    b' "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments":'
    b' "{}"}}]}, {"role": "tool", "tool_call_id": "c", "content": "r"}], "tools": [{"type":'
    b' "function", "function": {"name": "f", "parameters": {"type": "object"}}}]}',
    b'{"id": "d", "error_type": "Timeout", "input": {"prompt": "again"}, "place": "in.jsonl:4"}',
]


def targets() -> list[Target]:
    """Return the targets of this module."""
    return [
        Target("rows", ROWS, read_row),
        Target("requests", ROWS, build_requests),
        Target("journal-sqlite", [_sqlite()], read_sqlite),
        Target("journal-folder", [to_file(_records())], read_folder),
        Target("recordings", [_recording(), _recordings()], read_recording),
    ]


def read_row(data: bytes) -> Prompt | DeadLetter:
    """Read a line of an input; the row that could not be read is written as a failed row."""
    text = data.decode("utf-8", "replace")
    row = read(Line("in.jsonl", "in.jsonl", 7, text), by_content=True).row
    if isinstance(row, DeadLetter):
        orjson.loads(to_bytes(row))
    return row


def build_requests(data: bytes) -> None:
    """Build the requests that a line of an input becomes in each dialect."""
    row = read_row(data)
    for model in MODELS if isinstance(row, Prompt) else ():
        with contextlib.suppress(RitellmError):
            _build(model, dict(request_of(row)))


def _build(model: str, body: dict[str, Any]) -> None:
    body.pop("model", None)
    planned = plan(model, body.pop("messages", None), ENVIRON, **body)
    estimated_tokens(planned.request)
    Exchange(planned.request, planned.endpoint).http_request()


def _records() -> list[Record]:
    return [Record(key(f"row-{number}"), _value(number), NOTHING) for number in range(8)]


def _value(number: int) -> bytes:
    return value(f"answer {number} " * 30)


@functools.cache
def _sqlite() -> bytes:
    """Return the bytes of a sound journal."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite"
        with contextlib.closing(SqliteJournal(str(path), "a run")) as journal:
            for record in _records():
                assert record.key is not None
                journal.record(record.key, record.value).result(timeout=60)
        return path.read_bytes()


def read_sqlite(data: bytes) -> None:
    """Open `data` as a journal, record something, and read it again."""
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/journal.sqlite"
        Path(path).write_bytes(data)
        with contextlib.suppress(JournalError):
            _use(path)


def _use(path: str) -> None:
    with contextlib.closing(SqliteJournal(path, "a run")) as journal:
        for number, record in enumerate(_records()):
            assert record.key is not None
            assert journal.lookup(record.key) in (None, _value(number))
        journal.record(key("new"), value("new")).result(timeout=60)
        assert journal.lookup(key("new")) == value("new")
    with contextlib.closing(SqliteJournal(path, "the next run")) as journal:
        assert journal.lookup(key("new")) == value("new")


@contextlib.contextmanager
def _quiet() -> Any:
    log = logging.getLogger("transforms.journal")
    before = log.disabled
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = before


def read_folder(data: bytes) -> None:
    """Read `data` as a file of the folder journal; each sound line is what was written."""
    head_of(data[: 1 << 15])
    lines, _ = lines_of(data)
    written = {record.key: record.value for record in _records()}
    for line in lines:
        record = from_line(line)
        if record is not None and record.key is not None:
            assert isinstance(record.key, JournalKey)
            assert record.value == written[record.key]


def _recording() -> bytes:
    """Return a recorded call: a request, a response in two pieces, and its end."""
    common = {"call": "c", "attempt": 1}
    request = {
        "kind": "request",
        "version": 1,
        "provider": "openai",
        "model": "m",
        "wire": "openai_chat",
        "base_url": "http://h/v1",
        "on_interrupt": "raise",
        "method": "POST",
        "url": "http://h/v1/chat/completions",
        "headers": {"content-type": "application/json"},
        "body": "{}",
        "at": 0.0,
    }
    chunk = 'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
    entries = [
        request,
        {"kind": "response", "status": 200, "headers": [["content-type", "text/event-stream"]]},
        {"kind": "data", "text": chunk},
        {"kind": "data", "text": "data: [DONE]\n\n"},
        {"kind": "end", "how": "end"},
    ]
    lines = [{**common, "offset": at / 10, **entry} for at, entry in enumerate(entries)]
    return b"".join(orjson.dumps(line) + b"\n" for line in lines)


def _recordings() -> bytes:
    """Return two calls that were recorded at once; one of them has two attempts."""
    cut = [orjson.loads(line) for line in _recording().splitlines()][:3]
    cut[0]["on_interrupt"] = "continue"
    end = {"call": "c", "attempt": 1, "offset": 0.5, "kind": "end", "how": "error"}
    error = {"type": "APIConnectionError", "message": "cut", "retryable": True}
    second = [{**json, "attempt": 2} for json in map(orjson.loads, _recording().splitlines())]
    other = [{**json, "call": "d"} for json in map(orjson.loads, _recording().splitlines())]
    lines = [*cut, other[0], {**end, "error": error}, *other[1:3], *second, *other[3:]]
    return b"".join(orjson.dumps(line) + b"\n" for line in lines)


@functools.cache
def _client() -> Client:
    return Client()


def read_recording(data: bytes) -> None:
    """Replay `data` as a recording."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "calls.jsonl"
        path.write_bytes(data)
        for name in (f"replay/{path}", f"replay/{path}#2"):
            for streamed in (True, False):
                with contextlib.suppress(RitellmError):
                    _replay(name, streamed)


def _replay(model: str, streamed: bool) -> None:
    messages = [{"role": "user", "content": "hi"}]
    answer = _client().completion(model, messages, stream=streamed, num_retries=1, retry=AT_ONCE)
    for _ in answer if streamed else ():
        pass
