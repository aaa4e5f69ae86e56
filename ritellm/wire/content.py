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


def split_data_url(url: str) -> tuple[str, str] | None:
    """Return (media type, base64) of a `data:` URL, or None for any other address."""
    if not url.startswith("data:"):
        return None
    head, comma, data = url[5:].partition(",")
    if not comma or not head.endswith(";base64"):
        raise InvalidRequestError(f"a data: URL must be in base64, got {url[:60]!r}")
    return head.removesuffix(";base64") or "application/octet-stream", data


def arguments_of(tool_call: Mapping[str, Any]) -> Any:
    """Return a tool call's arguments as JSON values; OpenAI keeps them as a string."""
    arguments = (tool_call.get("function") or {}).get("arguments")
    if not arguments:
        return {}
    if not isinstance(arguments, str):
        return arguments
    try:
        return orjson.loads(arguments)
    except orjson.JSONDecodeError as error:
        name = (tool_call.get("function") or {}).get("name")
        raise InvalidRequestError(
            f"the arguments of tool call {name!r} must be JSON, got {arguments:.80} ({error})"
        ) from None


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
