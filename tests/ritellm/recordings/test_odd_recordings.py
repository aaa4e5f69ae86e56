"""Any odd value in a recording is one RitellmError, which names the file and the line."""

from __future__ import annotations

import pytest
from odd_values import as_json, variants

from ritellm import Client, InvalidRequestError, RitellmError
from ritellm.recordings.format import REMOVED

MESSAGES = [{"role": "user", "content": "hi"}]
CALL = {"call": "c", "attempt": 1, "at": 0.0}
LINES = [
    {
        **CALL,
        "kind": "request",
        "version": 1,
        "provider": "openai",
        "model": "m",
        "wire": "openai_chat",
        "base_url": "http://test",
        "on_interrupt": "raise",
        "method": "POST",
        "url": "http://test",
        "headers": {"authorization": REMOVED},
        "body": "{}",
    },
    {**CALL, "kind": "response", "status": 200, "headers": [["content-type", "text/event-stream"]]},
    {**CALL, "kind": "data", "offset": 0.0, "text": 'data: {"choices": []}\n\n'},
    {**CALL, "kind": "data", "offset": 0.0, "base64": "ZGF0YTogW0RPTkVdCgo="},
    {
        **CALL,
        "kind": "end",
        "offset": 0.0,
        "how": "error",
        "error": {
            "type": "RateLimitError",
            "message": "no",
            "code": "c",
            "status_code": 429,
            "retryable": True,
            "retry_after": 1.0,
        },
    },
]


@pytest.fixture(scope="module")
def client():
    return Client()


def replay(client, path, **params):
    with client.completion(f"replay/{path}", MESSAGES, stream=True, **params) as stream:
        return list(stream)


@pytest.mark.parametrize("at", range(len(LINES)), ids=[line["kind"] for line in LINES])
def test_no_value_of_a_recording_escapes_as_another_error(client, tmp_path, at):
    path, crashes = tmp_path / "odd.jsonl", []
    for name, odd in variants(LINES[at]):
        lines = [*LINES[:at], odd, *LINES[at + 1 :]]
        path.write_bytes(b"\n".join(map(as_json, lines)))
        try:
            replay(client, path, replay_timing="huge" not in name and "long" not in name)
        except InvalidRequestError as error:
            if f"cannot replay {path}: " not in str(error):
                crashes.append(f"{name} does not name the file: {error}")
        except RitellmError:
            pass
        except Exception as error:
            crashes.append(f"{name}: {error!r:.200}")
    assert crashes == []


@pytest.mark.parametrize(
    ("at", "field", "value", "says"),
    [
        (1, "status", "200", "line 2: status must be a status of HTTP, got '200'"),
        (1, "headers", ["a"], "line 2: headers must be a list of pairs of texts, got ['a']"),
        (2, "offset", -1, "line 3: offset must be seconds, from 0 to a year, got -1"),
        (3, "base64", "=", "line 4: base64 must be base64, got '='"),
        (0, "wire", "os", "line 1: wire must be the name of a dialect, got 'os'"),
        (0, "call", ["c"], "line 1: call must be a number or a text, got ['c']"),
    ],
)
def test_the_error_names_the_line_and_the_field(client, tmp_path, at, field, value, says):
    path = tmp_path / "odd.jsonl"
    lines = [*LINES[:at], {**LINES[at], field: value}, *LINES[at + 1 :]]
    path.write_bytes(b"\n".join(map(as_json, lines)))
    with pytest.raises(InvalidRequestError) as caught:
        replay(client, path)
    assert f"cannot replay {path}: {says}" in str(caught.value)


@pytest.mark.parametrize(
    ("at", "field", "says"),
    [
        (
            0,
            "provider",
            "line 1: its fields must be at least base_url and model and on_interrupt and ",
        ),
        (1, "status", "line 2: its fields must be at least status"),
        (2, "offset", "line 3: its fields must be at least offset and text, or base64 and offset"),
        (3, "base64", "line 4: its fields must be at least offset and text, or base64 and offset"),
    ],
)
def test_the_error_names_what_a_line_lacks(client, tmp_path, at, field, says):
    path = tmp_path / "odd.jsonl"
    lacking = {name: value for name, value in LINES[at].items() if name != field}
    path.write_bytes(b"\n".join(map(as_json, [*LINES[:at], lacking, *LINES[at + 1 :]])))
    with pytest.raises(InvalidRequestError) as caught:
        replay(client, path)
    assert f"cannot replay {path}: {says}" in str(caught.value)


def test_a_first_line_of_another_kind_is_no_request_whatever_it_holds(client, tmp_path):
    path = tmp_path / "odd.jsonl"
    path.write_bytes(as_json({**LINES[0], "kind": "", "provider": ["openai"]}))
    with pytest.raises(InvalidRequestError, match="first line has no request"):
        replay(client, path)


@pytest.mark.parametrize("path", ["a\0b", "#²", "missing#9999999999999999999", "."])
def test_an_odd_path_is_an_error_of_the_library(client, path):
    with pytest.raises(InvalidRequestError, match="cannot replay"):
        replay(client, path)
