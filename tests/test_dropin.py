"""`import ritellm as litellm`: each line of docs/migrating.md, as a test."""

from __future__ import annotations

import asyncio
import json
import pickle
import re
from pathlib import Path

import orjson
import pytest
from fake_server import (
    api_error,
    chat_events,
    chat_json,
    chat_stream,
    sse_error,
    stream,
)

import ritellm as litellm
from ritellm.types import Chunk

MODEL = "openai/gpt-4o-mini"
MESSAGES = [{"role": "user", "content": "Hello"}]
PAGE = Path(__file__).parent.parent / "docs" / "migrating.md"
LINES = {}


def line(name):
    """Note the test of the line of docs/migrating.md that begins with `name`."""

    def noted(test):
        LINES[name] = test
        return test

    return noted


def documented():
    """Return the first cell of each row of the page."""
    cells = re.findall(r"^\| (.+?) \|", PAGE.read_text(), re.MULTILINE)
    return [cell for cell in cells if cell != "what"]


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


# The same


@line("reading chunks")
def reading_chunks(server):
    server.enqueue(chat_stream("Hello there", usage=True))
    chunks = list(ask(stream=True))
    assert text_of(chunks) == "Hello there"
    assert all(chunk["choices"][0]["delta"].get("content", "") is not None for chunk in chunks)
    assert chunks[-1].usage.total_tokens
    assert chunks[-1]["choices"] == []
    assert not chunks[-1].choices
    assert json.loads(orjson.dumps(chunks[-1]))["choices"] == []
    with pytest.raises(IndexError):
        chunks[-1].choices[1]


@line("reading answers")
def reading_answers(server):
    server.enqueue(chat_json("Hello there"))
    answer = ask()
    assert answer.choices[0].message.content == "Hello there"
    assert answer["usage"]["total_tokens"] == answer.usage.total_tokens > 0


@line("`model_dump` and friends")
def dumping(server):
    answer = ask(mock_response="Hello")
    plain = answer.model_dump()
    assert plain == answer == answer.to_dict() == answer.json()
    assert type(plain) is dict
    assert type(plain["choices"][0]) is dict
    assert json.loads(answer.model_dump_json()) == plain
    assert "logprobs" not in answer.model_dump(exclude_none=True)["choices"][0]
    assert answer.get("nothing", 7) == 7


@line("`api_base`")
def api_base(server):
    for name in ("api_base", "base_url"):
        for address in (server.base_url, f"{server.base_url}/chat/completions"):
            assert ask(**{name: address}).choices
    assert {request.path for request in server.requests} == {"/v1/chat/completions"}


@line("`num_retries`")
def num_retries(server):
    for name in ("num_retries", "max_retries"):
        server.enqueue(api_error(401, "no"))
        with pytest.raises(litellm.AuthenticationError):
            litellm.completion(MODEL, MESSAGES, **{name: 0})


@line("`fallbacks`")
def fallbacks(server):
    server.enqueue(api_error(500, "down"), api_error(500, "down"))
    other = {"model": "openai/other", "temperature": 0.5}
    answer = ask(fallbacks=["openai/one", other])
    assert answer.choices
    asked = [(each.json["model"], each.json.get("temperature")) for each in server.requests]
    assert asked == [("gpt-4o-mini", None), ("one", None), ("other", 0.5)]


@line("`mock_response`")
def mock_response(server):
    whole = {"choices": [{"index": 0, "message": {"content": "A b"}, "finish_reason": "stop"}]}
    for mock in ("A b", ["A ", "b"], whole):
        assert ask(mock_response=mock).choices[0].message.content == "A b"
        assert text_of(ask(mock_response=mock, stream=True)) == "A b"
    chunks = list(ask(mock_response="A b", stream=True))
    assert text_of(ask(mock_response=chunks, stream=True)) == "A b"
    assert ask(mock_response=chunks).choices[0].message.content == "A b"

    async def streamed():
        asked = await litellm.acompletion(MODEL, MESSAGES, mock_response="A b", stream=True)
        return [chunk async for chunk in asked]

    assert text_of(asyncio.run(streamed())) == "A b"
    error = litellm.RateLimitError("slow down")
    for mock in ("litellm.RateLimitError", litellm.RateLimitError, error):
        with pytest.raises(litellm.RateLimitError):
            ask(mock_response=mock, num_retries=3)
    with pytest.raises(ZeroDivisionError):
        ask(mock_response=ZeroDivisionError())
    with pytest.raises(litellm.InvalidRequestError, match="mock_response must be"):
        ask(mock_response=7)
    assert litellm.completion("anthropic/claude", MESSAGES, mock_response="no key").choices
    assert not server.requests


@line("`drop_params`")
def drop_params(server):
    assert ask(drop_params=True, frobnicate=1).choices
    litellm.drop_params = True
    litellm.num_retries = 0
    litellm.request_timeout = 9.0
    assert litellm.completion(MODEL, MESSAGES, frobnicate=1).choices
    server.enqueue(api_error(500, "down"))
    with pytest.raises(litellm.InternalServerError):
        litellm.completion(MODEL, MESSAGES)


@line("`stream_options`")
def stream_options(server):
    assert list(ask(stream=True, stream_options={"include_usage": True}))[-1].usage
    list(ask(stream=True, stream_options={"include_usage": False, "x": 1}))
    wanted = [request.json["stream_options"]["include_usage"] for request in server.requests]
    assert wanted == [True, False]


@line("`extra_headers`, `extra_body`")
def extras(server):
    ask(extra_headers={"X-Trace": "7"}, extra_body={"top_k": 5})
    (request,) = server.requests
    assert request.headers["x-trace"] == "7"
    assert request.json["top_k"] == 5


@line("`custom_llm_provider`")
def custom_llm_provider(server):
    litellm.completion("m", MESSAGES, custom_llm_provider="openai")
    assert server.requests[0].json["model"] == "m"


@line("`additional_params`")
def additional_params(server):
    address = f"{server.base_url}/chat/completions"
    ask(additional_params='{"temperature": 0.7, "max_tokens": 5}', base_url=address)
    assert server.requests[0].json["temperature"] == 0.7
    assert server.requests[0].path == "/v1/chat/completions"


@line("`batch_completion`")
def batch_completion(server):
    asked = [[{"role": "user", "content": text}] for text in ("one", "two", "three")]
    first, wrong, last = litellm.batch_completion(MODEL, [asked[0], [], asked[2]], max_workers=2)
    assert first.choices[0].message.content == "one"
    assert isinstance(wrong, litellm.InvalidRequestError)
    assert last.choices[0].message.content == "three"


@line("`stream_chunk_builder`")
def builder(server):
    chunks = list(ask(stream=True))
    whole = litellm.stream_chunk_builder(chunks, messages=MESSAGES)
    assert whole.choices[0].message.content == "Hello"
    assert litellm.stream_chunk_builder([dict(chunk) for chunk in chunks]) == whole


LITELLMS = """
    APIConnectionError APIError APIResponseValidationError AuthenticationError BadGatewayError
    BadRequestError ContentPolicyViolationError ContextWindowExceededError InternalServerError
    InvalidRequestError LiteLLMUnknownProvider NotFoundError OpenAIError PermissionDeniedError
    RateLimitError ServiceUnavailableError Timeout UnprocessableEntityError UnsupportedParamsError
""".split()


@line("exceptions")
def exceptions(server):
    for name in LITELLMS:
        cls = getattr(litellm, name)
        assert getattr(litellm.exceptions, name) is cls
        assert issubclass(cls, litellm.OpenAIError)
    server.enqueue(api_error(429, message="slow down"))
    with pytest.raises(litellm.RateLimitError) as caught:
        ask()
    error = caught.value
    assert (error.status_code, error.llm_provider, error.model) == (429, "openai", "gpt-4o-mini")
    assert "slow down" in error.message


@line("what was wrong with the call")
def wrong_calls(server):
    with pytest.raises(litellm.BadRequestError):
        ask(frobnicate=1)
    with pytest.raises(litellm.BadRequestError):
        litellm.completion("acme/x", MESSAGES)


@line("type names")
def type_names(server):
    assert isinstance(ask(), litellm.ModelResponse)
    opened = ask(stream=True)
    assert isinstance(opened, litellm.CustomStreamWrapper)
    assert all(isinstance(chunk, litellm.ModelResponseStream) for chunk in opened)


# Better


@line("a stream that is cut off")
def cut_off(server):
    server.enqueue(stream(*chat_events("Hello there", done=False, finish_reason=None)))
    with pytest.raises(litellm.StreamTruncatedError) as caught:
        list(ask(stream=True))
    assert caught.value.partial.choices[0].message.content == "Hello there"


def summed(*choices):
    chunks = [{"choices": [choice]} for choice in choices]
    return litellm.stream_chunk_builder(chunks).choices


@line("n above 1")
def several_choices(server):
    one = {"index": 0, "delta": {"content": "a"}}
    two = {"index": 1, "delta": {"content": "b"}}
    texts = [choice.message.content for choice in summed(one, two, one, two)]
    assert texts == ["aa", "bb"]


@line("log probabilities and refusals")
def logprobs(server):
    token = {"token": "a", "logprob": -0.1}
    delta = {"content": "a", "refusal": "no"}
    (choice,) = summed({"index": 0, "delta": delta, "logprobs": {"content": [token]}})
    assert choice.logprobs.content == [token]
    assert choice.message.refusal == "no"


@line("two calls under one index")
def two_calls(server):
    deltas = [
        {"tool_calls": [{"index": 0, "id": name, "function": {"name": name, "arguments": "{}"}}]}
        for name in ("a", "b")
    ]
    (choice,) = summed(*({"index": 0, "delta": delta} for delta in deltas))
    assert [call.id for call in choice.message.tool_calls] == ["a", "b"]


@line("usage")
def usage(server):
    server.enqueue(chat_stream("Hello", usage=False))
    opened = ask(stream=True)
    list(opened)
    assert opened.completion.usage is None
    assert opened.completion.usage_source == "missing"


@line("an error inside a 200")
def error_inside(server):
    server.enqueue(sse_error("overloaded", code="rate_limit_exceeded"))
    with pytest.raises(litellm.RateLimitError):
        list(ask(stream=True))


@line("control events")
def control_events(server):
    controls = [b"id: 1\n\n", b": ping\n\n", b"retry: 3000\n\n", b"event: ping\n\n", b"data:\n\n"]
    server.enqueue(stream(*controls, *chat_events("Hello")))
    assert text_of(ask(stream=True)) == "Hello"


@line("keys and fallbacks")
def keys_stay_home(server, monkeypatch):
    monkeypatch.setenv("MISTRAL_BASE_URL", server.base_url)
    server.enqueue(api_error(500, "down"))
    given = {"api_key": "sk-first", "extra_headers": {"x-first": "1"}, "extra_body": {"first": 1}}
    ask(fallbacks=[{"model": "mistral/m", "api_key": "second"}], temperature=0, **given)
    first, second = server.requests
    assert first.headers["authorization"] == "Bearer sk-first"
    assert second.headers["authorization"] == "Bearer second"
    assert "x-first" not in second.headers
    assert "first" not in second.json
    assert second.json["temperature"] == 0


@line("connections")
def connections(server):
    with litellm.Client() as client:
        for _ in range(5):
            list(client.completion(MODEL, MESSAGES, stream=True))
    assert server.connections == 1


@line("timings")
def timings(server):
    opened = ask(stream=True)
    list(opened)
    assert 0 < opened.timing.ttft <= opened.timing.total
    assert set(opened.timing.inter_chunk) == {"p50", "p95", "p99"}


# Not there


@line('`chunk["choices"][0]["delta"]["content"]` where there is none')
def absent_content(server):
    last = list(ask(stream=True))[-1]
    assert last["choices"][0]["delta"].get("content") is None
    assert last.choices[0].delta.content is None


@line("`context_window_fallback_dict`")
def context_window_fallbacks(server):
    with pytest.raises(litellm.UnsupportedParamsError, match="fallbacks="):
        ask(context_window_fallback_dict={"a": "b"}, drop_params=True)


@line("`stream_timeout`")
def stream_timeout(server):
    with pytest.raises(litellm.UnsupportedParamsError, match="Timeouts"):
        ask(stream_timeout=3)


@line("unknown parameters")
def unknown_parameters(server):
    with pytest.raises(litellm.UnsupportedParamsError, match="did you mean temperature"):
        ask(temprature=3)


@line("`metadata`")
def metadata(server):
    ask(metadata={"a": "b"}, store=True)
    assert server.requests[0].json["metadata"] == {"a": "b"}


@line("callbacks, caching, budgets, `Router`, proxy")
@line("embeddings, images, audio, `text_completion`")
@line("costs (`response_cost`, `completion_cost`)")
@line("`MidStreamFallbackError`")
def absent_names(server):
    for name in "Router embedding text_completion completion_cost MidStreamFallbackError".split():
        assert not hasattr(litellm, name)


def test_each_line_of_the_page_has_a_test():
    assert sorted(documented()) == sorted(LINES)


@pytest.mark.parametrize("name", LINES)
def test_the_line_is_true(name, fake_server, monkeypatch):
    test = LINES[name]
    test(fake_server, monkeypatch) if name == "keys and fallbacks" else test(fake_server)


# Fallbacks, in more depth


def interrupted(text):
    """Return a reply that breaks off after `text`."""
    return stream(*chat_events(text, done=False, finish_reason=None))


def test_a_fallback_after_the_first_chunk_needs_leave(fake_server):
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
def test_whatever_the_refusal_the_next_model_is_asked(fake_server, status):
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
    [("openai/other", "must be a list of models, not str"), ([7], "model must be a name")],
)
def test_a_wrong_fallback_is_said_before_anything_is_sent(fake_server, value, words):
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
