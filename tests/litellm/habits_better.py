"""Where litellm is wrong, and what ritellm does: the second table of docs/migrating.md."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import orjson
from fake_server import (
    FakeServer,
    Reply,
    Reset,
    api_error,
    chat_chunk,
    chat_events,
    chat_stream,
    html_page,
    raw,
    sse,
    sse_error,
    stream,
)
from habits import MESSAGES, MODEL, Raised, ask, differs, text_of
from habits_same import LOGPROB, one_chunk

CUT_OFF = stream(*chat_events("Hello there", done=False, finish_reason=None, usage=False))
BROKEN = Raised("MidStreamFallbackError")


def reasons(litellm: Any, **given: Any) -> Any:
    """Return the finish reasons of a stream."""
    chunks = ask(litellm, stream=True, **given)
    return {chunk.choices[0].finish_reason for chunk in chunks} - {None}


def summed(litellm: Any, **given: Any) -> Any:
    """Return the choices of the sum of a stream."""
    return litellm.stream_chunk_builder(list(ask(litellm, stream=True, **given))).choices


# Streams that are no answer


@differs(
    "a stream that is cut off",
    CUT_OFF,
    litellm={"stop"},
    ritellm=Raised("StreamTruncatedError"),
)
def a_stream_that_ends_too_early(litellm: Any, server: FakeServer) -> Any:
    return reasons(litellm)


@differs(
    "a stream that is cut off",
    stream(*chat_events("Hello there", finish_reason=None, done=False, usage=False), Reset()),
    litellm=("MidStreamFallbackError", None),
    ritellm=("APIConnectionError", "Hello there"),
)
def a_connection_that_breaks(litellm: Any, server: FakeServer) -> Any:
    try:
        list(ask(litellm, stream=True))
    except Exception as error:
        partial = getattr(error, "partial", None)
        return type(error).__name__, partial and partial.choices[0].message.content


@differs(
    "an error inside a 200",
    sse_error("overloaded", "rate_limit_exceeded"),
    litellm=("MidStreamFallbackError", 500),
    ritellm=("RateLimitError", 429),
)
@differs(
    "an error inside a 200",
    sse_error("overloaded", "rate_limit_exceeded", after=chat_events("Hel", done=False)[:2]),
    litellm=("MidStreamFallbackError", 500),
    ritellm=("RateLimitError", 429),
)
def an_error_in_the_stream(litellm: Any, server: FakeServer) -> Any:
    try:
        list(ask(litellm, stream=True))
    except Exception as error:
        return type(error).__name__, error.status_code


@differs(
    "an error inside a 200",
    raw(b'{"error": {"message": "no model", "code": 400}}', "application/json"),
    litellm={"stop"},
    ritellm=Raised("BadRequestError"),
)
@differs(
    "an error inside a 200",
    html_page(),
    litellm={"stop"},
    ritellm=Raised("APIResponseValidationError"),
)
@differs(
    "an error inside a 200",
    stream(*chat_events("Hi", finish_reason="abort")),
    litellm={"stop"},
    ritellm=Raised("InternalServerError"),
)
def what_is_no_answer(litellm: Any, server: FakeServer) -> Any:
    return reasons(litellm)


GROQ = {"message": "bad call", "code": "tool_use_failed", "status_code": 400}


@differs(
    "an error inside a 200",
    stream(sse({"error": GROQ}, event="error")),
    litellm=Raised("ValueError"),
    ritellm=Raised("BadRequestError"),
)
def groqs_error(litellm: Any, server: FakeServer) -> Any:
    return reasons(litellm, model="groq/m", api_key="k", api_base=server.base_url)


OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


@differs(
    "an error inside a 200",
    stream(sse(OVERLOADED, event="error")),
    litellm=("MidStreamFallbackError", 500),
    ritellm=("ServiceUnavailableError", 529),
)
def anthropics_error(litellm: Any, server: FakeServer) -> Any:
    given = {"api_key": "k", "api_base": server.base_url[:-3]}
    try:
        reasons(litellm, model="anthropic/claude-sonnet-4-5", **given)
    except Exception as error:
        return type(error).__name__, error.status_code


@differs(
    "an error inside a 200",
    raw(b'{"error": "model requires more memory"}\n', "application/x-ndjson"),
    litellm=("BadRequestError", 400),
    ritellm=("InternalServerError", 500),
)
def ollamas_error(litellm: Any, server: FakeServer) -> Any:
    try:
        reasons(litellm, model="ollama_chat/llama3", api_base=server.base_url[:-3])
    except Exception as error:
        return type(error).__name__, error.status_code


@differs(
    "an error inside a 200",
    stream(sse({"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL", "index": 0}]})),
    litellm={"stop"},
    ritellm=Raised("APIResponseValidationError"),
)
def geminis_broken_call(litellm: Any, server: FakeServer) -> Any:
    given = {"api_key": "k", "api_base": server.base_url[:-3]}
    return reasons(litellm, model="gemini/gemini-2.5-flash", **given)


CONTROLS = [b"id: 1\n\n", b": ping\n\n", b"retry: 3000\n\n", b"event: ping\n\n", b"data:\n\n"]


@differs(
    "control events",
    stream(*CONTROLS, *chat_events("Hello")),
    litellm=BROKEN,
    ritellm="Hello",
)
def control_events(litellm: Any, server: FakeServer) -> Any:
    return text_of(ask(litellm, stream=True))


# Sums


@differs("n above 1", chat_stream("a b", choices=2), litellm=["a a bb"], ritellm=["a b", "a b"])
def several_choices(litellm: Any, server: FakeServer) -> Any:
    return [choice.message.content for choice in summed(litellm, n=2)]


@differs(
    "log probabilities and refusals",
    one_chunk({"content": "a", "refusal": "no"}, logprobs={"content": [LOGPROB]}),
    litellm=(None, None),
    ritellm=("a", "no"),
)
def log_probabilities_and_refusals(litellm: Any, server: FakeServer) -> Any:
    (choice,) = summed(litellm, logprobs=True)
    logprobs = getattr(choice, "logprobs", None)
    refusal = getattr(choice.message, "refusal", None)
    return logprobs and logprobs.content[0]["token"], refusal


def called(id: str) -> Reply:
    function = {"name": id, "arguments": "{}"}
    return {"tool_calls": [{"index": 0, "id": id, "type": "function", "function": function}]}


@differs(
    "two calls under one index",
    stream(
        *(sse(chat_chunk(called(id))) for id in "ab"),
        sse(chat_chunk({}, finish_reason="tool_calls")),
        sse("[DONE]"),
    ),
    litellm=[("b", "{}{}")],
    ritellm=[("a", "{}"), ("b", "{}")],
)
def two_calls_under_one_index(litellm: Any, server: FakeServer) -> Any:
    (choice,) = summed(litellm)
    return [(call.id, call.function.arguments) for call in choice.message.tool_calls]


@differs("usage", chat_stream("Hello there", usage=False), litellm=(0, 0, 0), ritellm=None)
def tokens_that_nobody_counted(litellm: Any, server: FakeServer) -> Any:
    whole = litellm.stream_chunk_builder(list(ask(litellm, stream=True)), messages=MESSAGES)
    usage = whole.usage
    return usage and (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)


@differs("usage", litellm="estimated", ritellm="missing")
def tokens_of_plain_dicts(litellm: Any, server: FakeServer) -> Any:
    whole = litellm.stream_chunk_builder([chat_chunk({"content": "Hello"})], messages=MESSAGES)
    return "estimated" if whole.usage and whole.usage.total_tokens else whole.usage_source


@differs("usage", chat_stream("Hello there"), litellm=False, ritellm=True)
def usage_without_asking(litellm: Any, server: FakeServer) -> Any:
    return any(getattr(chunk, "usage", None) for chunk in ask(litellm, stream=True))


@differs("when a chunk was made", chat_stream("Hello"), litellm=False, ritellm=True)
def the_providers_time(litellm: Any, server: FakeServer) -> Any:
    return next(ask(litellm, stream=True)).created == chat_chunk({})["created"]


# Refusals

STATUS = {
    403: "PermissionDeniedError",
    409: "ConflictError",
    422: "UnprocessableEntityError",
    529: "ServiceUnavailableError",
}


@differs(
    "classes of refusals",
    *map(api_error, STATUS),
    litellm=["APIError", "APIError", "BadRequestError", "APIError"],
    ritellm=list(STATUS.values()),
)
def refusals(litellm: Any, server: FakeServer) -> Any:
    raised = []
    for _ in STATUS:
        try:
            ask(litellm)
        except Exception as error:
            raised.append(type(error).__name__)
    return raised


@differs(
    "classes of refusals",
    raw(orjson.dumps(OVERLOADED), "application/json", status=529),
    litellm=("InternalServerError", 500),
    ritellm=("ServiceUnavailableError", 529),
)
def anthropic_is_overloaded(litellm: Any, server: FakeServer) -> Any:
    given = {"api_key": "k", "api_base": server.base_url[:-3]}
    try:
        ask(litellm, model="anthropic/claude-sonnet-4-5", **given)
    except Exception as error:
        return type(error).__name__, error.status_code


@differs(
    "no server at the address",
    litellm=Raised("InternalServerError"),
    ritellm=Raised("APIConnectionError"),
)
def nobody_there(litellm: Any, server: FakeServer) -> Any:
    ask(litellm, api_base="http://127.0.0.1:1/v1")


@differs(
    "no key",
    litellm=Raised("InternalServerError"),
    ritellm=Raised("AuthenticationError"),
)
def no_key(litellm: Any, server: FakeServer) -> Any:
    ask(litellm, model="groq/m")


@differs("a mock that is a list", litellm=["a", "b"], ritellm="ab")
def a_list_as_a_mock(litellm: Any, server: FakeServer) -> Any:
    return ask(litellm, mock_response=["a", "b"]).choices[0].message.content


@differs("a mock that is a list", litellm=BROKEN, ritellm="ab")
def a_list_as_a_streamed_mock(litellm: Any, server: FakeServer) -> Any:
    return text_of(ask(litellm, mock_response=["a", "b"], stream=True))


# Connections


@differs(
    "keys and fallbacks",
    api_error(500),
    litellm=("Bearer second", "1", 1),
    ritellm=("Bearer second", None, None),
)
def what_a_fallback_is_told(litellm: Any, server: FakeServer) -> Any:
    first = {"api_key": "sk-first", "extra_headers": {"x-first": "1"}, "extra_body": {"first": 1}}
    other = {"model": "mistral/m", "api_key": "second", "api_base": server.base_url}
    ask(litellm, api_base=server.base_url, fallbacks=[other], **first)
    asked = server.requests[-1]
    return asked.headers["authorization"], asked.headers.get("x-first"), asked.json.get("first")


@differs("connections", litellm=5, ritellm=1)
def five_streams_one_after_another(litellm: Any, server: FakeServer) -> Any:
    before = server.connections
    for _ in range(5):
        list(ask(litellm, stream=True))
    return server.connections - before


@differs("leaving early", litellm=Raised("TypeError"), ritellm="Hello")
def a_stream_as_a_context(litellm: Any, server: FakeServer) -> Any:
    with ask(litellm, stream=True) as opened:
        return text_of(opened)


@differs("leaving early", litellm=Raised("TypeError"), ritellm="Hello")
def an_asynchronous_stream_as_a_context(litellm: Any, server: FakeServer) -> Any:
    async def read() -> Any:
        async with await litellm.acompletion(MODEL, MESSAGES, stream=True) as opened:
            return "".join([chunk.choices[0].delta.content or "" async for chunk in opened])

    return asyncio.run(read())


@differs("leaving early", litellm=Raised("AttributeError"), ritellm="closed")
def closing_a_stream(litellm: Any, server: FakeServer) -> Any:
    opened = ask(litellm, stream=True)
    next(opened)
    opened.close()
    return "closed"


@differs("timings", litellm=Raised("AttributeError"), ritellm={"p50", "p95", "p99"})
def timings(litellm: Any, server: FakeServer) -> Any:
    opened = ask(litellm, stream=True)
    list(opened)
    assert 0 < opened.timing.ttft <= opened.timing.total
    return set(opened.timing.inter_chunk)


@differs("`additional_params`", litellm=True, ritellm=False)
def the_older_ritellms_own(litellm: Any, server: FakeServer) -> Any:
    given = {"temperature": 0.7, "max_tokens": 5}
    address = f"{server.base_url}/chat/completions"
    server.script = lambda request: chat_stream("Hello")
    ask(litellm, additional_params=json.dumps(given), stream=True, base_url=address)
    (request,) = server.requests
    return "additional_params" in request.json or request.json["temperature"] != 0.7


@differs("token counts", litellm=False, ritellm=True)
def a_count_that_says_that_it_is_an_estimate(litellm: Any, server: FakeServer) -> Any:
    counted = litellm.token_counter(model="gpt-4o-mini", messages=MESSAGES)
    return counted > 0 and "estimated" in repr(counted)
