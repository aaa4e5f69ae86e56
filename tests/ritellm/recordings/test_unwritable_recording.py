"""A call survives that its recording can no longer be written, and the file stays readable."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import resource
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fake_server import Reset, api_error, chat_events, chat_stream, stream

import ritellm
from ritellm import RetryPolicy

MESSAGES = [{"role": "user", "content": "Hello"}]
TEXT = "Hello there, " * 40
AT_ONCE = RetryPolicy(num_retries=2, first_delay=0.0)


@contextlib.contextmanager
def disk_of(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def at(server, path, **arguments):
    return {
        "base_url": server.base_url,
        "api_key": "sk-planted-0123456789",
        "record": path,
        "retry": AT_ONCE,
        **arguments,
    }


def ask(server, path, **arguments):
    with ritellm.Client() as client:
        return client.completion("openai/m", MESSAGES, **at(server, path, **arguments))


async def ask_async(server, path, transport=None):
    async with ritellm.AsyncClient(transport=transport) as client:
        return await client.completion("openai/m", MESSAGES, **at(server, path))


FACES = {
    "sync": ask,
    "async": lambda server, path: asyncio.run(ask_async(server, path)),
    "async httpx": lambda server, path: asyncio.run(
        ask_async(server, path, httpx.AsyncHTTPTransport())
    ),
}


def warnings_in(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize("face", FACES.values(), ids=FACES)
def test_a_full_disk_ends_the_recording_and_not_the_call(face, fake_server, tmp_path, caplog):
    fake_server.enqueue(stream(*chat_events(TEXT)))
    path = tmp_path / "wire.jsonl"
    with disk_of(1500):
        answer = face(fake_server, path)
    assert answer.choices[0].message.content == TEXT
    (warning,) = warnings_in(caplog)
    assert "openai/m" in warning
    assert f"cannot record to {path} any longer: File too large" in warning
    assert path.stat().st_size == 1500


def test_the_calls_before_and_the_beginning_of_the_cut_one_can_be_replayed(fake_server, tmp_path):
    path = tmp_path / "wire.jsonl"
    ask(fake_server, path)
    fake_server.enqueue(stream(*chat_events(TEXT)))
    with disk_of(path.stat().st_size + 1500):
        ask(fake_server, path)
    assert not path.read_bytes().endswith(b"\n")
    assert ritellm.completion(f"replay/{path}#1", MESSAGES).choices[0].message.content
    with pytest.raises(ritellm.StreamTruncatedError):
        ritellm.completion(f"replay/{path}#2", MESSAGES)


def test_a_call_recorded_behind_a_cut_one_can_be_replayed(fake_server, tmp_path):
    path = tmp_path / "wire.jsonl"
    fake_server.enqueue(stream(*chat_events(TEXT)), chat_stream("And now"))
    with disk_of(1500):
        ask(fake_server, path)
    ask(fake_server, path)
    assert ritellm.completion(f"replay/{path}#2", MESSAGES).choices[0].message.content == "And now"


def test_a_line_that_is_damaged_in_the_middle_of_a_recording_is_an_error(fake_server, tmp_path):
    path = tmp_path / "wire.jsonl"
    ask(fake_server, path)
    lines = path.read_bytes().splitlines()
    lines[2] = lines[2][:-5]
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(ritellm.InvalidRequestError, match="line 3 must be a line of a recording"):
        ritellm.completion(f"replay/{path}", MESSAGES)


def test_a_full_disk_before_the_first_request_is_an_error(fake_server):
    with pytest.raises(ritellm.InvalidRequestError, match="cannot record to /dev/full: No space"):
        ask(fake_server, "/dev/full")
    assert not fake_server.requests


def vanishing(folder: Path, reply):
    """Return a script that removes `folder` when the first request arrives, and then replies."""

    def script(request):
        if folder.exists():
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
        return reply()

    return script


def test_a_folder_that_vanishes_before_a_retry_does_not_end_the_call(fake_server, tmp_path, caplog):
    folder = tmp_path / "recordings"
    folder.mkdir()
    replies = iter([api_error(503), chat_stream("Hello"), chat_stream("never")])
    fake_server.script = vanishing(folder, lambda: next(replies))
    answer = ask(fake_server, folder / "wire.jsonl")
    assert answer.choices[0].message.content == "Hello"
    (warning,) = warnings_in(caplog)
    assert "cannot record to" in warning
    assert "No such file or directory" in warning


def test_an_interrupted_answer_is_continued_without_its_recording(fake_server, tmp_path):
    folder = tmp_path / "recordings"
    folder.mkdir()
    replies = iter([stream(*chat_events(["He", "llo"])[:2], Reset()), chat_stream(["llo"])])
    fake_server.script = vanishing(folder, lambda: next(replies))
    path = folder / "wire.jsonl"
    arguments = at(fake_server, path, on_interrupt="continue", stream=True)
    with ritellm.Client() as client:
        opened = client.completion("hosted_vllm/m", MESSAGES, **arguments)
        assert opened.read().choices[0].message.content == "Hello"


def test_a_call_warns_once_although_all_its_attempts_are_unrecorded(fake_server, tmp_path, caplog):
    folder = tmp_path / "recordings"
    folder.mkdir()
    replies = iter([api_error(503), api_error(503), chat_stream("Hello")])
    fake_server.script = vanishing(folder, lambda: next(replies))
    ask(fake_server, folder / "wire.jsonl")
    assert len(warnings_in(caplog)) == 1


def test_an_error_of_the_server_is_kept_although_it_cannot_be_recorded(fake_server, tmp_path):
    fake_server.enqueue(*[api_error(401, message="the key is wrong " * 9)] * 3)
    path = tmp_path / "wire.jsonl"
    ask_size = 1000
    with disk_of(ask_size), pytest.raises(ritellm.AuthenticationError, match="the key is wrong"):
        ask(fake_server, path)
    assert path.stat().st_size <= ask_size
    json.loads(path.read_bytes().splitlines()[0])
