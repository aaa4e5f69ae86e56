"""What litellm has and ritellm has not: the third table of docs/migrating.md."""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

from fake_server import FakeServer, Reset, api_error, chat_events, chat_stream, stream
from habits import MESSAGES, Raised, ask, differs

HELLO = chat_stream("Hello there")
REFUSED = Raised("UnsupportedParamsError")


def absent(line: str, *names: str) -> None:
    """Note that `names` are litellm's alone."""

    def snippet(litellm: Any, server: FakeServer) -> Any:
        return [name for name in names if hasattr(litellm, name)]

    snippet.__name__ = f"names: {line}"
    differs(line, litellm=list(names), ritellm=[])(snippet)


@differs("`context_window_fallback_dict`", litellm="Hello", ritellm=REFUSED)
def a_larger_window(litellm: Any, server: FakeServer) -> Any:
    return ask(litellm, context_window_fallback_dict={"a": "b"}).choices[0].message.content


@differs("`stream_timeout`", litellm="Hello", ritellm=REFUSED)
def another_timeout_for_streams(litellm: Any, server: FakeServer) -> Any:
    return ask(litellm, stream_timeout=3).choices[0].message.content


@differs("`mock_tool_calls`", litellm="f", ritellm=REFUSED)
def mocked_tool_calls(litellm: Any, server: FakeServer) -> Any:
    function = {"name": "f", "arguments": "{}"}
    calls = [{"id": "a", "type": "function", "function": function}]
    answer = ask(litellm, mock_response="", mock_tool_calls=calls)
    return answer.choices[0].message.tool_calls[0].function.name


@differs("unknown parameters", litellm=3, ritellm=REFUSED)
def a_misspelt_parameter(litellm: Any, server: FakeServer) -> Any:
    ask(litellm, temprature=3)
    return server.requests[0].json["temprature"]


@differs("`stream.chunks`", HELLO, litellm="Hello there", ritellm=Raised("AttributeError"))
def the_chunks_of_a_stream(litellm: Any, server: FakeServer) -> Any:
    opened = ask(litellm, stream=True)
    list(opened)
    return litellm.stream_chunk_builder(opened.chunks).choices[0].message.content


@differs("`except openai.RateLimitError`", litellm=True, ritellm=False)
def openais_exceptions(litellm: Any, server: FakeServer) -> Any:
    above = {each.__module__.partition(".")[0] for each in litellm.RateLimitError.__mro__}
    return "openai" in above


@differs("classes of `openai.types`", litellm=True, ritellm=False)
def openais_classes(litellm: Any, server: FakeServer) -> Any:
    above = {each.__module__.partition(".")[0] for each in type(ask(litellm).usage).__mro__}
    return "openai" in above


@differs(
    "`except APIError` before other classes", api_error(401), litellm="other", ritellm="APIError"
)
def the_order_of_except(litellm: Any, server: FakeServer) -> Any:
    try:
        ask(litellm)
    except litellm.APIError:
        return "APIError"
    except litellm.AuthenticationError:
        return "other"


@differs("exceptions by position", litellm=("openai", "m"), ritellm=Raised("TypeError"))
def an_exception_made_by_position(litellm: Any, server: FakeServer) -> Any:
    error = litellm.RateLimitError("slow down", "openai", "m")
    return error.llm_provider, error.model


@differs("`litellm.api_key` and other settings", litellm="Bearer sk-2", ritellm="Bearer sk-none")
def a_key_on_the_module(litellm: Any, server: FakeServer) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ritellm says that it has no effect
        litellm.api_key = "sk-2"
    try:
        ask(litellm)
    finally:
        litellm.api_key = None
    return server.requests[0].headers["authorization"]


@differs(
    "any exception as a mock", litellm=Raised("InternalServerError"), ritellm=Raised("KeyError")
)
def any_exception_as_a_mock(litellm: Any, server: FakeServer) -> Any:
    ask(litellm, mock_response=KeyError("boom"))


@differs("`batch_completion_models`", litellm="Hello", ritellm=Raised("AttributeError"))
def the_fastest_of_several_models(litellm: Any, server: FakeServer) -> Any:
    models = ["openai/a", "openai/b"]
    answer = litellm.batch_completion_models(models=models, messages=MESSAGES)
    return answer.choices[0].message.content


absent("`Router`", "Router")
absent("`responses`, `aresponses`", "responses", "aresponses")
absent("callbacks", "callbacks", "success_callback", "failure_callback")
absent("caching", "cache", "enable_cache")
absent("`max_budget`, `BudgetManager`", "max_budget", "BudgetManager")


@differs("litellm's proxy", litellm=True, ritellm=False)
def a_proxy(litellm: Any, server: FakeServer) -> Any:
    return importlib.util.find_spec(f"{litellm.__name__}.proxy") is not None


absent("embeddings, images, audio, `text_completion`", "embedding", "speech", "text_completion")
absent("context windows", "get_max_tokens")
absent("tokenizers", "encode", "decode", "create_tokenizer")


@differs(
    "`MidStreamFallbackError`",
    stream(*chat_events("Hello", done=False, finish_reason=None, usage=False), Reset()),
    litellm=Raised("MidStreamFallbackError"),
    ritellm=Raised("APIConnectionError"),
)
def an_error_of_the_middle(litellm: Any, server: FakeServer) -> Any:
    list(ask(litellm, stream=True))
