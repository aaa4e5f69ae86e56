"""Put Bedrock's content blocks together from their streamed pieces. No I/O and no clock."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

import orjson

from ritellm.wire.chunks import url_citation

Payload = Mapping[str, Any]


def whole_block(pieces: list[Payload]) -> dict[str, Any]:
    """Return the block that `pieces` (its start and its deltas) add up to."""
    (kind, start), *_ = pieces[0].items()
    block = dict(start) if isinstance(start, Mapping) else {}
    text: list[str] = []
    for piece in pieces if not block else pieces[1:]:
        more = piece.get(kind)
        if isinstance(more, list):  # the result of a tool
            block.setdefault("content", []).extend(more)
        elif isinstance(more, Mapping) and kind == "toolUse" and isinstance(more.get("input"), str):
            text.append(more["input"])
        elif isinstance(more, Mapping):
            block.update(more)
    if kind == "toolUse" and "input" not in block:
        block["input"] = _json("".join(text) or "{}")
    return {kind: block}


def _json(text: str) -> Any:
    """Return the JSON in `text`, or the text itself if the end of the response cut it off."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def image_url(pieces: list[Payload]) -> dict[str, Any]:
    """Return an image from pieces, each in base64 of its own, as a data URL."""
    kind = next((piece["format"] for piece in pieces if piece.get("format")), "png")
    data = [(piece.get("source") or {}).get("bytes") or "" for piece in pieces]
    whole = b64encode(b"".join(map(b64decode, data))).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{whole}"}}


def annotation(citation: Payload) -> dict[str, Any]:
    """Return a citation of a web page in chat's shape; any other one is unchanged."""
    web = (citation.get("location") or {}).get("web") or {}
    if not web.get("url"):
        return {"type": "citation", **citation}
    return url_citation({"url": web["url"], "title": citation.get("title") or ""})
