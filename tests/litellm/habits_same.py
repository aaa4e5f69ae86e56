"""What people write with litellm and get here as well: the first table of docs/migrating.md."""

from __future__ import annotations

import asyncio
import importlib
import json
from typing import Any

import httpx
import orjson
import pytest
from dialect_samples import DIALECTS
from fake_server import (
    FakeServer,
    Reply,
    ToolCall,
    api_error,
    chat_chunk,
    chat_events,
    chat_json,
    chat_stream,
    raw,
    sse,
    stream,
)
from habits import MESSAGES, MODEL, ask, same, text_of

HELLO = chat_stream("Hello there")
CALLS = chat_stream("", tool_calls=[ToolCall("a", "f", ['{"x"', ":1}"]), ToolCall("b", "g")])
LOGPROB = {"token": "a", "logprob": -0.5, "bytes": None, "top_logprobs": []}


def one_chunk(delta: Any, **choice: Any) -> Reply:
    """Return a stream of one chunk that brings something."""
    first = chat_chunk(delta)
    first["choices"][0].update(choice)
    return stream(sse(first), sse(chat_chunk({}, finish_reason="stop")), sse("[DONE]"))


# Reading a stream


@same("reading chunks", HELLO, gives="Hello there")
def adding_up_the_deltas(litellm: Any, server: FakeServer) -> Any:
    return text_of(ask(litellm, stream=True))


@same("reading chunks", HELLO, gives=["", "Hello ", "there", None])
def subscripts_all_the_way(litellm: Any, server: FakeServer) -> Any:
    chunks = list(ask(litellm, stream=True, stream_options={"include_usage": False}))
    return [chunk["choices"][0]["delta"]["content"] for chunk in chunks[:4]]


@same("reading chunks", HELLO, gives="Hello there")
def subscripts_in_every_chunk_that_comes(litellm: Any, server: FakeServer) -> Any:
    chunks = ask(litellm, stream=True, stream_options={"include_usage": True})
    return "".join(chunk["choices"][0]["delta"]["content"] or "" for chunk in chunks)


@same("reading chunks", HELLO, gives=("assistant", True, "chatcmpl-1", 7))
def next_and_get(litellm: Any, server: FakeServer) -> Any:
    opened = ask(litellm, stream=True)
    chunk = next(opened)
    known = chunk.choices[0].delta.role, iter(opened) is opened
    return *known, chunk.get("id"), chunk.get("nothing", 7)


@same("reading chunks", HELLO, gives=[None, None, None, "stop"])
def waiting_for_the_finish_reason(litellm: Any, server: FakeServer) -> Any:
    chunks = list(ask(litellm, stream=True))
    return [chunk.choices[0].finish_reason for chunk in chunks[:4]]


@same("reading chunks", HELLO, gives=("chat.completion.chunk", "gpt-4o-mini", "chatcmpl-1"))
def what_a_chunk_says_of_itself(litellm: Any, server: FakeServer) -> Any:
    server.enqueue(chat_stream("Hello", model="gpt-4o-mini"))
    list(ask(litellm, stream=True))
    chunk = next(ask(litellm, stream=True))
    return chunk.object, chunk.model, chunk.id


@same("usage of a stream", HELLO, gives=(0, 2, 2))
def usage_comes_last(litellm: Any, server: FakeServer) -> Any:
    *_, last = ask(litellm, stream=True, stream_options={"include_usage": True})
    return last.usage.prompt_tokens, last["usage"]["completion_tokens"], last.usage.total_tokens


@same("tool calls", CALLS, gives=[["a", "f", '{"x":1}'], ["b", "g", "{}"]])
def putting_tool_calls_together_by_hand(litellm: Any, server: FakeServer) -> Any:
    calls: dict[int, list[str]] = {}
    for chunk in ask(litellm, stream=True):
        for piece in chunk.choices[0].delta.tool_calls or []:
            call = calls.setdefault(piece.index, ["", "", ""])
            call[0] += piece.id or ""
            call[1] += piece.function.name or ""
            call[2] += piece.function.arguments or ""
    return list(calls.values())


@same("tool calls", CALLS, gives=([("a", "f", {"x": 1}), ("b", "g", {})], "tool_calls", None))
def leaving_tool_calls_to_the_builder(litellm: Any, server: FakeServer) -> Any:
    whole = litellm.stream_chunk_builder(list(ask(litellm, stream=True)), messages=MESSAGES)
    choice = whole.choices[0]
    calls = [
        (call.id, call.function.name, json.loads(call.function.arguments))
        for call in choice.message.tool_calls
    ]
    return calls, choice.finish_reason, choice.message.content


@same("several choices", chat_stream("a b", choices=2), gives={0: "a b", 1: "a b"})
def choices_by_their_index(litellm: Any, server: FakeServer) -> Any:
    texts: dict[int, str] = {}
    for chunk in ask(litellm, stream=True, n=2):
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    return texts


@same("log probabilities", one_chunk({"content": "a"}, logprobs={"content": [LOGPROB]}), gives=-0.5)
def log_probabilities_of_a_chunk(litellm: Any, server: FakeServer) -> Any:
    chunk = next(ask(litellm, stream=True, logprobs=True))
    return chunk.choices[0].logprobs.content[0].logprob


@same("reasoning", chat_stream("Hi", reasoning="hm ok"), gives=("hm ok", "Hi"))
@same("reasoning", one_chunk({"reasoning": "hm ok", "content": "Hi"}), gives=("hm ok", "Hi"))
def reasoning_under_one_name(litellm: Any, server: FakeServer) -> Any:
    chunks = list(ask(litellm, stream=True))
    thoughts = [getattr(chunk.choices[0].delta, "reasoning_content", None) for chunk in chunks]
    return "".join(thought or "" for thought in thoughts), text_of(chunks)


@same("reasoning", chat_stream("Hi", reasoning=["hm ", "ok ", "so"]), gives=["hm ", "ok ", "so"])
def reasoning_where_others_expect_content(litellm: Any, server: FakeServer) -> Any:
    thoughts = []
    for chunk in ask(litellm, stream=True):
        delta = chunk["choices"][0]["delta"]
        if delta["content"] is None and delta.get("reasoning_content"):
            thoughts.append(delta["reasoning_content"])
    return thoughts


# Reading an answer


@same("reading answers", chat_json("Hello there"), gives=("Hello there", "stop", 2, 2))
def the_whole_answer(litellm: Any, server: FakeServer) -> Any:
    answer = ask(litellm)
    usage = answer["usage"]["total_tokens"], answer.usage.completion_tokens
    return answer.choices[0].message.content, answer["choices"][0]["finish_reason"], *usage


@same("reading answers", chat_json(""), gives=(None, None, "none"))
def fields_that_are_not_there(litellm: Any, server: FakeServer) -> Any:
    message = ask(litellm).choices[0].message
    return message.content, message.tool_calls, getattr(message, "nothing", "none")


@same("`model_dump` and friends", gives=("Hello", "Hello", "Hello", "dict", True))
def dumping(litellm: Any, server: FakeServer) -> Any:
    answer = ask(litellm, mock_response="Hello")
    dumps = answer.model_dump(), answer.json(), json.loads(answer.model_dump_json())
    texts = [each["choices"][0]["message"]["content"] for each in dumps]
    kept = answer.model_dump(exclude_none=True)["choices"][0]
    return *texts, type(dumps[0]["choices"][0]).__name__, "logprobs" not in kept


@same("`model_dump` and friends", HELLO, gives=("Hello ", "Hello "))
def dumping_a_chunk(litellm: Any, server: FakeServer) -> Any:
    chunk = list(ask(litellm, stream=True))[1]
    texts = chunk.model_dump(), json.loads(chunk.model_dump_json(exclude_none=True))
    return tuple(each["choices"][0]["delta"]["content"] for each in texts)


@same("conversations", CALLS, gives=["user", "assistant", "tool", "tool"])
def an_answer_goes_back_in(litellm: Any, server: FakeServer) -> Any:
    whole = litellm.stream_chunk_builder(list(ask(litellm, stream=True)), messages=MESSAGES)
    said = whole.choices[0].message
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": "1"} for call in said.tool_calls
    ]
    ask(litellm, messages=[*MESSAGES, said, *results])
    ask(litellm, messages=[*MESSAGES, said.model_dump(), *results])
    first, second = (request.json["messages"] for request in server.requests[1:])
    assert [call["id"] for call in first[1]["tool_calls"]] == ["a", "b"]
    assert [each["role"] for each in first] == [each["role"] for each in second]
    return [each["role"] for each in first]


@same("`stream_chunk_builder`", HELLO, gives=("Hello there", "stop", "assistant", 2))
def the_sum_of_a_stream(litellm: Any, server: FakeServer) -> Any:
    chunks = list(ask(litellm, stream=True, stream_options={"include_usage": True}))
    whole = litellm.stream_chunk_builder(chunks, messages=MESSAGES)
    choice = whole.choices[0]
    tokens = whole.usage.completion_tokens
    return choice.message.content, choice.finish_reason, choice.message.role, tokens


@same("`stream_chunk_builder`", gives=("ab", "chat.completion", None))
def the_sum_of_plain_dicts(litellm: Any, server: FakeServer) -> Any:
    deltas = {"role": "assistant", "content": "a"}, {"content": "b"}
    chunks = [*map(chat_chunk, deltas), chat_chunk({}, finish_reason="stop")]
    whole = litellm.stream_chunk_builder(chunks)
    return whole.choices[0].message.content, whole.object, litellm.stream_chunk_builder([])


# Asking


@same("`acompletion`", HELLO, chat_json("whole"), gives=("Hello there", "whole"))
def asking_without_waiting(litellm: Any, server: FakeServer) -> Any:
    async def both() -> Any:
        opened = await litellm.acompletion(model=MODEL, messages=MESSAGES, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in opened])
        answer = await litellm.acompletion(model=MODEL, messages=MESSAGES)
        return text, answer.choices[0].message.content

    return asyncio.run(both())


@same("`acompletion`", gives=["0", "1", "2", "3", "4"])
def many_at_once(litellm: Any, server: FakeServer) -> Any:
    async def all_of_them() -> Any:
        asked = [
            litellm.acompletion(MODEL, [{"role": "user", "content": str(number)}])
            for number in range(5)
        ]
        return [answer.choices[0].message.content for answer in await asyncio.gather(*asked)]

    return asyncio.run(all_of_them())


@same("`acompletion`", HELLO, gives="left")
def leaving_a_stream_early(litellm: Any, server: FakeServer) -> Any:
    async def leave() -> Any:
        opened = await litellm.acompletion(MODEL, MESSAGES, stream=True)
        async for _ in opened:
            break
        await opened.aclose()
        return "left"

    return asyncio.run(leave())


@same("`mock_response`", gives=("A b", "A b", 30, "gpt-4o-mini"))
def a_mock(litellm: Any, server: FakeServer) -> Any:
    answer = ask(litellm, mock_response="A b")
    streamed = text_of(ask(litellm, mock_response="A b", stream=True))
    return answer.choices[0].message.content, streamed, answer.usage.total_tokens, answer.model


@same("`mock_response`", gives="A b")
def a_mock_streamed_without_waiting(litellm: Any, server: FakeServer) -> Any:
    async def streamed() -> Any:
        opened = await litellm.acompletion(MODEL, MESSAGES, mock_response="A b", stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in opened])

    return asyncio.run(streamed())


@same("`mock_response`", gives=["hi", "hi"])
def a_mock_for_each_choice(litellm: Any, server: FakeServer) -> Any:
    return [choice.message.content for choice in ask(litellm, mock_response="hi", n=2).choices]


@same("`mock_response`", gives=[("RateLimitError", 429), ("RateLimitError", 429)])
def a_mock_that_fails(litellm: Any, server: FakeServer) -> Any:
    error = litellm.RateLimitError(message="slow", llm_provider="openai", model="m")
    failed = []
    for mock in (error, "litellm.RateLimitError"):
        try:
            ask(litellm, mock_response=mock)
        except litellm.RateLimitError as caught:
            failed.append((type(caught).__name__, caught.status_code))
    return failed


@same("`mock_response`", gives="InternalServerError")
def a_mock_that_fails_as_a_stream(litellm: Any, server: FakeServer) -> Any:
    error = litellm.InternalServerError(message="down", llm_provider="openai", model="m")
    try:
        list(ask(litellm, mock_response=error, stream=True))
    except litellm.InternalServerError as caught:
        return type(caught).__name__


@same("`mock_response`", gives="no key")
def a_mock_needs_no_key(litellm: Any, server: FakeServer) -> Any:
    mock = litellm.completion("anthropic/claude-x", MESSAGES, mock_response="no key")
    return mock.choices[0].message.content


@same("`drop_params`", gives="UnsupportedParamsError")
def a_parameter_that_a_provider_lacks(litellm: Any, server: FakeServer) -> Any:
    given = {"api_key": "k", "logit_bias": {"1": 1}, "api_base": server.base_url}
    try:
        litellm.completion("anthropic/claude-sonnet-4-5", MESSAGES, **given)
    except litellm.BadRequestError as error:
        return type(error).__name__


@same(
    "`drop_params`",
    raw(orjson.dumps(DIALECTS["anthropic/claude-x"][2]), "application/json"),
    gives=("Hello there", False),
)
def a_parameter_that_is_dropped(litellm: Any, server: FakeServer) -> Any:
    given = {"api_key": "k", "logit_bias": {"1": 1}, "api_base": server.base_url[:-3]}
    answer = litellm.completion("anthropic/claude-sonnet-4-5", MESSAGES, drop_params=True, **given)
    return answer.choices[0].message.content, "logit_bias" in server.requests[0].json


@same("settings on the module", api_error(500), gives=("InternalServerError", 1))
def settings_of_the_module(litellm: Any, server: FakeServer) -> Any:
    before = litellm.num_retries, litellm.drop_params, litellm.request_timeout
    litellm.num_retries, litellm.drop_params, litellm.request_timeout = 0, True, 9.0
    try:
        litellm.completion(MODEL, MESSAGES, max_retries=0)
    except litellm.InternalServerError as error:
        return type(error).__name__, len(server.requests)
    finally:
        litellm.num_retries, litellm.drop_params, litellm.request_timeout = before


@same("`api_base`", gives=["Hello", "Hello"])
def another_address(litellm: Any, server: FakeServer) -> Any:
    given = ({name: server.base_url, "api_key": "k"} for name in ("api_base", "base_url"))
    return [ask(litellm, **each).choices[0].message.content for each in given]


@same("`num_retries`", api_error(500), HELLO, gives=("Hello there", 2))
def retrying_before_the_first_chunk(litellm: Any, server: FakeServer) -> Any:
    opened = litellm.completion(MODEL, MESSAGES, num_retries=1, stream=True)
    return text_of(opened), len(server.requests)


@same("`timeout`", gives=["Hello"] * 4)
def limits_of_patience(litellm: Any, server: FakeServer) -> Any:
    given = {"timeout": 5}, {"timeout": 5.0}, {"request_timeout": 5}
    limits = [*given, {"timeout": httpx.Timeout(5.0, connect=1.0)}]
    return [ask(litellm, **each).choices[0].message.content for each in limits]


@same("`fallbacks`", api_error(500), api_error(500), gives=[("one", None), ("other", 0.5)])
def the_next_model(litellm: Any, server: FakeServer) -> Any:
    other = {"model": "openai/other", "temperature": 0.5}
    assert ask(litellm, fallbacks=["openai/one", other]).choices
    asked = [(each.json["model"], each.json.get("temperature")) for each in server.requests]
    return asked[1:]


@same("`extra_headers`, `extra_body`", gives=("7", "8", 5, 6))
def what_only_this_provider_knows(litellm: Any, server: FakeServer) -> Any:
    ask(litellm, extra_headers={"X-A": "7"}, extra_body={"top_k": 5})
    ask(litellm, headers={"X-A": "8"}, top_k=6)
    first, second = server.requests
    headers = first.headers["x-a"], second.headers["x-a"]
    return *headers, first.json["top_k"], second.json["top_k"]


@same("`metadata`", gives=("Hello", False))
def notes_for_whoever_watches(litellm: Any, server: FakeServer) -> Any:
    answer = ask(litellm, metadata={"job": 7, "tags": ["a"]})
    return answer.choices[0].message.content, "metadata" in server.requests[0].json


@same("`stream_options`", gives=True)
def asking_for_usage(litellm: Any, server: FakeServer) -> Any:
    list(ask(litellm, stream=True, stream_options={"include_usage": True}))
    return server.requests[0].json["stream_options"]["include_usage"]


@same("`response_format`", gives=("json_schema", "Weather", True, ["degrees"]))
def a_pydantic_model_of_the_answer(litellm: Any, server: FakeServer) -> Any:
    pydantic = pytest.importorskip("pydantic", reason="pydantic is not installed")
    shape = pydantic.create_model("Weather", degrees=(float, ...))

    ask(litellm, response_format=shape)
    sent = server.requests[0].json["response_format"]
    schema = sent["json_schema"]
    return sent["type"], schema["name"], schema["strict"], schema["schema"]["required"]


@same("arguments of None", gives={"model", "messages"})
def arguments_of_none(litellm: Any, server: FakeServer) -> Any:
    names = "tools tool_choice stop timeout api_key base_url seed response_format user".split()
    ask(litellm, **dict.fromkeys(names))
    return set(server.requests[0].json)


@same("`custom_llm_provider`", gives="m")
def the_provider_apart(litellm: Any, server: FakeServer) -> Any:
    litellm.completion("m", MESSAGES, custom_llm_provider="openai")
    return server.requests[0].json["model"]


@same("`batch_completion`", gives=["one", "two", "three"])
def a_batch(litellm: Any, server: FakeServer) -> Any:
    asked = [[{"role": "user", "content": text}] for text in ("one", "two", "three")]
    answers = litellm.batch_completion(MODEL, asked, max_workers=2)
    return [answer.choices[0].message.content for answer in answers]


@same("`batch_completion`", api_error(401), api_error(401), gives=["AuthenticationError"] * 2)
def a_batch_that_fails(litellm: Any, server: FakeServer) -> Any:
    answers = litellm.batch_completion(MODEL, [MESSAGES, MESSAGES], num_retries=0)
    return [type(answer).__name__ for answer in answers]


# Providers


def spoken(model: str) -> Reply:
    """Return the streamed answer in the dialect of `model`."""
    body, kind, *_ = DIALECTS[model]
    return raw(body, kind)


def told(litellm: Any, server: FakeServer, model: str, base: str, **given: Any) -> Any:
    """Return the text, the finish reason, and the path that was asked."""
    given = {"api_key": "k", "api_base": base, "stream": True, **given}
    chunks = list(litellm.completion(model, MESSAGES, **given))
    reasons = {chunk.choices[0].finish_reason for chunk in chunks} - {None}
    return text_of(chunks), reasons, server.requests[-1].path


def gives(path: str) -> Any:
    return "Hello there", {"stop"}, path


@same("providers", spoken("anthropic/claude-x"), gives=gives("/v1/messages"))
def anthropic(litellm: Any, server: FakeServer) -> Any:
    return told(litellm, server, "anthropic/claude-sonnet-4-5", server.base_url[:-3])


@same(
    "providers",
    spoken("gemini/gemini-x"),
    gives=gives("/models/gemini-2.5-flash:streamGenerateContent"),
)
def gemini(litellm: Any, server: FakeServer) -> Any:
    return told(litellm, server, "gemini/gemini-2.5-flash", server.base_url[:-3])


@same("providers", HELLO, gives=gives("/openai/deployments/dep/chat/completions"))
def azure(litellm: Any, server: FakeServer) -> Any:
    return told(litellm, server, "azure/dep", server.base_url[:-3], api_version="2024-10-21")


@same(
    "providers",
    stream(sse({"choices": [], "id": "", "model": ""}), *chat_events("Hello there")),
    gives=gives("/openai/deployments/dep/chat/completions"),
)
def azure_begins_with_a_chunk_of_nothing(litellm: Any, server: FakeServer) -> Any:
    return told(litellm, server, "azure/dep", server.base_url[:-3], api_version="2024-10-21")


@same("providers", spoken("ollama/m"), gives=gives("/api/chat"))
def ollama(litellm: Any, server: FakeServer) -> Any:
    return told(litellm, server, "ollama_chat/llama3", server.base_url[:-3])


@same(
    "providers",
    spoken("bedrock/amazon.nova-x:0"),
    gives=gives("/model/amazon.nova-lite-v1%3A0/converse-stream"),
)
def bedrock(litellm: Any, server: FakeServer) -> Any:
    keys = {"aws_access_key_id": "AKIA", "aws_secret_access_key": "s", "api_key": None}
    given = {**keys, "aws_region_name": "us-east-1"}
    return told(litellm, server, "bedrock/amazon.nova-lite-v1:0", server.base_url[:-3], **given)


@same("providers", *[HELLO] * 6, gives=["Hello there"] * 6)
def whoever_follows_openai(litellm: Any, server: FakeServer) -> Any:
    models = "groq/m mistral/m deepseek/deepseek-chat hosted_vllm/m openrouter/a/m xai/grok".split()
    return [told(litellm, server, model, server.base_url)[0] for model in models]


# Errors

RAISED = {
    400: "BadRequestError",
    401: "AuthenticationError",
    404: "NotFoundError",
    408: "Timeout",
    429: "RateLimitError",
    500: "InternalServerError",
    502: "BadGatewayError",
    503: "ServiceUnavailableError",
    504: "Timeout",
}


@same(
    "exceptions",
    *[api_error(status, message="no way") for status in RAISED],
    gives=[(name, status, "openai", "gpt-4o-mini", True) for status, name in RAISED.items()],
)
def refusals(litellm: Any, server: FakeServer) -> Any:
    raised = []
    for _ in RAISED:
        try:
            ask(litellm)
        except Exception as error:
            where = error.status_code, error.llm_provider, error.model
            raised.append((type(error).__name__, *where, "no way" in error.message))
    return raised


TOO_LONG = "This model's maximum context length is 10 tokens"


@same(
    "exceptions",
    api_error(400, "invalid_request_error", "context_length_exceeded", TOO_LONG),
    api_error(400, "invalid_request_error", "content_policy_violation", "our safety system"),
    gives=["ContextWindowExceededError", "ContentPolicyViolationError"],
)
def kinds_of_a_bad_request(litellm: Any, server: FakeServer) -> Any:
    raised = []
    for _ in range(2):
        try:
            ask(litellm)
        except litellm.BadRequestError as error:
            raised.append(type(error).__name__)
    return raised


NAMES = """
    APIConnectionError APIError APIResponseValidationError AuthenticationError BadGatewayError
    BadRequestError ContentPolicyViolationError ContextWindowExceededError InternalServerError
    NotFoundError PermissionDeniedError RateLimitError ServiceUnavailableError Timeout
    UnprocessableEntityError UnsupportedParamsError
""".split()


@same("exceptions", gives=NAMES)
def exceptions_under_two_addresses(litellm: Any, server: FakeServer) -> Any:
    return [name for name in NAMES if getattr(litellm, name) is getattr(litellm.exceptions, name)]


@same("exceptions", gives=["BadRequestError"] * 3)
def exceptions_that_are_bad_requests(litellm: Any, server: FakeServer) -> Any:
    names = "ContextWindowExceededError ContentPolicyViolationError UnsupportedParamsError".split()
    bad = litellm.BadRequestError
    return [bad.__name__ for name in names if issubclass(getattr(litellm, name), bad)]


@same("exceptions", gives="a BadRequestError")
def a_model_of_nobodys(litellm: Any, server: FakeServer) -> Any:
    try:
        litellm.completion("nonsense-model", MESSAGES)
    except litellm.BadRequestError:
        return "a BadRequestError"


@same("type names", gives=["ModelResponse", "CustomStreamWrapper", "ModelResponseStream"])
def type_names(litellm: Any, server: FakeServer) -> Any:
    opened = ask(litellm, stream=True)
    values = {"ModelResponse": ask(litellm), "CustomStreamWrapper": opened}
    values["ModelResponseStream"] = next(opened)
    return [name for name, value in values.items() if isinstance(value, getattr(litellm, name))]


@same("type names", gives=["Choices", "Message", "Usage", "StreamingChoices", "Delta"])
def names_of_the_parts(litellm: Any, server: FakeServer) -> Any:
    utils = importlib.import_module(f"{litellm.__name__}.types.utils")
    answer, chunk = ask(litellm), next(ask(litellm, stream=True))
    (choice,), (piece,) = answer.choices, chunk.choices
    parts = [choice, choice.message, answer.usage, piece, piece.delta]
    names = "Choices Message Usage StreamingChoices Delta".split()
    pairs = zip(names, parts, strict=True)
    return [name for name, part in pairs if isinstance(part, getattr(utils, name))]


@same("copies", gives=["ModelResponse", "ModelResponse", "ModelResponseStream"])
def copies_keep_their_type(litellm: Any, server: FakeServer) -> Any:
    answer, chunk = ask(litellm), next(ask(litellm, stream=True))
    copied = [answer.copy(), answer.model_copy(update={"id": "a"}), chunk.copy()]
    kinds = [litellm.ModelResponse, litellm.ModelResponse, litellm.ModelResponseStream]
    names = ["ModelResponse", "ModelResponse", "ModelResponseStream"]
    return [n for n, kind, value in zip(names, kinds, copied, strict=True) if type(value) is kind]


# What is known of models


@same("costs", gives=(7.5e-07, 7.5e-07, True))
def what_it_cost(litellm: Any, server: FakeServer) -> Any:
    answer = ask(litellm)
    computed = litellm.completion_cost(answer)
    module = litellm.cost_calculator.completion_cost(answer, model=MODEL)
    return computed, module, answer._hidden_params["response_cost"] == computed


@same("costs", gives=(0.00015, 0.0006))
def what_tokens_cost(litellm: Any, server: FakeServer) -> Any:
    return tuple(
        round(usd, 9) for usd in litellm.cost_per_token("gpt-4o-mini", 1000, completion_tokens=1000)
    )


@same("costs", gives=[True, True])
def a_model_without_a_price(litellm: Any, server: FakeServer) -> Any:
    raised = []
    for function in (litellm.completion_cost, litellm.get_model_info):
        try:
            function(model="openai/nonsense")
        except Exception as error:
            raised.append("nonsense" in str(error))
    return raised


@same("`get_model_info`, `model_cost`", gives=("openai", "chat", 1.5e-07, 6e-07, True, 1.5e-07))
def what_is_known_of_a_model(litellm: Any, server: FakeServer) -> Any:
    info = litellm.get_model_info("openai/gpt-4o-mini")
    known = info["litellm_provider"], info["mode"]
    prices = info["input_cost_per_token"], info["output_cost_per_token"]
    listed = litellm.model_cost["gpt-4o-mini"]["input_cost_per_token"]
    return *known, *prices, info["supports_function_calling"], listed


@same("`register_model`", gives=(0.003, 77))
def a_price_of_ones_own(litellm: Any, server: FakeServer) -> Any:
    costs = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
    litellm.register_model(
        {"openai/mine": {**costs, "litellm_provider": "openai", "mode": "chat", "max_tokens": 77}}
    )
    spent = sum(litellm.cost_per_token("openai/mine", 1000, completion_tokens=1000))
    return round(spent, 9), litellm.get_model_info("openai/mine")["max_tokens"]


MODELS = ["gpt-4o-mini", "o3", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash", "nonsense"]


@same(
    "`supports_...`",
    gives={
        "gpt-4o-mini": ["function_calling", "response_schema", "tool_choice", "vision"],
        "o3": ["function_calling", "reasoning", "response_schema", "tool_choice", "vision"],
        "anthropic/claude-sonnet-4-5": [
            "function_calling", "reasoning", "response_schema", "tool_choice", "vision"
        ],
        "gemini/gemini-2.5-flash": [
            "function_calling", "reasoning", "response_schema", "tool_choice", "vision"
        ],
        "nonsense": [],
    },
)  # fmt: skip
def what_a_model_supports(litellm: Any, server: FakeServer) -> Any:
    features = "function_calling reasoning response_schema tool_choice vision".split()
    asked = {name: getattr(litellm.utils, f"supports_{name}") for name in features}
    return {model: [name for name in features if asked[name](model=model)] for model in MODELS}


@same("`get_supported_openai_params`", gives=(["max_tokens", "stop", "stream", "tools"], None))
def parameters_of_a_model(litellm: Any, server: FakeServer) -> Any:
    names = litellm.get_supported_openai_params(
        model="gemini-2.5-flash", custom_llm_provider="gemini"
    )
    wanted = {"max_tokens", "stop", "stream", "tools", "frobnicate"}
    return sorted(wanted & {*names}), litellm.get_supported_openai_params("nonsense")


@same("`get_llm_provider`", gives=[("m", "groq"), ("gpt-4o-mini", "openai"), ("m", "ollama_chat")])
def the_provider_of_a_model(litellm: Any, server: FakeServer) -> Any:
    return [
        litellm.get_llm_provider(name)[:2] for name in ("groq/m", "gpt-4o-mini", "ollama_chat/m")
    ]


@same("`get_llm_provider`", gives="a BadRequestError")
def the_provider_of_nonsense(litellm: Any, server: FakeServer) -> Any:
    try:
        litellm.get_llm_provider("nonsense")
    except litellm.BadRequestError:
        return "a BadRequestError"


@same(
    "`validate_environment`",
    gives=[
        {"keys_in_environment": True, "missing_keys": []},
        {"keys_in_environment": False, "missing_keys": ["GROQ_API_KEY"]},
    ],
)
def what_the_environment_lacks(litellm: Any, server: FakeServer) -> Any:
    return [litellm.validate_environment(model) for model in ("openai/gpt-4o-mini", "groq/m")]


PROGRAMS = """
    AzureOpenAIError BudgetExceededError ImageFetchError JSONSchemaValidationError
    RouterRateLimitError
""".split()


@same("exceptions", gives=PROGRAMS)
def exceptions_that_programs_catch(litellm: Any, server: FakeServer) -> Any:
    return [name for name in PROGRAMS if issubclass(getattr(litellm, name), Exception)]


WITHOUT_CACHE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 10, "output_tokens": 1},
}


@same(
    "tokens of a cache",
    raw(orjson.dumps(WITHOUT_CACHE), "application/json"),
    chat_json("Hello"),
    gives=(0, 0, 0),
)
def tokens_of_a_cache_that_did_not_come(litellm: Any, server: FakeServer) -> Any:
    given = {"api_key": "k", "api_base": server.base_url[:-3]}
    claude = ask(litellm, model="anthropic/claude-sonnet-4-5", **given).usage
    gpt = ask(litellm).usage
    own = claude.cache_read_input_tokens, claude.cache_creation_input_tokens
    return *own, getattr(gpt, "cache_read_input_tokens", 0)


@same("tool calls", chat_stream("", tool_calls=[ToolCall("a", "f", [])]), gives=[("f", {})])
def a_call_without_arguments(litellm: Any, server: FakeServer) -> Any:
    answer = litellm.stream_chunk_builder(list(ask(litellm, stream=True)))
    functions = [call.function for call in answer.choices[0].message.tool_calls]
    return [(each.name, json.loads(each.arguments)) for each in functions]


@same("type names", gives=True)
def the_type_of_an_async_stream(litellm: Any, server: FakeServer) -> Any:
    async def opened() -> Any:
        given = {"model": MODEL, "messages": MESSAGES, "num_retries": 0, "max_retries": 0}
        return await litellm.acompletion(**given, stream=True)

    return isinstance(asyncio.run(opened()), litellm.CustomStreamWrapper)
