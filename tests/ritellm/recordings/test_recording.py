"""A call is recorded without keys, and its replay is the same call."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
import zlib

import httpx
import pytest
from fake_server import (
    Reset,
    Stall,
    api_error,
    chat_events,
    chat_json,
    chat_stream,
    html_page,
    raw,
    sse_error,
    stream,
)

import ritellm
from ritellm import RetryPolicy, RitellmError, Timeouts
from ritellm.calls.params import CALLER_ONLY
from ritellm.masking import REMOVED
from transforms.worker.requests import same_provider

KEY = "sk-planted-0123456789abcdef"
MESSAGES = [{"role": "user", "content": "Hello"}]
AT_ONCE = RetryPolicy(num_retries=2, first_delay=0.0)


class Sync:
    """The synchronous face."""

    def ask(self, model, **arguments):
        with ritellm.Client() as client:
            return outcome_of(client.completion, model, **arguments)


class Async:
    """The asynchronous face, on httpx's own transport."""

    fast = False

    def ask(self, model, **arguments):
        return asyncio.run(self._ask(model, **arguments))

    async def _ask(self, model, **arguments):
        transport = None if self.fast else httpx.AsyncHTTPTransport()
        async with ritellm.AsyncClient(transport=transport) as client:
            chunks = []
            try:
                asked = await client.completion(model, MESSAGES, **arguments)
                if not arguments.get("stream"):
                    return asked
                async for chunk in asked:
                    chunks.append(chunk)
            except RitellmError as error:
                return *chunks, facts(error)
            return *chunks, asked.attempts, asked.completion


class AsyncFast(Async):
    """The asynchronous face with the extra `fast`, if that is installed."""

    fast = True


def outcome_of(completion, model, **arguments):
    """Return all that the caller gets: chunks, and what the end was."""
    chunks = []
    try:
        asked = completion(model, MESSAGES, **arguments)
        if not arguments.get("stream"):
            return asked
        for chunk in asked:
            chunks.append(chunk)  # not extend(): what came before an error counts
    except RitellmError as error:
        return *chunks, facts(error)
    return *chunks, asked.attempts, asked.completion


def facts(error):
    names = "message provider model status_code code retryable retry_after attempts partial".split()
    return type(error).__name__, {name: getattr(error, name) for name in names}


@pytest.fixture(params=[Sync, Async, AsyncFast], ids=lambda face: face.__name__)
def face(request):
    return request.param()


def at(server, **arguments):
    return {"base_url": server.base_url, "api_key": KEY, "retry": AT_ONCE, "stream": True} | (
        arguments
    )


def lines(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


DOWN = api_error(503)
ANSWERS = {
    "a stream": [chat_stream("Hello there")],
    "a stream in bytes": [stream(*chat_events("H\N{SLIGHTLY SMILING FACE}"), pieces_of=3)],
    "a stream in gzip": [stream(*chat_events("Hello there"), encoding="gzip")],
    "an answer that is not streamed": [chat_json("Hello")],
    "a refusal": [api_error(401, code="invalid_api_key")],
    "refusals": [DOWN, DOWN, DOWN],
    "two refusals and an answer": [DOWN, DOWN, chat_stream("Hello")],
    "a web page": [html_page()],
    "an error event": [sse_error("overloaded", after=chat_events("Hi", finish_reason=None)[:2])],
    "a stream cut off": [stream(*chat_events("Hi there", done=False, finish_reason=None))],
    "a reset": [stream(*chat_events("Hi there")[:2], Reset())],
    "a reset at once, then an answer": [stream(Reset()), chat_stream("Hello")],
}


@pytest.mark.parametrize("replies", ANSWERS.values(), ids=ANSWERS)
def test_a_replay_gives_the_recorded_chunks(replies, face, fake_server, tmp_path):
    fake_server.enqueue(*replies)
    path = tmp_path / "wire.jsonl"
    first = face.ask("openai/m", record=path, **at(fake_server))
    asked = len(fake_server.requests)
    again = face.ask(f"replay/{path}", stream=True)
    assert again == first
    assert len(fake_server.requests) == asked


def test_a_whole_response_is_replayed(face, fake_server, tmp_path):
    path = tmp_path / "wire.jsonl"
    first = face.ask("openai/m", record=path, **at(fake_server, stream=False))
    assert face.ask(f"replay/{path}") == first


def test_a_failed_connection_is_replayed(face, tmp_path, fake_server):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    path = tmp_path / "wire.jsonl"
    arguments = at(fake_server, base_url=f"http://127.0.0.1:{port}/v1")
    first = face.ask("openai/m", record=path, **arguments)
    assert first[0][0] == "APIConnectionError"
    assert face.ask(f"replay/{path}", stream=True) == first
    assert [line["kind"] for line in lines(path)] == ["request", "end"] * 3


@pytest.mark.parametrize("begun", [[], chat_events("Hi there")[:2]], ids=["silence", "a stall"])
def test_a_timeout_is_replayed_without_waiting(begun, face, fake_server, tmp_path):
    fake_server.enqueue(stream(*begun, Stall()))
    path = tmp_path / "wire.jsonl"
    limits = Timeouts(first_chunk=0.1, inter_chunk=0.1)
    arguments = at(fake_server, timeout=limits, num_retries=0)
    first = face.ask("openai/m", record=path, **arguments)
    assert first[-1][0] == "Timeout"
    assert face.ask(f"replay/{path}", stream=True) == first


def test_a_resumed_completion_is_replayed(face, fake_server, tmp_path):
    fake_server.enqueue(stream(*chat_events(["He", "llo"])[:2], Reset()), chat_stream(["llo"]))
    path = tmp_path / "wire.jsonl"
    arguments = at(fake_server, on_interrupt="continue")
    first = face.ask("hosted_vllm/m", record=path, **arguments)
    assert first[-1].choices[0].message.content == "Hello"
    assert face.ask(f"replay/{path}", stream=True) == first


def test_a_timed_replay_keeps_the_recorded_pace(face, fake_server, tmp_path):
    path = tmp_path / "wire.jsonl"
    face.ask("openai/m", record=path, **at(fake_server))
    entries = lines(path)
    for entry in entries:
        entry["offset"] = {"request": 0.0, "response": 0.1}.get(entry["kind"], 0.2)
    path.write_bytes(b"\n".join(json.dumps(entry).encode() for entry in entries))

    def ttft(**arguments):
        with ritellm.Client() as client:
            opened = client.completion(f"replay/{path}", MESSAGES, stream=True, **arguments)
            list(opened)
            return opened.timing.ttft

    assert ttft(replay_timing=True) >= 0.2
    assert ttft() < 0.1


def test_the_bytes_are_those_of_the_wire(fake_server, tmp_path):
    events = chat_events("Hello there")
    fake_server.enqueue(stream(*events))
    path = tmp_path / "wire.jsonl"
    Sync().ask("openai/m", record=path, **at(fake_server))
    pieces = [line["text"] for line in lines(path) if line["kind"] == "data"]
    assert "".join(pieces).encode() == b"".join(events)
    head = next(line for line in lines(path) if line["kind"] == "response")
    assert head["status"] == 200
    assert ["content-type", "text/event-stream; charset=utf-8"] in head["headers"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_holds_many_calls(fake_server, tmp_path):
    path = tmp_path / "wire.jsonl"
    arguments = at(fake_server)
    arguments.pop("stream")
    with ritellm.Client(record=path, **arguments) as client:
        for text in ("one", "two"):
            client.completion("openai/m", [{"role": "user", "content": text}])
    for number, text in ((1, "one"), (2, "two")):
        answer = ritellm.completion(f"replay/{path}#{number}", MESSAGES)
        assert answer.choices[0].message.content == text
    with pytest.raises(ritellm.InvalidRequestError, match="must be 1 to 2, got 3"):
        ritellm.completion(f"replay/{path}#3", MESSAGES)


def test_a_recording_of_a_stream_left_early_ends_where_it_was_left(fake_server, tmp_path):
    fake_server.enqueue(stream(*chat_events("Hello there")[:2], Stall()))
    path = tmp_path / "wire.jsonl"
    with ritellm.Client() as client:
        opened = client.completion("openai/m", MESSAGES, record=path, **at(fake_server))
        next(opened)
        opened.close()
    assert lines(path)[-1]["how"] == "closed"
    with pytest.raises(ritellm.StreamTruncatedError):
        list(ritellm.completion(f"replay/{path}", MESSAGES, stream=True))


# Keys

LEAKS = {
    "the key": {"api_key": KEY},
    "a header": {"api_key": "other-key", "extra_headers": {"Authorization": f"Bearer {KEY}"}},
    "a header of one's own": {"api_key": "other-key", "extra_headers": {"X-Gateway": KEY}},
    "a header that is shown": {"api_key": KEY, "extra_headers": {"User-Agent": f"app {KEY}"}},
    "the body": {"api_key": KEY, "extra_body": {"note": f"<{KEY}>"}},
    "the address": {"api_key": "other-key"},
}


def echoing(request):
    """Answer with every header that came, as a careless server does, cut in many pieces."""
    told = " ".join([*request.headers.values(), *request.query.values()])
    return stream(*chat_events(["You said: ", told]), pieces_of=[1, 5, 2])


def refusing(request):
    told = " ".join([*request.headers.values(), *request.query.values()])
    return api_error(401, message=f"Wrong key: {told}", headers={"x-echo": told})


@pytest.mark.parametrize("script", [echoing, refusing])
@pytest.mark.parametrize("encoding", [None, "gzip"])
@pytest.mark.parametrize("name", LEAKS)
def test_a_recording_does_not_contain_the_key(name, encoding, script, face, fake_server, tmp_path):
    fake_server.script = lambda request: script(request).but(encoding=encoding)
    path = tmp_path / "wire.jsonl"
    arguments = at(fake_server, **LEAKS[name])
    if name == "the address":
        host = fake_server.base_url.removeprefix("http://")
        arguments["base_url"] = f"http://me:{KEY}@{host}/chat/completions?key={KEY}"
    face.ask("openai/m", record=path, **arguments)
    text = path.read_text()
    assert text
    for part in (KEY, KEY[3:], "planted"):
        assert part not in text


def _zipped(data):
    packed = zlib.compressobj(wbits=31)
    return packed.compress(data) + packed.flush()


def _raw_deflated(data):
    packed = zlib.compressobj(wbits=-15)
    return packed.compress(data) + packed.flush()


CODINGS = {
    "gzip": _zipped,
    "GZIP": _zipped,
    "x-gzip": _zipped,
    " gzip ": _zipped,
    "deflate": zlib.compress,
    "Deflate": _raw_deflated,
    "gzip, deflate": lambda data: zlib.compress(_zipped(data)),
    "identity": bytes,
}


@pytest.mark.parametrize("escaped", [KEY, KEY.replace("-", "\\u002d"), KEY.replace("-", "%2D")])
@pytest.mark.parametrize("coding", CODINGS)
def test_a_compressed_response_is_recorded_without_the_key(
    coding, escaped, face, fake_server, tmp_path
):
    body = b'{"error": {"message": "wrong key: %s", "code": "%s"}}' % ((escaped.encode(),) * 2)
    headers = {"content-encoding": coding}
    fake_server.script = lambda request: raw(
        CODINGS[coding](body), "application/json", status=401, headers=headers
    )
    path = tmp_path / "wire.jsonl"
    face.ask("openai/m", record=path, api_key=KEY, base_url=fake_server.base_url)
    text = path.read_text()
    assert "wrong key: " in text
    assert "planted" not in text
    with pytest.raises(ritellm.AuthenticationError, match="wrong key"):
        ritellm.completion(f"replay/{path}", MESSAGES)


def test_a_body_of_an_unknown_coding_is_not_recorded(face, fake_server, tmp_path):
    headers = {"content-encoding": "compress"}
    fake_server.script = lambda request: raw(KEY.encode(), status=401, headers=headers)
    path = tmp_path / "wire.jsonl"
    face.ask("openai/m", record=path, api_key=KEY, base_url=fake_server.base_url)
    assert [line["text"] for line in lines(path) if line["kind"] == "data"] == [REMOVED]
    assert "planted" not in path.read_text()


def test_credential_headers_are_recorded_without_their_values(fake_server, tmp_path):
    path = tmp_path / "wire.jsonl"
    Sync().ask("anthropic/claude", record=path, **at(fake_server))
    headers = lines(path)[0]["headers"]
    assert headers["x-api-key"] == REMOVED
    assert headers["anthropic-version"] == "2023-06-01"


# Mistakes

BAD = {
    "no such file": (None, "cannot replay"),
    "not JSON": (b"hello\n", "must be a line of a recording"),
    "another JSON": (b'{"a": 1}\n', "must be a line of a recording"),
    "no request": (b'{"call": "a", "attempt": 1, "kind": "end"}\n', "has no request"),
    "empty": (b"", "must have a call"),
}


@pytest.mark.parametrize(("data", "says"), BAD.values(), ids=BAD)
def test_an_invalid_recording_is_an_error(data, says, tmp_path):
    path = tmp_path / "wire.jsonl"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ritellm.InvalidRequestError, match=says):
        ritellm.completion(f"replay/{path}", MESSAGES)


@pytest.mark.parametrize("record", [int, 5, True, b"wire.jsonl"])
def test_a_record_that_is_no_path_makes_no_file(record, fake_server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ritellm.InvalidRequestError, match="record must be the path of a file, got"):
        ritellm.completion("openai/m", MESSAGES, record=record, **at(fake_server))
    assert (list(tmp_path.iterdir()), fake_server.requests) == ([], [])


def test_an_unwritable_file_is_an_error_before_sending(fake_server, tmp_path):
    with pytest.raises(ritellm.InvalidRequestError, match="cannot record to"):
        ritellm.completion("openai/m", MESSAGES, record=tmp_path / "no" / "f", **at(fake_server))
    assert not fake_server.requests


def test_a_fallback_can_be_a_recording(fake_server, tmp_path):
    path = tmp_path / "wire.jsonl"
    Sync().ask("openai/m", record=path, **at(fake_server))
    fake_server.enqueue(*[DOWN] * 3)
    opened = ritellm.completion(
        "openai/m", MESSAGES, fallbacks=[f"replay/{path}"], **at(fake_server)
    )
    assert list(opened)


def test_a_row_of_data_may_neither_record_nor_replay():
    assert {"record", "replay_timing", "fallbacks", "mock_response"} <= CALLER_ONLY
    with pytest.raises(ritellm.UnknownProviderError):
        same_provider("replay//etc/passwd", "openai/m")
