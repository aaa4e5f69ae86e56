"""`completion` and `acompletion`, and the clients that a process shares."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from faces import (
    AT_ONCE,
    KEY,
    MESSAGES,
    MODEL,
    connections,
    content,
    text,
)

import ritellm
from ritellm import api


@pytest.fixture
def arguments(fake_server):
    return {"base_url": fake_server.base_url, "api_key": KEY, "retry": AT_ONCE}


def test_completion_shares_its_connections(fake_server, arguments):
    assert content(ritellm.completion(MODEL, MESSAGES, **arguments)) == "one two three"
    with ritellm.completion(MODEL, MESSAGES, stream=True, **arguments) as opened:
        assert text(opened) == "one two three"
    assert connections(fake_server) == [1, 1]


def test_threads_share_a_client(fake_server, arguments):
    def ask(number):
        said = f"word-{number}"
        answer = ritellm.completion(MODEL, [{"role": "user", "content": said}], **arguments)
        return content(answer) == said

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(80)))
    assert fake_server.connections <= 8


def test_acompletion_works_in_one_event_loop_after_the_other(fake_server, arguments):
    async def twice():
        answer = await ritellm.acompletion(MODEL, MESSAGES, **arguments)
        opened = await ritellm.acompletion(MODEL, MESSAGES, stream=True, **arguments)
        return content(answer), text([chunk async for chunk in opened])

    for _ in range(2):
        assert asyncio.run(twice()) == ("one two three", "one two three")
        assert not api._keepers
        gc.collect()  # a connection that was left open would warn now
    assert connections(fake_server) == [1, 1, 2, 2]


def test_acompletion_in_many_tasks_at_once_makes_one_client(fake_server, arguments):
    async def ask_ten():
        return await asyncio.gather(
            *[ritellm.acompletion(MODEL, MESSAGES, **arguments) for _ in range(10)]
        )

    assert [content(answer) for answer in asyncio.run(ask_ten())] == ["one two three"] * 10
    gc.collect()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_makes_connections_of_its_own(fake_server, arguments):
    assert content(ritellm.completion(MODEL, MESSAGES, **arguments)) == "one two three"
    child = os.fork()
    if child == 0:
        status = 1
        try:
            same = content(ritellm.completion(MODEL, MESSAGES, **arguments)) == "one two three"
            again = asyncio.run(ritellm.acompletion(MODEL, MESSAGES, **arguments))
            status = 0 if same and content(again) == "one two three" else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert content(ritellm.completion(MODEL, MESSAGES, **arguments)) == "one two three"
    assert connections(fake_server) == [1, 2, 3, 1]


def test_at_exit_no_connection_is_left_open(fake_server):
    code = (
        "import asyncio, ritellm\n"
        f"asked = {{'model': 'openai/m', 'messages': [{{'role': 'user', 'content': 'hi'}}]}}\n"
        f"asked |= {{'base_url': {fake_server.base_url!r}, 'api_key': 'sk-none'}}\n"
        "print(ritellm.completion(**asked).choices[0].message.content)\n"
        "left = ritellm.completion(**asked, stream=True)\n"
        "print(asyncio.run(ritellm.acompletion(**asked)).choices[0].message.content)\n"
    )
    command = [sys.executable, "-W", "default::ResourceWarning", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "hi\nhi\n", "")
