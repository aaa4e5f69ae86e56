"""`import ritellm as litellm`: what goes beyond the table of tests/litellm."""

from __future__ import annotations

import asyncio
import json
import pickle

import orjson
import pytest
from fake_server import (
    api_error,
    chat_events,
    chat_stream,
    stream,
)

import ritellm as litellm
from ritellm.types import Chunk

MODEL = "openai/gpt-4o-mini"
MESSAGES = [{"role": "user", "content": "Hello"}]


@pytest.fixture(autouse=True)
def _an_openai_at_hand(fake_server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", fake_server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    for name in ("drop_params", "num_retries", "request_timeout"):
        monkeypatch.setattr(litellm, name, getattr(litellm, name))


def ask(**arguments):
    return litellm.completion(MODEL, MESSAGES, **{"num_retries": 0} | arguments)


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


# What the table of tests/litellm has no room for


def test_the_chunk_with_the_usage_has_a_first_choice_to_read_and_is_json_without(fake_server):
    fake_server.enqueue(chat_stream("Hello there", usage=True))
    last = list(ask(stream=True))[-1]
    assert last.usage.total_tokens
    assert last["choices"] == []
    assert not last.choices
    assert last.choices[0].delta.content is last["choices"][0]["delta"]["content"] is None
    assert json.loads(orjson.dumps(last))["choices"] == []
    with pytest.raises(IndexError):
        last.choices[1]


def test_a_dump_is_plain_and_the_same_by_each_of_its_names():
    answer = ask(mock_response="Hello")
    plain = answer.model_dump()
    assert plain == answer == answer.to_dict() == answer.json()
    assert type(plain) is dict
    assert type(plain["choices"][0]) is dict


def test_the_address_may_be_the_root_or_the_whole(fake_server):
    for name in ("api_base", "base_url"):
        for address in (fake_server.base_url, f"{fake_server.base_url}/chat/completions"):
            assert ask(**{name: address}).choices
    assert {request.path for request in fake_server.requests} == {"/v1/chat/completions"}


def test_max_retries_is_an_alias_of_num_retries(fake_server):
    fake_server.enqueue(api_error(500), api_error(500))
    for name in ("num_retries", "max_retries"):
        with pytest.raises(litellm.InternalServerError):
            litellm.completion(MODEL, MESSAGES, **{name: 0})


def test_a_mock_may_be_texts_chunks_a_completion_or_an_exception(fake_server):
    whole = {"choices": [{"index": 0, "message": {"content": "A b"}, "finish_reason": "stop"}]}
    chunks = list(ask(mock_response="A b", stream=True))
    for mock in ("A b", ["A ", "b"], whole, chunks):
        assert ask(mock_response=mock).choices[0].message.content == "A b"
        assert text_of(ask(mock_response=mock, stream=True)) == "A b"
    for mock in (litellm.RateLimitError, litellm.RateLimitError("slow down")):
        with pytest.raises(litellm.RateLimitError):
            ask(mock_response=mock, num_retries=3)
    with pytest.raises(litellm.InvalidRequestError, match="mock_response must be"):
        ask(mock_response=7)
    assert not fake_server.requests


def test_a_mocked_text_is_repeated_for_each_choice():
    texts = {0: "", 1: ""}
    for chunk in ask(mock_response="A b", n=2, stream=True):
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["delta"]["content"] or ""
    assert texts == {0: "A b", 1: "A b"}


def test_a_call_overrides_the_settings_of_the_module(fake_server):
    assert ask(drop_params=True, frobnicate=1).choices
    litellm.drop_params = True
    litellm.num_retries = 0
    litellm.request_timeout = 9.0
    assert litellm.completion(MODEL, MESSAGES, frobnicate=1).choices
    fake_server.enqueue(api_error(500, "down"))
    with pytest.raises(litellm.InternalServerError):
        litellm.completion(MODEL, MESSAGES)


def test_a_batch_holds_an_exception_for_each_failed_request():
    asked = [[{"role": "user", "content": text}] for text in ("one", "two", "three")]
    first, wrong, last = litellm.batch_completion(MODEL, [asked[0], [], asked[2]], max_workers=2)
    assert first.choices[0].message.content == "one"
    assert isinstance(wrong, litellm.InvalidRequestError)
    assert last.choices[0].message.content == "three"


def test_our_own_errors_have_litellms_names_and_root():
    for name in "InvalidRequestError LiteLLMUnknownProvider UnsupportedParamsError".split():
        assert getattr(litellm.exceptions, name) is getattr(litellm, name)
        assert issubclass(getattr(litellm, name), litellm.OpenAIError)


def test_the_error_for_a_misspelt_parameter_suggests_the_right_one():
    with pytest.raises(litellm.UnsupportedParamsError, match="did you mean temperature"):
        ask(temprature=3)
    with pytest.raises(litellm.UnsupportedParamsError, match="fallbacks="):
        ask(context_window_fallback_dict={"a": "b"}, drop_params=True)


# Fallbacks, in more depth


def interrupted(text):
    """Return a reply that breaks off after `text`."""
    return stream(*chat_events(text, done=False, finish_reason=None))


def test_a_fallback_after_the_first_chunk_needs_on_interrupt(fake_server):
    fake_server.enqueue(interrupted("Hel"))
    with pytest.raises(litellm.StreamTruncatedError):
        list(ask(stream=True, fallbacks=["openai/other"]))
    assert len(fake_server.requests) == 1


def test_a_fallback_restarts_the_answer_under_the_next_attempt(fake_server):
    fake_server.enqueue(interrupted("Hel"), chat_stream("Bonjour"))
    opened = ask(stream=True, fallbacks=["openai/other"], on_interrupt="restart")
    chunks = list(opened)
    assert [chunk.attempt for chunk in chunks] == sorted(chunk.attempt for chunk in chunks)
    assert {chunk.attempt for chunk in chunks} == {1, 2}
    assert len({(chunk.attempt, chunk.seq) for chunk in chunks}) == len(chunks)
    assert litellm.stream_chunk_builder(chunks).choices[0].message.content == "Bonjour"
    assert opened.model == "openai/other"


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_any_refusal_leads_to_the_next_model(fake_server, status):
    fake_server.enqueue(api_error(status, "no"))
    assert ask(fallbacks=["openai/other"]).choices


def test_the_last_models_error_is_raised(fake_server):
    fake_server.enqueue(api_error(500, "down"), api_error(404, "no such model"))
    with pytest.raises(litellm.NotFoundError) as caught:
        ask(fallbacks=["openai/other"])
    assert caught.value.model == "other"
    assert caught.value.attempts == 2


def test_each_fallback_has_its_own_retries(fake_server):
    policy = litellm.RetryPolicy(num_retries=1, first_delay=0.0)
    fake_server.enqueue(*[api_error(500, "down")] * 3)
    answer = litellm.completion(MODEL, MESSAGES, retry=policy, fallbacks=["openai/other"])
    assert answer.choices
    assert [request.json["model"] for request in fake_server.requests] == [
        *["gpt-4o-mini"] * 2,
        *["other"] * 2,
    ]


def test_fallbacks_work_in_the_asynchronous_face(fake_server):
    fake_server.enqueue(api_error(500, "down"))
    asking = litellm.acompletion(MODEL, MESSAGES, num_retries=0, fallbacks=["openai/other"])
    assert asyncio.run(asking).choices
    assert fake_server.requests[1].json["model"] == "other"


@pytest.mark.parametrize(
    ("value", "words"),
    [("openai/other", "must be a list of models, got str"), ([7], "model must be a name")],
)
def test_an_invalid_fallback_is_an_error_before_anything_is_sent(fake_server, value, words):
    with pytest.raises(litellm.InvalidRequestError, match=words):
        ask(fallbacks=value)
    assert not fake_server.requests


def test_a_mock_stays_a_mock_in_its_fallbacks(fake_server):
    good = {"model": "mistral/m", "mock_response": "fine"}
    opened = ask(mock_response="litellm.Timeout", fallbacks=["groq/m", good], stream=True)
    assert text_of(opened) == "fine"
    assert opened.model == "mistral/m"
    assert not fake_server.requests


def test_a_chunk_without_choices_survives_pickle(fake_server):
    chunks = list(ask(stream=True, mock_response="Hello"))
    again = pickle.loads(pickle.dumps(chunks))
    assert again == chunks
    assert isinstance(again[-1], Chunk)
    assert again[-1].choices[0].delta.content is None
