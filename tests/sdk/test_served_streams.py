"""OpenAI's own client reads answers from `serve_deltas`, with the id in its base URL."""

from __future__ import annotations

import pytest
from door import answer, serving
from redis_server import running

from pipelines.serve_deltas import tokens
from transforms import DeadLetter
from transforms.sinks.redis import RedisStreams

openai = pytest.importorskip("openai")
pytest.importorskip("starlette", reason="the extra serve is not installed")

MESSAGES = [{"role": "user", "content": "It is not read."}]
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
SECRET = b"a secret of enough bytes"


@pytest.fixture(scope="module")
def redis():
    with running() as server:
        yield server


@pytest.fixture
def publish(redis):
    publisher = RedisStreams(f"{redis.url}?per_id=true")()
    yield publisher.publish
    publisher.close()


@pytest.fixture(scope="module")
def door(redis):
    with serving(redis.url, wait_seconds=60) as one:
        yield one


def client_of(door, id, key="none"):
    return openai.OpenAI(base_url=f"{door.url}/streams/{id}", api_key=key, max_retries=0)


def ask(client, **options):
    return client.chat.completions.create(model="any", messages=MESSAGES, **options)


def test_it_reads_a_whole_answer(door, publish):
    publish(answer("whole", "Hal", "lo", usage=USAGE))
    completion = ask(client_of(door, "whole"))
    assert completion.choices[0].message.content == "Hallo"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.total_tokens == 3


def test_it_reads_an_answer_while_it_grows(door, publish):
    deltas = answer("grows", "Hal", "lo", usage=USAGE)
    publish(deltas[:1])
    chunks = ask(client_of(door, "grows"), stream=True)
    assert next(chunks).choices[0].delta.content == "Hal"
    publish(deltas[1:])
    rest = list(chunks)
    assert "".join(each.choices[0].delta.content or "" for each in rest if each.choices) == "lo"
    assert [c.finish_reason for each in rest for c in each.choices if c.finish_reason] == ["stop"]
    assert [each.usage.total_tokens for each in rest if each.usage] == [3]


def test_a_text_that_begins_anew_is_an_error_and_not_a_wrong_text(door, publish):
    publish(answer("anew", "half", final=False))
    chunks = ask(client_of(door, "anew"), stream=True)
    assert next(chunks).choices[0].delta.content == "half"
    publish(answer("anew", "whole", attempt=2))
    with pytest.raises(openai.APIError, match="begins anew"):
        list(chunks)


def test_a_prompt_that_has_failed_is_an_error(door, publish):
    publish([DeadLetter("failed", "{}", "RateLimitError", "no", 429, True, 1, "")])
    with pytest.raises(openai.APIStatusError, match="RateLimitError"):
        ask(client_of(door, "failed"))
    with pytest.raises(openai.APIError, match="RateLimitError"):
        list(ask(client_of(door, "failed"), stream=True))


def test_the_token_is_the_key_of_the_client(redis, publish):
    publish(answer("q", "Hallo"))
    token = tokens.sign(SECRET, "q", 1 << 40)
    with serving(redis.url, SECRET) as door:
        assert ask(client_of(door, "q", token)).choices[0].message.content == "Hallo"
        with pytest.raises(openai.AuthenticationError, match="malformed"):
            ask(client_of(door, "q", "sk-none"))
        with pytest.raises(openai.AuthenticationError, match="not for this stream"):
            ask(client_of(door, "other", token))
