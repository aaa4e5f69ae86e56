"""Read OpenAI's messages and parameters, for dialects that encode them differently."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from ritellm.errors import InvalidRequestError, UnsupportedParamsError
from ritellm.types import Request


def parts_of(content: Any) -> list[Mapping[str, Any]]:
    """Return a message's content as a list of parts; a plain string is one text part."""
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if isinstance(content, Sequence) and all(isinstance(part, Mapping) for part in content):
        return list(content)
    raise InvalidRequestError(f"content must be text or a list of parts, got {content!r:.80}")


def text_of(content: Any) -> str:
    """Return the text of a message's content; raises if it has anything but text."""
    return "".join(_text(part) for part in parts_of(content))


def arguments_of(tool_call: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool call's arguments as an object; OpenAI keeps them as its JSON."""
    function = tool_call.get("function") or {}
    value = function.get("arguments") or None
    try:
        for _ in range(2):  # some programs encode what is text already
            value = orjson.loads(value) if isinstance(value, (str, bytes)) and value else value
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(
            f"the arguments of tool call {function.get('name')!r} must be JSON,"
            f" got {value!s:.80} ({error})"
        ) from None
    if value in (None, ""):
        return {}
    if not isinstance(value, Mapping):
        raise InvalidRequestError(
            f"the arguments of tool call {function.get('name')!r} must be a JSON object,"
            f" got {value!r:.80}"
        )
    return dict(value)


def arguments_text(tool_call: Mapping[str, Any]) -> str:
    """Return a tool call's arguments as JSON text, also if the caller kept them as an object."""
    arguments = (tool_call.get("function") or {}).get("arguments")
    if isinstance(arguments, str):
        return arguments or "{}"
    return orjson.dumps({} if arguments is None else arguments).decode()


def signature_of(tool_call: Mapping[str, Any]) -> str | None:
    """Return Gemini's signature of a tool call, which its two APIs keep in two places, or None."""
    kept = tool_call.get("provider_specific_fields")
    if isinstance(kept, Mapping) and kept.get("thought_signature"):
        return str(kept["thought_signature"])
    extra = tool_call.get("extra_content")
    google = extra.get("google") if isinstance(extra, Mapping) else None
    found = google.get("thought_signature") if isinstance(google, Mapping) else None
    return str(found) if found else None


def check_params(request: Request, supported: Iterable[str], dialect: str) -> dict[str, Any]:
    """Return the parameters that `dialect` supports.

    Raises UnsupportedParamsError for any other, unless `request.drop_params`.
    """
    known = frozenset(supported)
    unknown = sorted(request.params.keys() - known)
    if unknown and not request.drop_params:
        raise UnsupportedParamsError(
            f"{dialect} has no {' and no '.join(unknown)}: leave it out, or pass drop_params=True"
        )
    return {name: value for name, value in request.params.items() if name in known}


def _text(part: Mapping[str, Any]) -> str:
    if part.get("type") in ("text", "input_text", "output_text"):
        return str(part.get("text") or "")
    raise InvalidRequestError(
        f"the content here must be text, got a part of type {part.get('type')!r}"
    )
