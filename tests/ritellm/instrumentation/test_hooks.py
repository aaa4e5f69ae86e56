"""Functions that are called at the end of each call."""

from __future__ import annotations

import asyncio
import logging

import pytest
from fake_server import Reset, api_error, chat_events, chat_stream, stream

import ritellm
from ritellm import RetryPolicy
from ritellm.errors import APIConnectionError, BadRequestError

MESSAGES = [{"role": "user", "content": "my secret question"}]


@pytest.fixture
def ends():
    """The ends of all calls, in order."""
    seen = []
    remove = ritellm.on_end(seen.append)
    yield seen
    remove()


def ask(server, **arguments):
    known = {"base_url": server.base_url, "api_key": "sk-none", "retry": RetryPolicy(first_delay=0)}
    return ritellm.completion("openai/m", MESSAGES, **{**known, **arguments})


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_hook_is_told_of_each_call_once_it_has_ended(fake_server, ends, is_stream):
    fake_server.enqueue(api_error(503), chat_stream("one two"))
    whole = ask(fake_server, stream=is_stream, metadata={"user": "u1"})
    if is_stream:
        assert ends == []
        list(whole)
    (end,) = ends
    assert (end.model, end.whole, end.error, end.attempts) == ("openai/m", True, None, 2)
    assert end.completion.choices[0].message.content == "one two"
    assert (end.metadata, end.stream) == ({"user": "u1"}, is_stream)
    assert end.messages == MESSAGES
    assert end.timing.retries == 1
    assert "secret" not in repr(end)


def test_it_is_told_of_an_error_with_the_partial_completion(fake_server, ends):
    fake_server.enqueue(
        api_error(400, "invalid_request_error", "x", "No."),
        stream(*chat_events("half of it")[:3], Reset()),
    )
    with pytest.raises(BadRequestError):
        ask(fake_server)
    with pytest.raises(APIConnectionError):
        list(ask(fake_server, stream=True, num_retries=0))
    refused, broken = ends
    assert isinstance(refused.error, BadRequestError)
    assert not refused.whole
    assert isinstance(broken.error, APIConnectionError)
    assert broken.completion.choices[0].message.content == "half of "


def test_a_stream_that_is_left_early_has_no_error_and_is_not_whole(fake_server, ends):
    fake_server.enqueue(chat_stream("one two three four"))
    with ask(fake_server, stream=True) as opened:
        next(iter(opened))
    (end,) = ends
    assert (end.whole, end.error) == (False, None)


def test_the_asynchronous_face_calls_it_too(fake_server, ends):
    async def go():
        async with ritellm.AsyncClient(base_url=fake_server.base_url, api_key="k") as client:
            await client.completion("openai/m", MESSAGES)

    asyncio.run(go())
    assert [end.completion.choices[0].message.content for end in ends] == ["my secret question"]


def test_the_cost_of_a_call_can_be_computed_in_a_hook(fake_server):
    costs = []
    remove = ritellm.on_end(lambda end: costs.append(ritellm.completion_cost(end.completion)))
    known = {"base_url": fake_server.base_url, "api_key": "k"}
    ritellm.completion("openai/gpt-4o-mini", MESSAGES, **known)
    remove()
    ritellm.completion("openai/gpt-4o-mini", MESSAGES, **known)
    assert len(costs) == 1
    assert costs[0] > 0


def test_a_hook_that_fails_is_logged_and_does_not_fail_the_call(fake_server, ends, caplog):
    def fail(end):
        raise LookupError("of the hook")

    remove = ritellm.on_end(fail)
    with caplog.at_level(logging.WARNING, "ritellm"):
        assert ask(fake_server).choices[0].message.content
    remove()
    assert "a hook of ritellm.on_end failed" in caplog.text
    assert "of the hook" in caplog.text
    assert len(ends) == 1


def test_what_cannot_be_called_is_refused():
    async def later(end):
        pass

    for wrong in (later, "langfuse", None):
        with pytest.raises(TypeError, match="the hook must be a plain function"):
            ritellm.on_end(wrong)
