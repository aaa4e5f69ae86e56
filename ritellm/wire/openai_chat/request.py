"""What OpenAI's chat is asked, for each of the servers that follow it, and each with its quirks.

https://platform.openai.com/docs/api-reference/chat/create. No I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from ritellm.endpoints import Endpoint, Quirks
from ritellm.types import HttpRequest, Request
from ritellm.wire.request import post, supported_params

# What stands in answers only: ours, other dialects', and reasoning. Servers with a schema refuse
# it in a request, unless they are the ones that want it back.
_ANSWER_ONLY = frozenset(
    "annotations content_parts images provider_specific_fields reasoning reasoning_content"
    " reasoning_details thinking_blocks".split()
)
_TEXT = ("text", "output_text", "summary_text")


def body_of(request: Request, endpoint: Endpoint) -> dict[str, Any]:
    """Return the JSON that asks `request`; raises UnsupportedParamsError."""
    body = {
        "model": request.model,
        "messages": messages_of(request.messages, endpoint.provider.quirks),
        **_params(request, endpoint),
    }
    if request.stream:
        body["stream"] = True
        if options := _stream_options(request, endpoint):
            body["stream_options"] = options
    return body


def messages_of(messages: Iterable[Mapping[str, Any]], quirks: Quirks) -> list[Mapping[str, Any]]:
    """Return `messages` with answers made fit to be sent."""
    dropped = _ANSWER_ONLY - quirks.takes_back
    return [
        _answer(message, dropped) if message.get("role") == "assistant" else message
        for message in messages
    ]


def split_parts(delta: dict[str, Any]) -> None:
    """Give an answer whose content is a list of parts OpenAI's shape.

    Mistral and Databricks put thinking between the text. Any other part is kept in
    `content_parts`.
    """
    texts, thoughts, others = [], [], []
    for part in delta.pop("content"):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in _TEXT:
            texts.append(part.get("text") or "")
        elif kind in ("thinking", "reasoning"):
            thoughts.append(_thought(part))
        else:
            others.append(part)
    delta["content"] = "".join(texts) if texts else None
    if thoughts:
        delta["reasoning_content"] = "".join(thoughts)
    if others:
        delta["content_parts"] = others


def _params(request: Request, endpoint: Endpoint) -> dict[str, Any]:
    if not request.params:
        return {}
    quirks = endpoint.provider.quirks
    supported = request.params.keys() - quirks.lacks
    params = supported_params(request, supported, endpoint.provider.name)
    params.pop("stream_options", None)
    patterns = (p for p in quirks.renames if fnmatchcase(request.model, p))
    names = quirks.renames.get(next(patterns, ""), {})
    renamed = {names[name]: value for name, value in params.items() if name in names}
    return {**renamed, **{name: value for name, value in params.items() if name not in names}}


def _stream_options(request: Request, endpoint: Endpoint) -> dict[str, Any] | None:
    """Return what to send: usage comes only when asked for; what the caller says counts."""
    provider = endpoint.provider
    if provider.quirks.stream_options is None:
        return None
    # Behind another address stands another server, which may have a schema of its own.
    own = provider.quirks.stream_options if endpoint.base_url == provider.base_url else {}
    options = {"include_usage": True, **own, **(request.params.get("stream_options") or {})}
    return options if options != {"include_usage": False} else None


def _answer(message: Mapping[str, Any], dropped: frozenset[str]) -> Mapping[str, Any]:
    kept = {
        name: value
        for name, value in message.items()
        if name == "content" or (value is not None and name not in dropped)
    }
    if isinstance(kept.get("audio"), Mapping) and "id" in kept["audio"]:
        kept["audio"] = {"id": kept["audio"]["id"]}
    if isinstance(kept.get("tool_calls"), list):
        kept["tool_calls"] = [_call(call) for call in kept["tool_calls"]]
    return kept


def _call(call: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in call.items() if name != "provider_specific_fields"}


def _thought(part: Mapping[str, Any]) -> str:
    inner = part.get("thinking") or part.get("summary") or part.get("text") or ""
    if isinstance(inner, str):
        return inner
    return "".join(piece.get("text") or "" for piece in inner)


PATH = "/chat/completions"


def build_request(request: Request, endpoint: Endpoint) -> HttpRequest:
    """Return the POST that asks `request` of `endpoint`."""
    body = body_of(request, endpoint)
    return post(address(endpoint.base_url), body, request, endpoint, "text/event-stream")


def address(base_url: str) -> str:
    """Return where to send: `base_url` is the API's root, or already the whole address."""
    base, mark, query = base_url.partition("?")
    base = base.rstrip("/")
    return (base if base.endswith(PATH) else base + PATH) + mark + query
